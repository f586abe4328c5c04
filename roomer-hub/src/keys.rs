//! Keys of the hub's tables.

use slotmap::Key;

slotmap::new_key_type! {
    /// The key of a connection in the hub's tables.
    ///
    /// Keys are generational: once the connection is gone, its key finds nothing, and never
    /// another connection. The default is the null key, which finds nothing either.
    pub struct ConnKey;

    /// The key of a room in the hub's tables.
    ///
    /// Generational, like [`ConnKey`]: a room that was closed and is created again under its old
    /// name has a new key.
    pub struct RoomKey;

    /// The key of a guest, a connection of another node, in the hub's tables.
    pub(crate) struct GuestKey;
}

/// The key of a peer: another node of the same cluster, as seen from this one.
///
/// The driver chooses the keys. They are indices into a table, so they should be small, and a key
/// is free again after [`Input::PeerGone`](crate::Input::PeerGone).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerKey(u16);

impl PeerKey {
    /// Creates the key with an index.
    #[must_use]
    pub fn new(index: u16) -> Self {
        PeerKey(index)
    }

    /// Returns the index.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl ConnKey {
    /// Returns the key as a number, unique among all connections of a hub: the slot in the lower
    /// half, its generation in the upper half.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.data().as_ffi()
    }
}

impl RoomKey {
    /// Returns the key as a number, unique among all rooms of a hub: the slot in the lower half,
    /// its generation in the upper half.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.data().as_ffi()
    }
}

/// The key of an event with a handler ([`Hub::register`](crate::Hub::register)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HandlerKey(pub(crate) usize);

impl HandlerKey {
    /// Returns the number of events that were registered before this one, as an index into the
    /// driver's list of handlers.
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}

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

//! Keys of the hub's tables.

use slotmap::{DefaultKey, Key, KeyData};

/// A key of a hub's table: [`ConnKey`] or [`RoomKey`]. The hub alone defines keys.
pub trait TableKey: Copy + sealed::Slot {}

mod sealed {
    use slotmap::DefaultKey;

    /// The tables are slotmap's, whose own traits are not implemented: they would make it a part of
    /// this crate's interface.
    pub trait Slot {
        fn from_slot(slot: DefaultKey) -> Self;
        fn slot(self) -> DefaultKey;
    }
}

use sealed::Slot;

/// Defines keys that are the same as those of slotmap in all but their type.
macro_rules! define_keys {
    ($($(#[$attribute:meta])* $visibility:vis struct $name:ident;)*) => {$(
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visibility struct $name(KeyData);

        impl TableKey for $name {}

        impl Slot for $name {
            #[inline]
            fn from_slot(slot: DefaultKey) -> Self {
                $name(slot.data())
            }

            #[inline]
            fn slot(self) -> DefaultKey {
                self.0.into()
            }
        }
    )*};
}

define_keys! {
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

impl ConnKey {
    /// Returns the key as a number, unique among all connections of a hub: the slot in the lower
    /// half, its generation in the upper half.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0.as_ffi()
    }

    /// Returns the key with a number of [`as_u64`](Self::as_u64), for drivers that pass keys through
    /// an operating system. A number of another origin makes a key that finds nothing, or any
    /// connection.
    #[must_use]
    pub fn from_u64(number: u64) -> Self {
        ConnKey(KeyData::from_ffi(number))
    }
}

impl RoomKey {
    /// Returns the key as a number, unique among all rooms of a hub: the slot in the lower half,
    /// its generation in the upper half.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0.as_ffi()
    }
}

impl GuestKey {
    /// Returns a key that no other is less than.
    pub(crate) fn least() -> Self {
        GuestKey(KeyData::from_ffi(0))
    }
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

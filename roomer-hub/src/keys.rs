//! Generational keys of connections, rooms and guests, and the keys of peers and handlers.

use slotmap::{DefaultKey, Key, KeyData};

/// A key in the hub's tables: [`ConnKey`] or [`RoomKey`]. This trait is sealed.
pub trait TableKey: Copy + sealed::Slot {}

mod sealed {
    use slotmap::DefaultKey;

    /// The tables use slotmap's keys. Its traits are not implemented for the keys here, because
    /// that would make slotmap a part of this crate's public interface.
    pub trait Slot {
        fn from_slot(slot: DefaultKey) -> Self;
        fn slot(self) -> DefaultKey;
    }
}

use sealed::Slot;

/// Defines newtypes around slotmap's keys.
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
    /// Keys are generational: once the connection is removed, its key never matches anything again.
    /// The default is the null key, which never matches anything.
    pub struct ConnKey;

    /// The key of a room in the hub's tables.
    ///
    /// Generational, like [`ConnKey`]: if a room is closed and a room with the same name is
    /// created, the new room has a new key.
    pub struct RoomKey;

    /// The key of a guest, a connection on another node, in the hub's tables.
    pub(crate) struct GuestKey;
}

impl ConnKey {
    /// Returns the key as a number that is unique among all connections of a hub. The lower
    /// half is the slot, the upper half its generation.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0.as_ffi()
    }

    /// Converts a number returned by [`as_u64`](Self::as_u64) back to a key, for drivers that pass
    /// keys through the operating system, for example as epoll data. Any other number yields a key
    /// that matches nothing or an arbitrary connection.
    #[must_use]
    pub fn from_u64(number: u64) -> Self {
        ConnKey(KeyData::from_ffi(number))
    }
}

impl RoomKey {
    /// Returns the key as a number that is unique among all rooms of a hub. The lower half is
    /// the slot, the upper half its generation.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0.as_ffi()
    }
}

impl GuestKey {
    /// Returns the lower bound of all keys, for range queries.
    pub(crate) fn min() -> Self {
        GuestKey(KeyData::from_ffi(0))
    }
}

/// The key of a peer: another node in the same cluster.
///
/// The driver chooses the keys. They are indices into a table, so they should be small. A key
/// may be reused after [`Input::PeerGone`](crate::Input::PeerGone).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerKey(u16);

impl PeerKey {
    /// Creates a key from an index.
    #[must_use]
    pub fn new(index: u16) -> Self {
        PeerKey(index)
    }

    /// Returns the number passed to [`new`](Self::new).
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The key of a registered event ([`Hub::register`](crate::Hub::register)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HandlerKey(pub(crate) usize);

impl HandlerKey {
    /// Returns the number of events registered before this one, usable as an index into the
    /// driver's list of handlers.
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}

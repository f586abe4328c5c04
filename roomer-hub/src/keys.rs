//! Keys of the hub's tables.

slotmap::new_key_type! {
    /// A connection in the hub's tables. Generational: once the connection is gone the key finds
    /// nothing, never another connection.
    pub struct ConnKey;

    /// A room in the hub's tables. Generational, like [`ConnKey`]: a room that is emptied and
    /// made again under its old name has a new key.
    pub struct RoomKey;
}

/// A registered event, for the driver to find its handler by. Keys count up from 0 in the order
/// of registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HandlerKey(pub(crate) usize);

impl HandlerKey {
    /// The number of events that were registered before this one.
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}

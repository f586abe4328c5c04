//! Who is who: ids on the wire, keys in the tables.

use std::fmt;

use uuid::{Builder, Uuid};

/// A connection's id as it stands on the wire: a UUID in lower case with hyphens, always 36
/// bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId([u8; ConnId::LEN]);

impl ConnId {
    /// The length of an id in bytes.
    pub const LEN: usize = 36;

    /// A version 4 id from 16 random bytes. The randomness is the caller's: ids must not be
    /// guessable, so take it from the operating system or a cryptographic generator.
    ///
    /// ```
    /// let id = roomer_hub::ConnId::from_random_bytes([7; 16]);
    /// assert_eq!(id.as_str(), "07070707-0707-4707-8707-070707070707");
    /// ```
    #[must_use]
    pub fn from_random_bytes(bytes: [u8; 16]) -> Self {
        Builder::from_random_bytes(bytes).into_uuid().into()
    }

    /// Reads an id, comparing bytes as the wire does: upper case, braces or blanks are no id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let id = ConnId::from(Uuid::try_parse(text).ok()?);
        (id.as_str() == text).then_some(id)
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl From<Uuid> for ConnId {
    fn from(uuid: Uuid) -> Self {
        let mut text = [0; ConnId::LEN];
        uuid.hyphenated().encode_lower(&mut text);
        ConnId(text)
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

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

//! Connection ids, as used in `src` and `dst`.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use uuid::{Builder, Uuid};

/// A connection's id in its wire form: a lower-case UUID with hyphens, always 36 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
// Aligned so that `as_str` validates UTF-8 a word at a time, which halves its cost. Without
// alignment, that check took a tenth of the time that the hub spends on a direct message.
#[repr(align(8))]
pub struct ConnId([u8; ConnId::LEN]);

impl ConnId {
    /// The length of an id in bytes.
    pub const LEN: usize = 36;

    /// Creates a version 4 UUID from 16 random bytes. Ids must be unguessable, so the bytes
    /// must come from the operating system or a cryptographically secure generator.
    ///
    /// ```
    /// let id = roomer_proto::ConnId::from_random_bytes([7; 16]);
    /// assert_eq!(id.as_str(), "07070707-0707-4707-8707-070707070707");
    /// ```
    #[must_use]
    pub fn from_random_bytes(bytes: [u8; 16]) -> Self {
        ConnId::of(Builder::from_random_bytes(bytes).into_uuid())
    }

    /// Parses an id in its exact wire form; upper case, braces and spaces are rejected.
    /// [`FromStr`] does the same, but returns an error instead of `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let id: [u8; ConnId::LEN] = text.as_bytes().try_into().ok()?;
        // `Uuid` accepts other forms too, but ids are compared as bytes and so must have only one.
        // So check the text itself, all digits without a branch: parsing it and formatting it again
        // takes several times as long.
        let mut digits = id;
        for hyphen in [8, 13, 18, 23] {
            if core::mem::replace(&mut digits[hyphen], b'0') != b'-' {
                return None;
            }
        }
        let is_digit = |byte: u8| byte.is_ascii_digit() | matches!(byte, b'a'..=b'f');
        let are_digits = digits.iter().fold(true, |all, byte| all & is_digit(*byte));
        are_digits.then_some(ConnId(id))
    }

    /// Creates an id from the 16 bytes of a UUID, without changing them.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        ConnId::of(Uuid::from_bytes(bytes))
    }

    /// Returns the 16 bytes of the UUID.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 16] {
        // Parsing cannot fail: every constructor stores the text of a UUID.
        Uuid::try_parse_ascii(&self.0).unwrap_or_default().into_bytes()
    }

    fn of(uuid: Uuid) -> Self {
        let mut text = [0; ConnId::LEN];
        uuid.hyphenated().encode_lower(&mut text);
        ConnId(text)
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Validate the text on each call, since skipping the check would need `unsafe`, which is
        // forbidden. The check cannot fail, because the text is ASCII.
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The error for text that is not the wire form of a [`ConnId`].
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a connection's id, which is a UUID in lower case with hyphens")]
pub struct ParseConnIdError {
    text: String,
}

crate::debug_as_display!(ParseConnIdError);

impl FromStr for ConnId {
    type Err = ParseConnIdError;

    fn from_str(text: &str) -> Result<Self, ParseConnIdError> {
        // Truncate the text, which may be long because it may come from a peer.
        let error = || ParseConnIdError { text: text.chars().take(64).collect() };
        ConnId::parse(text).ok_or_else(error)
    }
}

impl AsRef<str> for ConnId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<[u8]> for ConnId {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq<str> for ConnId {
    fn eq(&self, text: &str) -> bool {
        // Compare bytes, which avoids the UTF-8 check of `as_str`.
        self.0 == *text.as_bytes()
    }
}

impl PartialEq<&str> for ConnId {
    fn eq(&self, text: &&str) -> bool {
        *self == **text
    }
}

#[cfg(feature = "json")]
impl serde::Serialize for ConnId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(feature = "json")]
impl<'de> serde::Deserialize<'de> for ConnId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(IdVisitor)
    }
}

#[cfg(feature = "json")]
struct IdVisitor;

#[cfg(feature = "json")]
impl serde::de::Visitor<'_> for IdVisitor {
    type Value = ConnId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a connection's id, a UUID in lower case with hyphens")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ConnId, E> {
        text.parse().map_err(E::custom)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lower_case_uuid_with_hyphens_is_id() {
        let id = ConnId::from_random_bytes([0xa7; 16]);
        assert_eq!(ConnId::parse(id.as_str()), Some(id));
        for at in 0..ConnId::LEN {
            for byte in 0..128 {
                let mut text = id.0.to_vec();
                text[at] = byte;
                let text = String::from_utf8(text).unwrap();
                let uuid = Uuid::try_parse(&text).ok().map(ConnId::of);
                assert_eq!(ConnId::parse(&text), uuid.filter(|uuid| uuid == &*text), "{text}");
            }
        }
    }

    #[test]
    fn other_lengths_and_forms_are_not_ids() {
        let id = ConnId::from_random_bytes([0xa7; 16]);
        let text = id.as_str();
        let without_hyphens = text.replace('-', "");
        for wrong in ["", &text[1..], &without_hyphens, &format!("{{{text}}}"), &format!("{text}0")]
        {
            assert_eq!(ConnId::parse(wrong), None, "{wrong}");
        }
        assert_eq!(ConnId::parse(&text.replacen("a7", "é", 1)), None);
    }
}

//! Tags, which identify requests, and the `dst` of their packets.

use core::fmt;

use crate::ConnId;

/// The identifier of a request, chosen by the requester: 1 to 16 ASCII letters or digits.
///
/// ```
/// use roomer_proto::extended::Tag;
/// assert_eq!(Tag::parse("a7").unwrap().as_str(), "a7");
/// assert!(Tag::parse("").is_none() && Tag::parse("a-7").is_none());
/// assert_eq!(Tag::from_number(12).as_str(), "12");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag {
    text: [u8; Tag::MAX_LEN],
    len: u8,
}

impl Tag {
    /// The maximum length of a tag in bytes.
    pub const MAX_LEN: usize = 16;

    /// Parses a tag. Returns `None` if the text is not a valid tag.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let fits = (1..=Tag::MAX_LEN).contains(&bytes.len());
        if !fits || !bytes.iter().all(u8::is_ascii_alphanumeric) {
            return None;
        }
        // The bytes after the text stay zero, because equality and hashing include them.
        let mut tag = Tag { text: [0; Tag::MAX_LEN], len: bytes.len() as u8 };
        tag.text[..bytes.len()].copy_from_slice(bytes);
        Some(tag)
    }

    /// Returns the tag for a number: its last 16 decimal digits.
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        // A 64-bit number has up to 20 digits, but two open requests from one client never differ
        // by a multiple of 10^16, so their last 16 digits differ.
        let mut rest = number % 10_u64.pow(Tag::MAX_LEN as u32);
        let mut digits = [b'0'; Tag::MAX_LEN];
        let mut start = Tag::MAX_LEN;
        loop {
            start -= 1;
            digits[start] += (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        let mut tag = Tag { text: [0; Tag::MAX_LEN], len: (Tag::MAX_LEN - start) as u8 };
        tag.text[..Tag::MAX_LEN - start].copy_from_slice(&digits[start..]);
        tag
    }

    /// Returns the tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.text[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Splits the `dst` of a request or answer, `ID:TAG`, into the id and the tag. The id is empty
/// for the server. Returns `None` for any other `dst`.
///
/// ```
/// use roomer_proto::extended::split_tag;
/// assert_eq!(split_tag(":7").map(|(id, tag)| (id, tag.as_str().to_owned())), Some(("", "7".into())));
/// assert!(split_tag("7").is_none() && split_tag("ann:").is_none());
/// ```
#[must_use]
pub fn split_tag(dst: &str) -> Option<(&str, Tag)> {
    let (id, tag) = dst.split_once(':')?;
    Some((id, Tag::parse(tag)?))
}

/// The `dst` of a request or answer, `ID:TAG`, stored inline.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TaggedId {
    text: [u8; TaggedId::MAX_LEN],
    len: u8,
}

impl TaggedId {
    const MAX_LEN: usize = ConnId::LEN + 1 + Tag::MAX_LEN;

    /// Creates the text. Without an id, the text refers to the server.
    #[must_use]
    pub fn new(id: Option<&ConnId>, tag: Tag) -> Self {
        let mut tagged = TaggedId { text: [0; TaggedId::MAX_LEN], len: 0 };
        for part in [id.map_or("", ConnId::as_str), ":", tag.as_str()] {
            let start = usize::from(tagged.len);
            // The part fits, because the three parts together are never longer than `MAX_LEN`.
            tagged.text[start..start + part.len()].copy_from_slice(part.as_bytes());
            tagged.len += part.len() as u8;
        }
        tagged
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.text[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Debug for TaggedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};

    use super::*;

    #[test]
    fn tag_has_1_to_16_letters_or_digits() {
        for text in ["a", "Z9", "0123456789abcdef"] {
            assert_eq!(Tag::parse(text).map(|tag| tag.as_str().to_string()), Some(text.into()));
        }
        for text in ["", "0123456789abcdefg", "a:b", "a b", "ä", "-1", "a\n"] {
            assert_eq!(Tag::parse(text), None, "{text:?}");
        }
        assert_ne!(Tag::parse("1"), Tag::parse("10"));
    }

    #[test]
    fn numeric_tag_is_decimal_number() {
        for number in [0, 7, 10, 4_294_967_296, 9_999_999_999_999_999] {
            assert_eq!(Tag::from_number(number).as_str(), number.to_string());
        }
        assert_eq!(Tag::from_number(u64::MAX).as_str(), "6744073709551615", "the last 16 digits");
    }

    #[test]
    fn tagged_id_round_trips() {
        let id = ConnId::from_random_bytes([7; 16]);
        let tag = Tag::parse("0123456789abcdef").unwrap();
        for (id, text) in [(Some(&id), id.as_str()), (None, "")] {
            let tagged = TaggedId::new(id, tag);
            assert_eq!(split_tag(tagged.as_str()), Some((text, tag)));
        }
        let long: String = "x".repeat(100);
        assert_eq!(split_tag(&(long.clone() + ":1")), Some((long.as_str(), Tag::from_number(1))));
        assert_eq!(split_tag("a:b:c"), None);
    }
}

//! A member's info, a validated JSON value that is shared with other members.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use crate::extended::json_text::{is_json, quote};

/// A member's info, which the other members of its rooms receive along with its id. It is one
/// JSON value, such as `{"name":"Ann"}`.
///
/// The text is embedded into packets for other clients, and is therefore validated so that every
/// JSON parser accepts it: RFC 8259, without lone surrogates, without numbers beyond the range of a
/// double, and nested at most 64 levels deep. Cloning is cheap.
///
/// ```
/// use roomer_proto::extended::Info;
///
/// let ann = Info::new(r#"{"name":"Ann"}"#)?;
/// assert_eq!(ann.as_str(), r#"{"name":"Ann"}"#);
/// assert_eq!(Info::string("Ann \"the\" one").as_str(), r#""Ann \"the\" one""#);
/// assert!(Info::new(r#"{"name":"#).is_err());
/// assert!(Info::new(r#""Ann"],["#).is_err()); // it would forge another member
/// # Ok::<(), roomer_proto::extended::InvalidInfo>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Info(Arc<str>);

/// The error for text that is not valid info. The caller, or the client that sent it, is at fault.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the info is not one JSON value, or is nested more than 64 deep")]
pub struct InvalidInfo;

crate::debug_as_display!(InvalidInfo);

impl Info {
    /// Creates the info from JSON text.
    ///
    /// # Errors
    ///
    /// Returns an [`InvalidInfo`] if the text is not exactly one JSON value, or is nested too
    /// deeply.
    pub fn new(json: &str) -> Result<Self, InvalidInfo> {
        match is_json(json) {
            // Trim so that `is_null` and comparisons ignore surrounding whitespace.
            true => Ok(Info(json.trim_ascii().into())),
            false => Err(InvalidInfo),
        }
    }

    /// Creates the info from a packet's payload.
    ///
    /// # Errors
    ///
    /// Returns an [`InvalidInfo`] if the payload is not UTF-8, is not exactly one JSON value, or is
    /// nested too deeply.
    pub fn from_payload(payload: &[u8]) -> Result<Self, InvalidInfo> {
        core::str::from_utf8(payload).map_err(|_| InvalidInfo).and_then(Info::new)
    }

    /// Creates info that is a JSON string.
    #[must_use]
    pub fn string(text: &str) -> Self {
        let mut quoted = String::with_capacity(text.len() + 2);
        quote(text, &mut quoted);
        Info(quoted.into())
    }

    /// Serializes a value into info (feature `json`).
    ///
    /// # Errors
    ///
    /// Returns a [`JsonError`](crate::JsonError) if the value cannot be represented in JSON, or is
    /// nested more than 64 levels deep.
    #[cfg(feature = "json")]
    pub fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<Self, crate::JsonError> {
        let payload = crate::json(value)?;
        Info::from_payload(&payload).map_err(|_| crate::JsonError::too_deep())
    }

    /// Deserializes the info (feature `json`).
    ///
    /// # Errors
    ///
    /// Returns a [`JsonError`](crate::JsonError) if the info does not deserialize into `T`.
    #[cfg(feature = "json")]
    pub fn parse<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, crate::JsonError> {
        let payload = self.0.as_bytes();
        crate::PacketRef { payload, ..crate::PacketRef::default() }.json()
    }

    /// Returns the JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true if the value is `null`, which stands for no info.
    #[must_use]
    pub fn is_null(&self) -> bool {
        &*self.0 == "null"
    }
}

impl fmt::Debug for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::str::FromStr for Info {
    type Err = InvalidInfo;

    fn from_str(json: &str) -> Result<Self, InvalidInfo> {
        Info::new(json)
    }
}

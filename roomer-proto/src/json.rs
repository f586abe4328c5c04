//! Payloads as JSON, the usual choice of applications; the protocol does not depend on it.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::packet::{Packet, PacketRef};

/// A payload is not the expected JSON, or a value cannot be JSON. The text names the field or the
/// type, the line and the column.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub struct JsonError {
    what: &'static str,
    // Not its `source`, since it is a part of the text already.
    why: serde_json::Error,
}

impl JsonError {
    /// Returns the error for a value that is nested too deeply for a member's info.
    pub(crate) fn too_deep() -> Self {
        let why = serde::de::Error::custom("nested more than 64 deep");
        JsonError { what: "the value cannot be a member's info", why }
    }
}

/// Serializes a value as a payload.
///
/// ```
/// let payload = roomer_proto::json(&["north", "east"])?;
/// assert_eq!(payload, br#"["north","east"]"#);
/// # Ok::<(), roomer_proto::JsonError>(())
/// ```
///
/// # Errors
///
/// If JSON cannot represent the value: keys of a map that are not strings, or an error of its own
/// [`Serialize`](serde::Serialize).
pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, JsonError> {
    let what = "the value cannot be JSON";
    serde_json::to_vec(value).map_err(|why| JsonError { what, why })
}

impl<'a> PacketRef<'a> {
    /// Deserializes the payload from JSON. The result may borrow from it.
    ///
    /// ```
    /// use roomer_proto::PacketRef;
    ///
    /// let packet = PacketRef { payload: br#"[3, "ann"]"#, ..PacketRef::default() };
    /// let (score, name): (u32, &str) = packet.json()?;
    /// assert_eq!((score, name), (3, "ann"));
    /// # Ok::<(), roomer_proto::JsonError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the payload is not JSON, is JSON of another type, or is nested more than 128 deep. The
    /// sender is at fault.
    pub fn json<T: Deserialize<'a>>(&self) -> Result<T, JsonError> {
        let what = "the payload is not the JSON that was expected";
        serde_json::from_slice(self.payload).map_err(|why| JsonError { what, why })
    }
}

impl Packet {
    /// Deserializes the payload from JSON. The result may borrow from it.
    ///
    /// # Errors
    ///
    /// The same as of [`PacketRef::json`].
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, JsonError> {
        self.borrowed().json()
    }
}

//! JSON payloads with serde. The protocol itself does not depend on JSON.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::packet::{Packet, PacketRef};

/// The error for a payload that is not the expected JSON, or a value that cannot be serialized. Its
/// message includes serde's reason, which names the field or type, and the line and column if there
/// are any.
#[derive(thiserror::Error)]
#[error("{what}: {reason}")]
pub struct JsonError {
    what: &'static str,
    // This is not exposed as `source`, because the error's message already includes it.
    reason: serde_json::Error,
}

crate::debug_as_display!(JsonError);

impl JsonError {
    /// Returns the error for a value nested too deeply for a member's info.
    pub(crate) fn too_deep() -> Self {
        let reason = serde::de::Error::custom("nested more than 64 deep");
        JsonError { what: "the value cannot be a member's info", reason }
    }
}

/// Serializes a value into a payload.
///
/// ```
/// let payload = roomer_proto::json(&["north", "east"])?;
/// assert_eq!(payload, br#"["north","east"]"#);
/// # Ok::<(), roomer_proto::JsonError>(())
/// ```
///
/// # Errors
///
/// Returns a [`JsonError`] if the value cannot be represented in JSON, for example a map with keys
/// that are not strings, or if its [`Serialize`] implementation fails.
pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, JsonError> {
    let what = "the value cannot be JSON";
    serde_json::to_vec(value).map_err(|reason| JsonError { what, reason })
}

impl<'a> PacketRef<'a> {
    /// Deserializes the payload from JSON. The result may borrow from the payload.
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
    /// Returns a [`JsonError`] if the payload is not valid JSON, does not deserialize into `T`, or
    /// is nested more than 128 levels deep. The sender is at fault.
    pub fn json<T: Deserialize<'a>>(&self) -> Result<T, JsonError> {
        let what = "the payload is not the JSON that was expected";
        serde_json::from_slice(self.payload).map_err(|reason| JsonError { what, reason })
    }
}

impl Packet {
    /// Deserializes the payload from JSON. The result may borrow from the payload.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`PacketRef::json`].
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, JsonError> {
        self.borrowed().json()
    }
}

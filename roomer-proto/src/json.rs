//! Payloads as JSON. What a payload is remains the application's choice; this is the usual one.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::packet::{Packet, PacketRef};

/// A payload is not the JSON that was asked for, or a value cannot be JSON. Says which, and why:
/// the field or the type, the line and the column.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub struct JsonError {
    what: &'static str,
    // Not its source: it is a part of the text already.
    why: serde_json::Error,
}

/// A value as a payload.
///
/// ```
/// let payload = roomer_proto::json(&["north", "east"])?;
/// assert_eq!(payload, br#"["north","east"]"#);
/// # Ok::<(), roomer_proto::JsonError>(())
/// ```
///
/// # Errors
///
/// When JSON cannot say it: keys of a map that are no strings, or its own
/// [`Serialize`](serde::Serialize) refuses.
pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, JsonError> {
    let what = "the value cannot be JSON";
    serde_json::to_vec(value).map_err(|why| JsonError { what, why })
}

impl<'a> PacketRef<'a> {
    /// The payload as JSON, which may borrow from it.
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
    /// When it is no JSON, JSON of another type, or nested more than 128 deep. The sender is at
    /// fault.
    pub fn json<T: Deserialize<'a>>(&self) -> Result<T, JsonError> {
        let what = "the payload is not the JSON that was expected";
        serde_json::from_slice(self.payload).map_err(|why| JsonError { what, why })
    }
}

impl Packet {
    /// The payload as JSON, which may borrow from it.
    ///
    /// # Errors
    ///
    /// As [`PacketRef::json`].
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, JsonError> {
        self.as_ref().json()
    }
}

//! Request types: ids, received requests, tables of pending requests, and server errors.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use core::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use crate::extended::read_failure;

/// The number of a request, which identifies its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(super) u64);

/// A request that this client has received, to be answered with
/// [`Client::reply`](super::Client::reply) or [`Client::fail`](super::Client::fail).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The room that the request belongs to.
    pub room: ByteString,
    /// The event's name.
    pub event: ByteString,
    /// The id of the requester; empty if it is the server.
    pub from: ByteString,
    /// The content: arbitrary bytes.
    pub payload: Bytes,
    /// The `dst` of the answer, unique among the open requests of this session.
    pub(super) dst: ByteString,
}

/// Unanswered requests in both directions. Boxed in the client, because many clients have none.
#[derive(Debug, Default)]
pub(super) struct Requests {
    pub(super) next: u64,
    pub(super) waiting: BTreeMap<u64, Waiting>,
    /// The `dst` of each answer that this client has not sent yet.
    pub(super) open: BTreeSet<ByteString>,
}

/// A request from this client that has not been answered yet.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) due: Duration,
    /// The receiver's id; empty for the server.
    pub(super) to: ByteString,
}

impl Request {
    /// Returns the payload as text.
    ///
    /// # Errors
    ///
    /// Returns a [`Utf8Error`](core::str::Utf8Error) if the payload is not UTF-8.
    pub fn text(&self) -> Result<&str, core::str::Utf8Error> {
        core::str::from_utf8(&self.payload)
    }

    /// Deserializes the payload from JSON (feature `json`).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`PacketRef::json`](crate::PacketRef::json). The requester is at
    /// fault.
    #[cfg(feature = "json")]
    pub fn json<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, crate::JsonError> {
        crate::PacketRef { payload: &self.payload, ..Default::default() }.json()
    }
}

/// The server's rejection of one of this client's packets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerError {
    /// One of the protocol's codes, [`ErrorCode`](crate::extended::ErrorCode).
    pub code: String,
    /// A message for developers.
    pub message: String,
    /// The packet's room, possibly truncated.
    pub room: String,
    /// The packet's event, possibly truncated.
    pub event: String,
}

impl ServerError {
    pub(super) fn parse(payload: &[u8]) -> Self {
        let (code, message) = read_failure(payload);
        let value = serde_json::from_slice(payload).unwrap_or(serde_json::Value::Null);
        let text = |key: &str| value.get(key).and_then(serde_json::Value::as_str);
        let [room, event] = ["room", "event"].map(|key| text(key).unwrap_or_default().into());
        ServerError { code, message, room, event }
    }
}

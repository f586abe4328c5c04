//! Request types: ids, received requests, tables of pending requests, and server errors.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use core::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use super::item::{Item, Kind};
use super::outbox::Limits;
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
    /// The requests that wait until others have been answered, in order. They are kept apart from
    /// the messages, which they neither delay nor displace. The first queue is for requests to other
    /// clients, and the second for those to the server.
    held: [VecDeque<Item>; 2],
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

impl Requests {
    /// Returns the number of unanswered requests to the server, or of those to other clients.
    /// Excludes requests that are held.
    pub(super) fn open_count(&self, is_to_server: bool) -> usize {
        let all = self.waiting.values().filter(|it| it.to.is_empty() == is_to_server).count();
        // This cannot underflow, because each held request is also in `waiting`.
        all - self.held[usize::from(is_to_server)].len()
    }

    /// Holds a request until others have been answered. Returns false if too many are held.
    pub(super) fn hold(&mut self, item: Item, is_to_server: bool, limits: Limits) -> bool {
        let count = self.held.iter().map(VecDeque::len).sum::<usize>();
        let fits = count == 0 || self.held_bytes() + item.bytes.len() <= limits.bytes;
        let is_accepted = fits && count < limits.messages;
        if is_accepted {
            self.held[usize::from(is_to_server)].push_back(item);
        }
        is_accepted
    }

    /// Holds requests that were queued before those already held.
    pub(super) fn hold_again(&mut self, items: VecDeque<Item>) {
        for item in items.into_iter().rev() {
            if let Some(is_to_server) = self.is_to_server(&item) {
                self.held[usize::from(is_to_server)].push_front(item);
            }
        }
    }

    /// Removes and returns the next held request to the server, or to another client, if fewer than
    /// `most` such requests are open.
    pub(super) fn release(&mut self, is_to_server: bool, most: usize) -> Option<Item> {
        if self.open_count(is_to_server) >= most {
            return None;
        }
        self.held[usize::from(is_to_server)].pop_front()
    }

    /// Removes a request that has ended.
    pub(super) fn remove(&mut self, number: u64) -> Option<Waiting> {
        self.discard(|item| item.kind == Kind::Request(number));
        self.waiting.remove(&number)
    }

    /// Removes and returns the held requests for which `is_over` returns true.
    pub(super) fn discard(&mut self, is_over: impl Fn(&Item) -> bool) -> VecDeque<Item> {
        let mut gone = VecDeque::new();
        for held in &mut self.held {
            let all = core::mem::take(held).into_iter();
            let (over, kept): (VecDeque<Item>, _) = all.partition(&is_over);
            *held = kept;
            gone.extend(over);
        }
        gone
    }

    pub(super) fn is_held(&self, number: u64) -> bool {
        self.held.iter().flatten().any(|item| item.kind == Kind::Request(number))
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held.iter().flatten().map(|item| item.bytes.len()).sum()
    }

    /// Returns true for a request to the server, and false for one to another client; `None` for
    /// another packet, or if the request has ended.
    pub(super) fn is_to_server(&self, item: &Item) -> Option<bool> {
        let Kind::Request(number) = item.kind else { return None };
        self.waiting.get(&number).map(|waiting| waiting.to.is_empty())
    }
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
    /// The number of other packets that the server has rejected since its last error. The server
    /// limits the rate of errors, and sends none for these packets.
    pub more: u64,
}

impl ServerError {
    pub(super) fn parse(payload: &[u8]) -> Self {
        let (code, message) = read_failure(payload);
        let value = serde_json::from_slice(payload).unwrap_or(serde_json::Value::Null);
        let text = |key: &str| value.get(key).and_then(serde_json::Value::as_str);
        let [room, event] = ["room", "event"].map(|key| text(key).unwrap_or_default().into());
        let more = value.get("more").and_then(serde_json::Value::as_u64).unwrap_or(0);
        ServerError { code, message, room, event, more }
    }
}

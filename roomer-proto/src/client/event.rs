//! The events, results and errors of a client.

use alloc::string::String;
use core::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use super::history::number_of;
use super::requests::{Request, RequestError, RequestId, ServerError};
use crate::websocket::Violation;
use crate::{ConnId, Packet};

/// Events of a client, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A connection was made.
    Opened {
        /// The client's id.
        id: ConnId,
        /// True if the previous session continues: with the same id, in the same rooms, and without
        /// lost messages.
        is_resumed: bool,
    },
    /// The connection was lost, or an attempt has failed; the client connects again.
    Suspended(Failure),
    /// The client does not connect again. Its last event.
    Closed(Closing),
    /// The client has joined a room for the first time.
    Joined {
        /// The room's name.
        room: ByteString,
    },
    /// The client is in a room again after a reconnect. Events about changed members precede this
    /// one.
    Rejoined {
        /// The room's name.
        room: ByteString,
        /// The client's previous id.
        previous_id: ConnId,
    },
    /// The server has rejected a join.
    Refused {
        /// The room's name.
        room: ByteString,
    },
    /// The client has left a room, as the application wished.
    Left {
        /// The room's name.
        room: ByteString,
    },
    /// The server has removed the client from a room.
    Removed {
        /// The room's name.
        room: ByteString,
    },
    /// Another client has joined a room.
    MemberJoined {
        /// The room's name.
        room: ByteString,
        /// The id of the new member.
        id: ConnId,
    },
    /// Another client has left a room.
    MemberLeft {
        /// The room's name.
        room: ByteString,
        /// The id of the former member.
        id: ConnId,
    },
    /// The info of a member has changed.
    MemberChanged {
        /// The room's name.
        room: ByteString,
        /// The id of the member.
        id: ConnId,
    },
    /// A room that remembers its messages no longer has all of those that the client has missed.
    /// [`Rejoined`](Self::Rejoined) and the last messages follow, as many as the client asks for.
    Missed {
        /// The room's name.
        room: ByteString,
    },
    /// A message has arrived.
    Message(Message),
    /// A message that is not a packet has arrived: a handler of the application has sent it.
    Raw(Bytes),
    /// A message that was accepted may not have arrived.
    Lost(Undelivered),
    /// A request of this client was answered, or will not be.
    Answered {
        /// The number of the request.
        request: RequestId,
        /// The answer's payload.
        result: Result<Bytes, RequestError>,
    },
    /// A request to this client, which has to be answered.
    Request(Request),
    /// The server has refused a packet of this client.
    Error(ServerError),
    /// The client's login expires. [`Client::renew`](super::Client::renew) answers with a new token.
    Expiring {
        /// The time that is left.
        left: Duration,
    },
}

/// A message from another client or from the server's application.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The room that the message belongs to.
    pub room: ByteString,
    /// The event's name.
    pub event: ByteString,
    /// The id of the sender; empty if it is the server.
    pub from: ByteString,
    /// True if the message was sent to this client alone.
    pub is_direct: bool,
    /// The number of the message in a room that remembers its messages, from 1.
    pub number: Option<u64>,
    /// The content, any bytes.
    pub payload: Bytes,
}

impl Message {
    /// Returns the payload as text.
    ///
    /// # Errors
    ///
    /// If the payload is not UTF-8.
    pub fn text(&self) -> Result<&str, core::str::Utf8Error> {
        core::str::from_utf8(&self.payload)
    }

    /// Deserializes the payload from JSON (feature `json`).
    ///
    /// # Errors
    ///
    /// The errors of [`PacketRef::json`](crate::PacketRef::json). The sender is at fault.
    #[cfg(feature = "json")]
    pub fn json<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, crate::JsonError> {
        crate::PacketRef { payload: &self.payload, ..Default::default() }.json()
    }
}

impl From<Packet> for Message {
    fn from(packet: Packet) -> Self {
        let Packet { room, event, dst, src, payload } = packet;
        let (is_direct, number) = (is_direct(&dst), number_of(&dst));
        Message { room, event, from: src, is_direct, number, payload }
    }
}

/// Returns true if the receiver of a packet is a client. In a room that remembers its messages, it is the
/// number of the message.
pub(super) fn is_direct(dst: &str) -> bool {
    !dst.is_empty() && !dst.starts_with('#')
}

/// A message that may not have arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undelivered {
    /// The packet that was to be sent.
    pub packet: Packet,
    /// Why it may not have arrived.
    pub reason: LostReason,
}

/// Why a message may not have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LostReason {
    /// The message was sent, and the connection broke, or the server removed the client from the
    /// room, before the server confirmed it: it may or may not have arrived.
    Unconfirmed,
    /// The room or the client was closed before it was sent.
    Unsent,
}

/// Why a connection was lost, or an attempt has failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The connection could not be made.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The server, or a proxy before it, answered the handshake with this status.
    #[error("the server rejected the handshake with status {status}")]
    Rejected {
        /// The HTTP status.
        status: u16,
    },
    /// The response to the handshake is not that of a WebSocket server.
    #[error("{0}")]
    Handshake(&'static str),
    /// There was no answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The stream ended, or was reset, without a close frame.
    #[error("the connection was lost")]
    Broken,
    /// The server closed the connection.
    #[error("closed by the server with {} {reason}", code.unwrap_or(1005))]
    Closed {
        /// The close code; `None` if the close frame has none.
        code: Option<u16>,
        /// The close reason; may be empty.
        reason: String,
    },
    /// The server broke the protocol.
    #[error("the server broke the protocol: {}", .0.reason)]
    Violation(Violation),
}

/// Why a client does not connect again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Closing {
    /// The application closed the client.
    #[error("closed by the application")]
    Application,
    /// The failure is final: a reconnect would be useless or unwanted.
    #[error("{0}")]
    Final(Failure),
    /// No retries are left. This was the last failure.
    #[error("gave up: {0}")]
    GaveUp(Failure),
}

/// The result of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sent {
    /// Passed to the network.
    Sent,
    /// The message waits for the connection, for the room to be joined, or for the server to confirm
    /// earlier ones.
    Queued,
}

/// A message was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The client has not joined the room, or has left it.
    #[error("the client is not in the room: join it first")]
    NotJoined,
    /// The queue is full.
    #[error("the queue is full: wait until messages are sent, or raise its limits")]
    Full,
    /// The message is larger than the server accepts, as it has announced, or than the queue.
    #[error("the message is larger than the server or the queue accepts")]
    TooLarge,
    /// The event belongs to the protocol, or the receiver is not an id: an empty one would make the
    /// message public, and one with a tag a request.
    #[error("the event belongs to the protocol, or the receiver is not an id")]
    Reserved,
    /// JSON cannot represent the value (feature `json`).
    #[error("JSON cannot represent the value")]
    NotJson,
    /// The request is answered already, or its session has ended.
    #[error("the request was answered already, or its session has ended")]
    NotAsked,
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
}

/// A join was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
    /// The server rejected the join.
    #[error("the server rejected the join")]
    Refused,
    /// The room was left before the server answered.
    #[error("the room was left before the server answered")]
    Left,
}

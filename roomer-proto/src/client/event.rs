//! Client events, messages, and the results of sending.

use core::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use super::error::{Closing, Failure, RequestError};
use super::history_cursor::number_of;
use super::request::{Request, RequestId, ServerError};
use crate::{ConnId, Packet};

/// An event of a client. Events are returned in the order in which they occurred.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The handshake has succeeded, so the client sends its joins and queued messages.
    Opened {
        /// The client's id.
        id: ConnId,
        /// True if the previous session continues: with the same id, in the same rooms, and without
        /// lost messages.
        is_resumed: bool,
    },
    /// The connection was lost or an attempt failed; the client will reconnect.
    Suspended(Failure),
    /// The client will not reconnect. This is its last event.
    Closed(Closing),
    /// The client has joined a room for the first time, or for the first time since the application
    /// left it or the server removed the client from it. If the application left the room and
    /// joined it again before the server answered, no `Left` precedes this event.
    Joined {
        /// The room's name.
        room: ByteString,
    },
    /// The client has rejoined a room after a reconnect. Events for changed members precede this
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
    /// The client has left a room at the application's request.
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
        /// The new member's id.
        id: ConnId,
    },
    /// Another client has left a room.
    MemberLeft {
        /// The room's name.
        room: ByteString,
        /// The former member's id.
        id: ConnId,
    },
    /// A member's info has changed, or the member is away or back
    /// ([`Members::is_away`](super::Members::is_away)). Also reported after a reconnect if the
    /// change occurred while the client had no session.
    MemberChanged {
        /// The room's name.
        room: ByteString,
        /// The member's id.
        id: ConnId,
    },
    /// The server no longer has all messages that the client missed in a room with history.
    /// [`Rejoined`](Self::Rejoined) follows, then as many of the latest messages as the client
    /// asked for.
    Missed {
        /// The room's name.
        room: ByteString,
    },
    /// A message from another client or from the server has arrived.
    Message(Message),
    /// A message that is not a packet has arrived, sent by a handler on the server.
    Raw(Bytes),
    /// A message that the client had accepted from the application may not have arrived.
    Lost(Undelivered),
    /// A request from this client has been answered or has failed.
    Answered {
        /// The number that identifies the request.
        request: RequestId,
        /// The answer's payload, or the reason why there is none.
        result: Result<Bytes, RequestError>,
    },
    /// A request from another client or the server, which the application must answer.
    Request(Request),
    /// The server rejected a packet from this client.
    Error(ServerError),
    /// The client's login is about to expire. Answer with [`Client::renew`](super::Client::renew).
    Expiring {
        /// The time left until the login expires.
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
    /// The sender's id; empty if the server sent the message.
    pub from: ByteString,
    /// True if the message was addressed to this client alone.
    pub is_direct: bool,
    /// The message's sequence number in a room with history, starting at 1.
    pub number: Option<u64>,
    /// The content: arbitrary bytes.
    pub payload: Bytes,
}

impl Message {
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
    /// Returns the same errors as [`PacketRef::json`](crate::PacketRef::json). The sender is at
    /// fault.
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

/// Returns true if `dst` contains a client's id. In a room with history, `dst` may instead contain
/// the message's sequence number.
pub(super) fn is_direct(dst: &str) -> bool {
    !dst.is_empty() && !dst.starts_with('#')
}

/// A message that may not have arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undelivered {
    /// The packet that may be lost.
    pub packet: Packet,
    /// The reason that it may not have arrived.
    pub reason: LostReason,
}

/// The reason that a message may not have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LostReason {
    /// The message was sent, but before the server confirmed it, the connection broke or the server
    /// removed the client from the room. It may or may not have arrived.
    Unconfirmed,
    /// The client was closed, left the room or was removed from it before the message was sent.
    Unsent,
    /// The message was queued before the server announced its size limit, and exceeds it.
    TooLarge,
}

/// The state of a message after a successful send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendStatus {
    /// The message was passed to the network.
    Sent,
    /// The message is queued: the client is not connected, has not joined the room, or is waiting for
    /// the server to confirm earlier messages.
    Queued,
}

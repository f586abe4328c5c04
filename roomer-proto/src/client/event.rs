//! The events of a client, and the results of sending.

use core::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use super::error::{Closing, Failure, RequestError};
use super::memory::number_of;
use super::request::{Request, RequestId, ServerError};
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
    /// The room or the client was closed before the message was sent.
    Unsent,
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

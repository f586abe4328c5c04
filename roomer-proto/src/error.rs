//! Why bytes are not a packet, or a packet cannot be bytes.

use core::fmt;

use crate::close;

/// One of the five fields of a packet, in wire order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The room that the packet belongs to.
    Room,
    /// The event's name.
    Event,
    /// The id of the one receiver; empty means the room.
    Dst,
    /// The id of the sender.
    Src,
    /// Anything.
    Payload,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Room => "room",
            Field::Event => "event",
            Field::Dst => "dst",
            Field::Src => "src",
            Field::Payload => "payload",
        })
    }
}

/// Why a message is not a packet. The peer is at fault; a server ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The message ends inside the four bytes of a field's length.
    #[error("message ends inside the length of {field}: {left} of 4 bytes")]
    NoLength {
        /// The field whose length is incomplete.
        field: Field,
        /// How many of its four bytes there are.
        left: usize,
    },
    /// A field claims more bytes than the message has left.
    #[error("{field} claims {claimed} bytes, but only {left} are left")]
    PastEnd {
        /// The field.
        field: Field,
        /// The length that it claims, in bytes.
        claimed: u32,
        /// The bytes that are left in the message.
        left: usize,
    },
    /// A name is not UTF-8.
    #[error("{field} is not UTF-8")]
    NotUtf8 {
        /// The field.
        field: Field,
    },
    /// There are bytes behind the payload.
    #[error("{extra} bytes after the payload")]
    TrailingBytes {
        /// How many.
        extra: usize,
    },
}

impl DecodeError {
    /// The WebSocket close code that fits (RFC 6455 section 7.4.1): 1007 for text that is not
    /// UTF-8, 1002 for everything else.
    #[must_use]
    pub fn close_code(&self) -> u16 {
        match self {
            DecodeError::NotUtf8 { .. } => close::INVALID_PAYLOAD.code,
            _ => close::PROTOCOL.code,
        }
    }
}

/// Why a packet cannot be encoded. The caller is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} has {len} bytes, but a field's length must fit 32 bits")]
pub struct EncodeError {
    /// The field that is too long.
    pub field: Field,
    /// Its length in bytes.
    pub len: usize,
}

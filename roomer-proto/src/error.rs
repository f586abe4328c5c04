//! Packet decoding and encoding errors.

use core::fmt;

use crate::close;

/// One of the five fields of a packet, in wire order.
///
/// The enum is exhaustive, since the wire format has no other fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The room that the packet belongs to.
    Room,
    /// The event's name.
    Event,
    /// The receiver's id; empty for a message to the room.
    Dst,
    /// The sender's id.
    Src,
    /// The content: arbitrary bytes.
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

/// The reason that a packet cannot be decoded. The peer is at fault; a server closes the connection.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The message ends inside a field's four-byte length.
    #[error("message ends inside the length of {field}: {left} of 4 bytes")]
    NoLength {
        /// The field whose length is incomplete.
        field: Field,
        /// The number of bytes present, below four.
        left: usize,
    },
    /// A field claims to be longer than the rest of the message.
    #[error("{field} claims {claimed} bytes, but only {left} are left")]
    PastEnd {
        /// The field that is cut off.
        field: Field,
        /// The length that the field claims, in bytes.
        claimed: u32,
        /// The number of bytes left in the message.
        left: usize,
    },
    /// A name is not valid UTF-8.
    #[error("{field} is not UTF-8")]
    NotUtf8 {
        /// The field that is not UTF-8.
        field: Field,
    },
    /// The message has bytes after the payload.
    #[error("{extra} bytes after the payload")]
    TrailingBytes {
        /// The number of bytes after the payload.
        extra: usize,
    },
}

impl DecodeError {
    /// Returns the WebSocket close code (RFC 6455 section 7.4.1): 1007 for names that are not valid
    /// UTF-8, 1002 for all other errors.
    #[must_use]
    pub fn close_code(&self) -> u16 {
        match self {
            // RFC 6455 section 7.4.1 defines 1007 for data inconsistent with the message's type.
            DecodeError::NotUtf8 { .. } => close::INVALID_PAYLOAD.code,
            _ => close::PROTOCOL.code,
        }
    }
}

/// The error for a packet that cannot be encoded. The caller is at fault.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field} has {len} bytes, but a field's length must fit into 32 bits")]
pub struct EncodeError {
    /// The field that is too long.
    pub field: Field,
    /// The field's length in bytes.
    pub len: usize,
}

/// Implements `Debug` like `Display`, because an error returned by `main` is printed with `Debug`.
#[doc(hidden)]
#[macro_export]
macro_rules! debug_as_display {
    ($($error:ty),+) => {$(
        impl ::core::fmt::Debug for $error {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Display::fmt(self, f)
            }
        }
    )+};
}

debug_as_display!(DecodeError, EncodeError);

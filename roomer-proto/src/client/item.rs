//! An outgoing packet, and what it is for.

use bytes::Bytes;
use bytestring::ByteString;

use super::rates::Cost;
use crate::PacketRef;

/// An outgoing packet.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) room: ByteString,
    pub(super) kind: Kind,
    pub(super) bytes: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Join,
    Leave,
    Probe,
    /// A renewed login.
    Token,
    /// The client's info.
    Info,
    /// A request with its number.
    Request(u64),
    /// An answer to a request.
    Answer,
    /// A message that was reported as lost.
    Reported,
}

impl Item {
    /// Returns true if the packet waits for the next session, if it was not sent in this one.
    pub(super) fn waits(&self) -> bool {
        matches!(self.kind, Kind::Message | Kind::Request(_))
    }

    /// Returns what the packet takes of the server's rates.
    pub(super) fn cost(&self) -> Cost {
        [1, self.bytes.len(), usize::from(self.kind == Kind::Join)]
    }
}

/// Creates an outgoing packet.
pub(super) fn item(packet: &PacketRef<'_>, kind: Kind) -> Item {
    Item { room: packet.room.into(), kind, bytes: packet.to_bytes() }
}

/// A room that cannot be joined with this client. The server answers the request to leave it like any
/// other; see the outbox.
pub(super) const PROBE: &str = "\0probe";

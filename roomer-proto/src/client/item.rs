//! Outgoing packets, each with the kind of its content.

use core::fmt;

use bytes::Bytes;

use crate::PacketRef;

/// An outgoing packet.
#[derive(Clone)]
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) bytes: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Join,
    Leave,
    Probe,
    /// A new token for an expiring login.
    Token,
    /// New info for the client.
    Info,
    /// A request to another client or the server, by number.
    Request(u64),
    /// An answer to a request from another client or the server.
    Answer,
    /// A message already reported as lost, kept in `sent` because confirmations count it.
    Reported,
}

impl Item {
    /// Returns the name of the packet's room.
    pub(super) fn room(&self) -> &str {
        self.packet().room
    }

    pub(super) fn packet(&self) -> PacketRef<'_> {
        // Decoding cannot fail, because `item` has encoded these bytes.
        PacketRef::decode(&self.bytes).unwrap_or_default()
    }

    /// Returns true if the packet is queued again when the session is lost before the packet has
    /// been written.
    pub(super) fn waits(&self) -> bool {
        matches!(self.kind, Kind::Message | Kind::Request(_))
    }
}

/// Omits the bytes, which may contain a token.
impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Item { kind, bytes } = self;
        let mut item = f.debug_struct("Item");
        item.field("room", &self.room()).field("kind", kind).field("bytes", &bytes.len()).finish()
    }
}

/// Creates an outgoing packet.
pub(super) fn item(packet: &PacketRef<'_>, kind: Kind) -> Item {
    Item { kind, bytes: packet.to_bytes() }
}

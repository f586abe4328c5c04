//! Application access to room histories.

use bytes::Bytes;
use bytestring::ByteString;
use roomer_hub::ConnId;

use crate::Server;

/// A message in a room's history ([`Server::history`]).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PastMessage {
    /// The message's number in the room. Numbers are consecutive.
    pub number: u64,
    /// The event's name.
    pub event: ByteString,
    /// The sender's id, or `None` for a message from the server.
    pub src: Option<ConnId>,
    /// The payload, as it was sent.
    pub payload: Bytes,
}

impl Server {
    /// Returns the newest messages in a room's history
    /// ([`Builder::history`](crate::Builder::history)), at most `last`, oldest first. Empty if the
    /// room has no history. Messages are copied under the server's lock, so request as few as
    /// possible.
    ///
    /// The history belongs to this process, and therefore to this node in a cluster.
    #[must_use]
    pub fn history(&self, room: impl AsRef<str>, last: usize) -> Vec<PastMessage> {
        let core = self.0.core();
        let messages = core.hub.tables().history(self.0.now(), room.as_ref(), last);
        messages
            .map(|(number, packet)| PastMessage {
                number,
                event: packet.event.into(),
                src: packet.src.parse().ok(),
                payload: Bytes::copy_from_slice(packet.payload),
            })
            .collect()
    }
}

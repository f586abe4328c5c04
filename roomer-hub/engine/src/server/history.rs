//! The messages that rooms remember, for the application.

use bytes::Bytes;
use bytestring::ByteString;
use roomer_hub::ConnId;

use crate::Server;

/// A message that a room remembers ([`Server::history`]).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PastMessage {
    /// Its number in the room: one more than that of the message before.
    pub number: u64,
    /// The name of the event.
    pub event: ByteString,
    /// The sender; `None` for a message of the server itself.
    pub src: Option<ConnId>,
    /// The payload, as it was sent.
    pub payload: Bytes,
}

impl Server {
    /// Returns the last messages that a room remembers ([`Builder::history`](crate::Builder::history)),
    /// the oldest first, and at most `last` of them. Empty if the room does not remember. They are
    /// copied while the server waits, so ask for as few as possible.
    ///
    /// The memory is that of this process, and of this node in a cluster.
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

//! Extended clients in rooms with a message history.

use roomer_proto::extended::{Position, Recall};
use roomer_proto::{JOIN, PacketRef};

use super::client::Client;

impl Client {
    /// Requests to join a room with history and to receive its missed messages, which are recorded
    /// like other messages.
    pub fn join_and_recall(&self, room: &str, recall: Recall) {
        let at = recall.at.map(|at| format!("\"at\":{at}"));
        let last = recall.last.map(|last| format!("\"last\":{last}"));
        let keys: Vec<_> = [at, last].into_iter().flatten().collect();
        let payload = format!("{{{}}}", keys.join(","));
        let payload = payload.as_bytes();
        self.send_packet(&PacketRef { room, event: JOIN, payload, ..PacketRef::default() });
    }

    /// Returns this extended client's position in a room's history.
    #[must_use]
    pub fn position(&self, room: &str) -> Option<Position> {
        self.state().view.numbers.get(room).map(|numbers| numbers.at)
    }

    /// Returns true if the server had every message after the position that the client sent with
    /// its join.
    #[must_use]
    pub fn has_recovered(&self, room: &str) -> bool {
        self.state().view.numbers.get(room).is_some_and(|numbers| numbers.has_recovered)
    }
}

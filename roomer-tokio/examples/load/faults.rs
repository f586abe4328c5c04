//! Faults: violations of the protocol by the server.

use roomer_proto::PacketRef;

/// Counts faults. Only the first is described.
#[derive(Debug, Default)]
pub struct Faults {
    count: u64,
    first: Option<String>,
}

impl Faults {
    /// Counts a fault. `words` describes it if it is the first one.
    #[cold]
    pub fn add(&mut self, words: impl FnOnce() -> String) {
        self.add_many(1, words);
    }

    /// Counts `count` faults of the same kind.
    pub fn add_many(&mut self, count: u64, words: impl FnOnce() -> String) {
        if count > 0 {
            self.first.get_or_insert_with(words);
            self.count += count;
        }
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn first(&self) -> Option<&str> {
        self.first.as_deref()
    }
}

/// Describes a packet, with the payload's size instead of the payload.
pub fn show(packet: &PacketRef<'_>) -> String {
    let PacketRef { room, event, dst, src, payload } = packet;
    format!("{event:?} in {room:?} from {src:?} to {dst:?}, {} bytes", payload.len())
}

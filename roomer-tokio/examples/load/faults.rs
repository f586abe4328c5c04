//! What the server did that it must not do.

use roomer_proto::PacketRef;

/// Counts faults and remembers the first in words.
#[derive(Debug, Default)]
pub struct Faults {
    count: u64,
    first: Option<String>,
}

impl Faults {
    /// One fault; its words are only made when it is the first.
    #[cold]
    pub fn add(&mut self, words: impl FnOnce() -> String) {
        self.add_many(1, words);
    }

    /// Several of one kind; none when `count` is 0.
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

/// A packet in words, with the size of its payload instead of its bytes.
pub fn show(packet: &PacketRef<'_>) -> String {
    let PacketRef { room, event, dst, src, payload } = packet;
    format!("{event:?} in {room:?} from {src:?} to {dst:?}, {} bytes", payload.len())
}

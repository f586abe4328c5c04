//! What is known of a turn, gone through in order: the journal's entries, and what handlers did.

use roomer_engine::Applied;

pub(super) struct Cursor<'a, T> {
    items: &'a [T],
    at: usize,
}

impl<'a, T: Copy> Cursor<'a, T> {
    pub(super) fn new(items: &'a [T]) -> Self {
        Cursor { items, at: 0 }
    }

    /// How many have been gone through.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn peek(&self) -> Option<T> {
        self.items.get(self.at).copied()
    }

    pub(super) fn next(&mut self) -> Option<T> {
        let item = self.peek()?;
        self.at += 1;
        Some(item)
    }
}

/// An entry as a part of the trace's hash.
pub(super) fn kind(entry: Applied) -> u64 {
    match entry {
        Applied::Opened(_) => 1,
        Applied::Packet(_) => 2,
        Applied::Gone(_) => 3,
        Applied::Broadcast(_) => 4,
        Applied::Send(_) => 5,
        Applied::Join(_) => 9,
        Applied::Leave(_) => 10,
        Applied::Allowed(_) => 7,
        Applied::Denied(_) => 8,
        Applied::Close(_, code) => 0x1_0000 + u64::from(code),
        _ => 6,
    }
}

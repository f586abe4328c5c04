//! A cursor over the entries of one poll, in the engine's journal or in the application's log.

use roomer_engine::RecordedInput;

pub(super) struct Cursor<'a, T> {
    items: &'a [T],
    at: usize,
}

impl<'a, T: Copy> Cursor<'a, T> {
    pub(super) fn new(items: &'a [T]) -> Self {
        Cursor { items, at: 0 }
    }

    /// Returns the number of entries that were consumed.
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

/// Returns the number for the kind of an input, which is hashed in the trace.
pub(super) fn kind(entry: RecordedInput) -> u64 {
    match entry {
        RecordedInput::Opened(_) => 1,
        RecordedInput::Packet(_) => 2,
        RecordedInput::Gone(_) => 3,
        RecordedInput::Broadcast(_) => 4,
        RecordedInput::Send(_) => 5,
        RecordedInput::Join(_) => 9,
        RecordedInput::Leave(_) => 10,
        RecordedInput::Allowed(_) => 7,
        RecordedInput::Denied(_) => 8,
        RecordedInput::Close(_, code) => 0x1_0000 + u64::from(code),
        _ => 6,
    }
}

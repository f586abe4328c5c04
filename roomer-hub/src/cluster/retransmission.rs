//! The frames to send again to a peer that has missed them.

/// The maximum number of bytes that the peer has not applied, of retransmitted frames, and of the
/// member list at the start of a stream. A broker disconnects a slow reader when too many bytes are
/// waiting for it. A peer acknowledges every 256 KiB, so the next frames can be sent before the last
/// ones are applied.
pub(super) const WINDOW: usize = 512 * 1024;

/// A range of frames to retransmit, and the part of it that may be sent now.
#[derive(Debug)]
pub(super) struct Retransmission {
    next: u64,
    last: u64,
    /// The number of the last frame that fits in [`WINDOW`].
    window_end: u64,
}

impl Retransmission {
    pub(super) fn new(first: u64, last: u64, window_end: u64) -> Self {
        Retransmission { next: first, last, window_end }
    }

    /// Returns the last frame's number.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Returns the number of the frame to send now; `None` until the peer has applied earlier ones.
    pub(super) fn next(&self) -> Option<u64> {
        (self.next <= self.window_end).then_some(self.next)
    }

    /// Records that a frame was sent. Returns false if it was the last one.
    pub(super) fn advance(&mut self) -> bool {
        self.next += 1;
        self.next <= self.last
    }

    /// Skips the frames up to `applied`, and moves the window. Returns `None` if the peer has applied
    /// all frames of the range.
    pub(super) fn after(self, applied: u64, window_end: u64) -> Option<Self> {
        let next = self.next.max(applied + 1);
        (next <= self.last).then_some(Retransmission { next, window_end, ..self })
    }
}

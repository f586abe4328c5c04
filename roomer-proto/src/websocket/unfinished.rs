//! The buffers of an incomplete frame or message, kept between chunks.

use alloc::vec::Vec;

use super::message::FragmentedMessage;

/// The received part of an incomplete frame or message.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    /// Buffered bytes. Those not consumed belong to at most one frame, unless a feed was dropped
    /// early.
    pub(super) buffer: Vec<u8>,
    /// The number of bytes at the start of the buffer that have been consumed.
    pub(super) consumed: usize,
    /// The number of bytes at the start of the buffer that hold complete frames without pings and
    /// pongs, as far as [`Decoder::defer`](super::Decoder::defer) has examined them.
    pub(super) examined: usize,
    pub(super) message: Option<FragmentedMessage>,
}

impl Unfinished {
    /// Returns the number of allocated bytes.
    pub(super) fn held(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |message| message.data.capacity());
        self.buffer.capacity() + message
    }

    /// Returns the number of bytes not yet reported by an event.
    pub(super) fn len(&self) -> usize {
        let message = self.message.as_ref().filter(|message| !message.is_complete);
        self.rest().len() + message.map_or(0, |message| message.data.len())
    }

    /// Returns the buffered bytes that have not been consumed.
    pub(super) fn rest(&self) -> &[u8] {
        &self.buffer[self.consumed..]
    }

    /// Frees consumed data. Returns true if no data is left.
    pub(super) fn release_consumed(&mut self) -> bool {
        if self.consumed == self.buffer.len() {
            // Free the buffer instead of clearing it so that an idle connection holds no memory.
            self.buffer = Vec::new();
            (self.consumed, self.examined) = (0, 0);
        }
        self.message.take_if(|message| message.is_complete);
        self.buffer.is_empty() && self.message.is_none()
    }

    /// Appends bytes to the buffer. Its capacity follows the received bytes, not the announced
    /// length: it at most doubles, and never exceeds `frame_len`, the length of the frame that
    /// starts in the buffer.
    pub(super) fn push(&mut self, bytes: &[u8], frame_len: usize) {
        if self.buffer.len() + bytes.len() > self.buffer.capacity() {
            // First reuse the space of consumed bytes: otherwise, it would accumulate if every
            // chunk ended inside a frame.
            self.buffer.drain(..self.consumed);
            self.examined = self.examined.saturating_sub(core::mem::take(&mut self.consumed));
            let len = self.buffer.len() + bytes.len();
            let capacity = (2 * self.buffer.capacity()).min(frame_len).max(len);
            self.buffer.reserve_exact(capacity - self.buffer.len());
        }
        self.buffer.extend_from_slice(bytes);
    }
}

//! The state that a session keeps between two chunks of bytes.

use alloc::vec::Vec;

use super::message::FragmentedMessage;

/// The received part of an incomplete frame or message.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    /// Bytes that no event has consumed yet; at most one frame's, unless a feed was dropped early.
    pub(super) buffer: Vec<u8>,
    /// The length of the beginning of the buffer that was consumed.
    pub(super) consumed: usize,
    pub(super) message: Option<FragmentedMessage>,
}

impl Unfinished {
    /// Returns the number of bytes that are allocated.
    pub(super) fn held(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |message| message.data.capacity());
        self.buffer.capacity() + message
    }

    /// Returns the number of bytes that no event has reported.
    pub(super) fn len(&self) -> usize {
        let message = self.message.as_ref().filter(|message| !message.is_complete);
        self.rest().len() + message.map_or(0, |message| message.data.len())
    }

    /// Returns the buffered bytes that no event has consumed.
    pub(super) fn rest(&self) -> &[u8] {
        &self.buffer[self.consumed..]
    }

    /// Releases what was consumed. Returns true if nothing is left.
    pub(super) fn release_consumed(&mut self) -> bool {
        if self.consumed == self.buffer.len() {
            // Freed, not cleared: an idle connection should hold no memory.
            self.buffer = Vec::new();
            self.consumed = 0;
        }
        self.message.take_if(|message| message.is_complete);
        self.buffer.is_empty() && self.message.is_none()
    }

    /// Appends to the buffer. Its memory follows the bytes that were received, not the length that
    /// was announced: it at most doubles, and never exceeds `frame_len`, the length of the frame
    /// that the unconsumed bytes start.
    pub(super) fn push(&mut self, bytes: &[u8], frame_len: usize) {
        if self.buffer.len() + bytes.len() > self.buffer.capacity() {
            // Reuse the space of consumed bytes first. Otherwise they would accumulate if each chunk
            // ends inside a frame.
            self.buffer.drain(..core::mem::take(&mut self.consumed));
            let len = self.buffer.len() + bytes.len();
            let capacity = (2 * self.buffer.capacity()).min(frame_len).max(len);
            self.buffer.reserve_exact(capacity - self.buffer.len());
        }
        self.buffer.extend_from_slice(bytes);
    }
}

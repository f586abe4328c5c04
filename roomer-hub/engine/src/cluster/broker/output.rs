//! The queue of bytes not yet written to the broker.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// Frames of at least this size, in bytes, are written from their own buffers instead of being
/// copied.
const SHARED_FROM: usize = 4096;

/// The maximum total size of queued frames, in bytes. A larger frame is accepted only into an empty
/// queue.
pub(in crate::cluster) const MAX_QUEUED: usize = 1024 * 1024;

/// A byte queue that is written with few system calls: small frames are copied into one buffer.
#[derive(Debug, Default)]
pub(in crate::cluster) struct Output {
    /// The bytes to write first.
    parts: VecDeque<Bytes>,
    /// The bytes after `parts`.
    tail: BytesMut,
    length: usize,
}

impl Output {
    pub(in crate::cluster) fn len(&self) -> usize {
        self.length
    }

    /// Returns true if a frame may be queued. A frame above the limit is accepted into an empty queue,
    /// since it could never be sent otherwise.
    pub(in crate::cluster) fn has_space(&self, frame: &Bytes) -> bool {
        self.length == 0 || self.length + frame.len() <= MAX_QUEUED
    }

    pub(in crate::cluster) fn push(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        self.length += bytes.len();
    }

    pub(in crate::cluster) fn push_shared(&mut self, bytes: Bytes) {
        if bytes.len() < SHARED_FROM {
            return self.push(&bytes);
        }
        // Move the bytes copied earlier to `parts` first, since they must be written before this
        // frame.
        if !self.tail.is_empty() {
            self.parts.push_back(self.tail.split().freeze());
        }
        self.length += bytes.len();
        self.parts.push_back(bytes);
    }

    /// Fills `slices` with the first queued bytes, for one vectored write. Returns the number of
    /// slices.
    pub(in crate::cluster) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let parts = self.parts.iter().map(|part| &part[..]).chain([&self.tail[..]]);
        let parts = parts.filter(|part| !part.is_empty());
        let mut count = 0;
        for (slice, part) in slices.iter_mut().zip(parts) {
            *slice = IoSlice::new(part);
            count += 1;
        }
        count
    }

    /// Removes written bytes.
    pub(in crate::cluster) fn advance(&mut self, mut count: usize) {
        self.length -= count;
        while let Some(part) = self.parts.front_mut() {
            if part.len() > count {
                return part.advance(count);
            }
            count -= part.len();
            self.parts.pop_front();
        }
        if count == self.tail.len() {
            // Use `clear`, which unlike `advance` keeps the allocation for the next frames.
            self.tail.clear();
        } else {
            self.tail.advance(count);
        }
    }
}

//! The bytes that wait for the broker.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// Frames of at least this size are written from their own buffer, and not copied after the others.
const SHARED_FROM: usize = 4096;

/// A queue of bytes, written with few system calls: small frames are copied into one buffer.
#[derive(Debug, Default)]
pub(in crate::cluster) struct Output {
    /// The first bytes.
    parts: VecDeque<Bytes>,
    /// The bytes after them.
    tail: BytesMut,
    length: usize,
}

impl Output {
    pub(in crate::cluster) fn len(&self) -> usize {
        self.length
    }

    pub(in crate::cluster) fn push(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        self.length += bytes.len();
    }

    pub(in crate::cluster) fn push_shared(&mut self, bytes: Bytes) {
        if bytes.len() < SHARED_FROM {
            return self.push(&bytes);
        }
        // What was copied before stays before it.
        if !self.tail.is_empty() {
            self.parts.push_back(self.tail.split().freeze());
        }
        self.length += bytes.len();
        self.parts.push_back(bytes);
    }

    /// Returns the first bytes as slices for one write, and their number.
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

    /// Removes bytes that are written.
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
            // Keeps the memory for the next frames, which `advance` would not.
            self.tail.clear();
        } else {
            self.tail.advance(count);
        }
    }
}

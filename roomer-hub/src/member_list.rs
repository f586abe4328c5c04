//! Member lists as JSON, updated in place and shared between receivers.
//!
//! A list of ten thousand ids takes 390 KB. If each of 64 joining clients had its own unread copy,
//! the copies would take 25 MB. The list is therefore stored in chunks that are immutable once they
//! are full: a `join_ack` shares them, and copies only the rest. A leave moves the last member into
//! the gap, which requires copying only one chunk.

use std::iter;

use bytes::Bytes;
use roomer_proto::ConnId;

/// The length of an entry: a separator, two quotes and an id. Ids need no escaping and all have
/// the same length.
const ENTRY_LEN: usize = ConnId::LEN + 3;

/// The number of entries in a full chunk, which has 3,900 bytes.
const ENTRIES_PER_CHUNK: usize = 100;

/// The length of a full chunk in bytes.
const CHUNK_LEN: usize = ENTRIES_PER_CHUNK * ENTRY_LEN;

/// A JSON array of ids without its closing bracket.
#[derive(Debug, Default)]
pub(crate) struct MemberList {
    full: Vec<Bytes>,
    /// The last chunk, which is copied for every receiver.
    tail: Vec<u8>,
}

impl MemberList {
    /// Appends an id. The first entry is preceded by `begin`, the others by a comma.
    #[inline]
    pub(crate) fn push(&mut self, id: &ConnId, begin: u8) {
        if self.tail.len() == CHUNK_LEN {
            // Release spare capacity, since a full chunk never grows.
            let mut chunk = std::mem::replace(&mut self.tail, Vec::with_capacity(CHUNK_LEN));
            chunk.shrink_to_fit();
            self.full.push(chunk.into());
        }
        // Compute this from the lengths, because another entry may have replaced the first one.
        let is_first = self.full.is_empty() && self.tail.is_empty();
        // Reserve the space in one step; otherwise, the first entry would cause three
        // reallocations.
        self.tail.reserve(ENTRY_LEN);
        self.tail.push(if is_first { begin } else { b',' });
        self.tail.push(b'"');
        self.tail.extend_from_slice(id.as_ref());
        self.tail.push(b'"');
    }

    /// Removes the entry at `index`, and moves the last entry there.
    #[inline]
    pub(crate) fn swap_remove(&mut self, index: usize) {
        // This cannot underflow: the list is not empty, and its last entry is always in the tail.
        let last = self.tail.len() - ENTRY_LEN;
        // Exclude the separator, which is different for the first entry.
        let id: [u8; ENTRY_LEN - 1] = std::array::from_fn(|at| self.tail[last + 1 + at]);
        let start = 1 + index % ENTRIES_PER_CHUNK * ENTRY_LEN;
        match self.full.get_mut(index / ENTRIES_PER_CHUNK) {
            Some(chunk) => {
                // This copies the chunk only if a receiver still shares it.
                let mut copy = Vec::from(std::mem::take(chunk));
                copy[start..start + id.len()].copy_from_slice(&id);
                *chunk = copy.into();
            }
            None => self.tail[start..start + id.len()].copy_from_slice(&id),
        }
        self.tail.truncate(last);
        if last == 0
            && let Some(chunk) = self.full.pop()
        {
            // The tail must not be empty while there are full chunks, because the next removal
            // takes the last entry from the tail.
            self.tail = chunk.into();
        }
    }

    /// Replaces the whole text.
    pub(crate) fn replace(&mut self, full: &[Bytes], tail: Vec<u8>) {
        full.clone_into(&mut self.full);
        self.tail = tail;
    }

    pub(crate) fn shrink(&mut self) {
        self.tail.shrink_to_fit();
        self.full.shrink_to_fit();
    }

    /// Returns the total number of allocated bytes.
    #[cfg(test)]
    pub(crate) fn allocated(&self) -> usize {
        let full: usize = self.full.iter().map(Bytes::len).sum();
        full + self.tail.capacity() + self.full.capacity() * size_of::<Bytes>()
    }

    /// Returns the number of bytes allocated for the last chunk.
    pub(crate) fn capacity(&self) -> usize {
        self.tail.capacity()
    }

    pub(crate) fn snapshot(&self) -> Snapshot<'_> {
        Snapshot { full: &self.full, tail: &self.tail, rest: None, end: b"]" }
    }

    /// Returns a snapshot of this list followed by `rest`, which starts with a comma.
    pub(crate) fn snapshot_with<'a>(&'a self, rest: &'a MemberList) -> Snapshot<'a> {
        Snapshot { rest: Some(rest), ..self.snapshot() }
    }
}

/// The payload of a `join_ack`, in chunks that can be shared. It contains a room's members as JSON
/// or their number, depending on the room's [`Presence`](crate::Presence) and the receiver's
/// protocol.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    full: &'a [Bytes],
    tail: &'a [u8],
    /// The list of guests, which follows the members.
    rest: Option<&'a MemberList>,
    end: &'a [u8],
}

impl<'a> Snapshot<'a> {
    /// Creates a snapshot from its complete text.
    pub(crate) fn plain(text: &'a [u8]) -> Self {
        Snapshot { full: &[], tail: text, rest: None, end: b"" }
    }

    /// Creates a snapshot of the members and the guests, both with their info.
    pub(crate) fn with_info(
        full: &'a [Bytes],
        tail: &'a [u8],
        guests: &'a MemberList,
        end: &'a [u8],
    ) -> Self {
        Snapshot { full, tail, rest: Some(guests), end }
    }

    /// Returns the text's length in bytes, which is never 0.
    #[allow(clippy::len_without_is_empty)]
    #[must_use]
    pub fn len(&self) -> usize {
        self.runs().map(Run::len).sum()
    }

    /// Returns the runs that make up the text: one for the members, followed by one for the
    /// guests, if any.
    pub fn runs(&self) -> impl Iterator<Item = Run<'a>> + use<'a> {
        let (end, first_end) = (self.end, if self.rest.is_some() { b"" } else { self.end });
        let first = Run { full: self.full, tail: self.tail, end: first_end };
        let rest = self.rest.map(|list| Run { full: &list.full, tail: &list.tail, end });
        iter::once(first).chain(rest)
    }

    /// Returns a copy of the whole text.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.len());
        for run in self.runs() {
            run.chunks().iter().for_each(|chunk| text.extend_from_slice(chunk));
            run.write_tail(&mut text);
        }
        text
    }
}

/// A part of a [`Snapshot`]: chunks that can be shared, followed by text to copy.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    full: &'a [Bytes],
    tail: &'a [u8],
    end: &'a [u8],
}

impl<'a> Run<'a> {
    fn len(self) -> usize {
        self.full.iter().map(Bytes::len).sum::<usize>() + self.tail.len() + self.end.len()
    }

    /// Returns the full chunks. All snapshots of the room share them until they change. A small
    /// room has none.
    #[must_use]
    pub fn chunks(&self) -> &'a [Bytes] {
        self.full
    }

    /// Appends the text that follows the chunks, which is shorter than a chunk.
    pub fn write_tail(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.tail);
        out.extend_from_slice(self.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> ConnId {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        ConnId::from_random_bytes(bytes)
    }

    fn text(ids: &[ConnId]) -> String {
        let quoted: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
        format!("[{}]", quoted.join(","))
    }

    #[test]
    fn text_matches_plain_list_after_any_leave() {
        // Test list sizes around the chunk boundaries, and leaves at the edges and in the middle.
        for size in [1, 2, 99, 100, 101, 200, 201, 350] {
            for index in [0, 1, 98, 99, 100, 101, 199, 200, size - 1] {
                let mut ids: Vec<ConnId> = (0..size as u32).map(id).collect();
                let mut list = MemberList::default();
                ids.iter().for_each(|id| list.push(id, b'['));
                let shared = list.full.clone();
                let before = shared.concat();
                for leaving in (index..size).rev().take(150) {
                    ids.swap_remove(leaving);
                    list.swap_remove(leaving);
                    if !ids.is_empty() {
                        let snapshot = list.snapshot();
                        assert_eq!(String::from_utf8(snapshot.to_vec()).unwrap(), text(&ids));
                        assert_eq!(snapshot.len(), text(&ids).len());
                    }
                }
                assert_eq!(shared.concat(), before, "a shared chunk changed");
                ids.push(id(7777));
                list.push(&id(7777), b'[');
                assert_eq!(list.snapshot().to_vec(), text(&ids).into_bytes());
            }
        }
    }
}

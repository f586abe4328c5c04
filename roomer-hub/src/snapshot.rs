//! A room's member list as JSON text, kept up to date and shared by all who are sent it.
//!
//! Ten thousand ids are 390 KB; if each of sixty-four joiners who have not read theirs yet had a
//! copy, that would be 25 MB. So the text lies in pages that never change once they are full: an
//! answer shares them and copies only what is behind the last. A leave puts the last member into
//! the gap, at the cost of that one page.

use bytes::Bytes;

use roomer_proto::ConnId;

/// Bytes that a member takes: what separates it from the one before, its id, two quotes. Ids need
/// no escaping and are all of one length.
const ENTRY_LEN: usize = ConnId::LEN + 3;

/// Members of a full page, which is 3,900 bytes.
const ENTRIES_PER_CHUNK: usize = 100;

/// The text up to, but without, the closing bracket.
#[derive(Debug, Default)]
pub(crate) struct MemberList {
    full: Vec<Bytes>,
    tail: Vec<u8>,
}

impl MemberList {
    pub(crate) fn push(&mut self, id: &ConnId) {
        if self.tail.len() == ENTRIES_PER_CHUNK * ENTRY_LEN {
            self.full.push(std::mem::take(&mut self.tail).into());
        }
        let is_first = self.full.is_empty() && self.tail.is_empty();
        self.tail.push(if is_first { b'[' } else { b',' });
        self.tail.push(b'"');
        self.tail.extend_from_slice(id.as_str().as_bytes());
        self.tail.push(b'"');
    }

    /// Puts the last member in the place of the one at `place`.
    pub(crate) fn swap_remove(&mut self, place: usize) {
        let last = self.tail.len() - ENTRY_LEN;
        // All but the separator, which belongs to the place.
        let id: [u8; ENTRY_LEN - 1] = std::array::from_fn(|index| self.tail[last + 1 + index]);
        let cell = 1 + place % ENTRIES_PER_CHUNK * ENTRY_LEN;
        match self.full.get_mut(place / ENTRIES_PER_CHUNK) {
            Some(page) => {
                let mut copy = Vec::from(std::mem::take(page));
                copy[cell..cell + id.len()].copy_from_slice(&id);
                *page = copy.into();
            }
            None => self.tail[cell..cell + id.len()].copy_from_slice(&id),
        }
        self.tail.truncate(last);
        if last == 0
            && let Some(page) = self.full.pop()
        {
            self.tail = page.into();
        }
    }

    pub(crate) fn shrink(&mut self) {
        self.tail.shrink_to_fit();
        self.full.shrink_to_fit();
    }

    /// Bytes that memory is held for behind the last full page.
    pub(crate) fn capacity(&self) -> usize {
        self.tail.capacity()
    }

    pub(crate) fn snapshot(&self) -> Snapshot<'_> {
        Snapshot { full: &self.full, tail: &self.tail, end: b"]" }
    }
}

/// The members of a room as a JSON array of ids, or as a number, as the room's
/// [`Presence`](crate::Presence) wants it: the payload of a `join_ack`, in pieces that can be
/// shared.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    full: &'a [Bytes],
    tail: &'a [u8],
    end: &'static [u8],
}

impl<'a> Snapshot<'a> {
    /// A text that lies in one piece.
    pub(crate) fn plain(text: &'a [u8]) -> Self {
        Snapshot { full: &[], tail: text, end: b"" }
    }

    /// The length of the whole text in bytes; never 0.
    #[allow(clippy::len_without_is_empty)]
    #[must_use]
    pub fn len(&self) -> usize {
        self.full.iter().map(Bytes::len).sum::<usize>() + self.tail.len() + self.end.len()
    }

    /// The text's beginning, in buffers to share. Empty for a small room.
    #[must_use]
    pub fn pages(&self) -> &'a [Bytes] {
        self.full
    }

    /// Appends what follows the pages.
    pub fn write_tail(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.tail);
        out.extend_from_slice(self.end);
    }

    /// The whole text.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut text = self.full.concat();
        self.write_tail(&mut text);
        text
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
    fn says_the_same_as_a_plain_list_whoever_leaves() {
        // Sizes at which pages begin and end, and leavers at the edges and in the middle.
        for size in [1, 2, 99, 100, 101, 200, 201, 350] {
            for place in [0, 1, 98, 99, 100, 101, 199, 200, size - 1] {
                let mut ids: Vec<ConnId> = (0..size as u32).map(id).collect();
                let mut pages = MemberList::default();
                ids.iter().for_each(|id| pages.push(id));
                let shared = pages.snapshot().pages().to_vec();
                let before = shared.concat();
                for leaver in (place..size).rev().take(150) {
                    ids.swap_remove(leaver);
                    pages.swap_remove(leaver);
                    if !ids.is_empty() {
                        let snapshot = pages.snapshot();
                        assert_eq!(String::from_utf8(snapshot.to_vec()).unwrap(), text(&ids));
                        assert_eq!(snapshot.len(), text(&ids).len());
                    }
                }
                assert_eq!(shared.concat(), before, "what was shared has changed");
                ids.push(id(7777));
                pages.push(&id(7777));
                assert_eq!(pages.snapshot().to_vec(), text(&ids).into_bytes());
            }
        }
    }
}

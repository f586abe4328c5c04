//! JSON entries of a room's members and their info, cached in chunks for extended members.
//!
//! Entries vary in length and change, so the text cannot be updated in place like that of a
//! [`MemberList`]. Its full chunks are built when a `join_ack` needs them, shared by all receivers,
//! and kept until one of their entries changes. A room without extended members has no chunks.
//!
//! [`MemberList`]: crate::member_list::MemberList

use bytes::Bytes;

/// The number of entries in a full chunk.
const ENTRIES_PER_CHUNK: usize = 100;

/// The text's full chunks.
#[derive(Debug, Default)]
pub(crate) struct EntryChunks {
    /// An empty chunk must be rebuilt.
    chunks: Vec<Bytes>,
}

impl EntryChunks {
    /// Records that the entry at `index` has changed or was removed.
    pub(crate) fn changed(&mut self, index: usize) {
        if let Some(chunk) = self.chunks.get_mut(index / ENTRIES_PER_CHUNK) {
            // Only invalidate the chunk so that several changes between two joins cause a single
            // rebuild.
            *chunk = Bytes::new();
        }
    }

    /// Rebuilds missing chunks, and appends the entries after the last full chunk to `tail`. There
    /// are `count` entries; `write` appends one of them, including its separator.
    pub(crate) fn refresh(
        &mut self,
        count: usize,
        write: impl Fn(usize, &mut Vec<u8>),
        tail: &mut Vec<u8>,
    ) {
        let full = count / ENTRIES_PER_CHUNK;
        // Drop a chunk that is no longer full. New chunks are built below.
        self.chunks.resize(full, Bytes::new());
        for (number, chunk) in self.chunks.iter_mut().enumerate() {
            if chunk.is_empty() {
                let start = number * ENTRIES_PER_CHUNK;
                let mut text = Vec::new();
                (start..start + ENTRIES_PER_CHUNK).for_each(|index| write(index, &mut text));
                // Release spare capacity, since a full chunk never grows.
                text.shrink_to_fit();
                *chunk = text.into();
            }
        }
        (full * ENTRIES_PER_CHUNK..count).for_each(|index| write(index, tail));
    }

    pub(crate) fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// Checks that each chunk is either empty or matches its entries.
    pub(crate) fn audit(
        &self,
        count: usize,
        write: impl Fn(usize, &mut Vec<u8>),
    ) -> Result<(), String> {
        for (number, chunk) in self.chunks.iter().enumerate().filter(|(_, chunk)| !chunk.is_empty())
        {
            let (start, mut text) = (number * ENTRIES_PER_CHUNK, Vec::new());
            let end = start + ENTRIES_PER_CHUNK;
            (start..end.min(count)).for_each(|index| write(index, &mut text));
            if end > count || *chunk != text {
                return Err(format!(
                    "chunk {number} of the entries of {count} members is outdated"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changed_chunks_are_rebuilt() {
        let mut entries: Vec<u32> = (0..250).collect();
        let mut kept = EntryChunks::default();
        let text = |kept: &mut EntryChunks, entries: &[u32]| {
            let write = |index: usize, out: &mut Vec<u8>| {
                out.extend_from_slice(format!(",{}", entries[index]).as_bytes());
            };
            let mut tail = Vec::new();
            kept.refresh(entries.len(), write, &mut tail);
            let all: Vec<u8> = kept.chunks().iter().flatten().copied().chain(tail).collect();
            let expected: String = entries.iter().map(|entry| format!(",{entry}")).collect();
            assert_eq!(String::from_utf8(all).unwrap(), expected);
            assert_eq!(kept.audit(entries.len(), write), Ok(()));
            kept.chunks().to_vec()
        };
        let before = text(&mut kept, &entries);
        entries[120] = 1000;
        kept.changed(120);
        let after = text(&mut kept, &entries);
        assert_eq!(before[0].as_ptr(), after[0].as_ptr());
        assert_ne!(before[1].as_ptr(), after[1].as_ptr());
        // Shrink across a chunk boundary and grow again, as when members leave and join.
        for index in [249, 0, 150, 199, 198, 99] {
            while entries.len() > index + 1 && entries.len() > 190 {
                kept.changed(index);
                kept.changed(entries.len() - 1);
                entries.swap_remove(index);
            }
            text(&mut kept, &entries);
            entries.extend(0..13);
            text(&mut kept, &entries);
        }
        // Change the same entry twice without building the text in between.
        kept.changed(199);
        entries.truncate(199);
        entries.push(7777);
        text(&mut kept, &entries);
    }
}

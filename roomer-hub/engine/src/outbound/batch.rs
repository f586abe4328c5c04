//! A room's batch: messages collected for its members.
//!
//! A broadcast is encoded once, including the WebSocket header, and appended to the batch.
//! Delivering the batch queues the same bytes for every member, however many messages they contain.
//! A range of the batch that one member must not receive is recorded as an exclusion: a sender's
//! own message, or the messages before a new member's join. Plain and extended members receive
//! different notices: in a room with both, each notice is a range for members of one kind.

use std::num::NonZeroUsize;

use bytes::Bytes;

use roomer_hub::{Audience, ConnKey};

use crate::outbound::mixed::{Count, Restriction, included_for};
use crate::outbound::sealed::{SealedBatch, included_ranges};

/// The maximum number of exclusions for which an empty batch keeps memory.
const MAX_SPARE: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct RoomBatch {
    /// Encoded messages, concatenated.
    pub(crate) frames: Vec<u8>,
    exclusions: Vec<Exclusion>,
    /// The ranges restricted to one kind of members, in order. Empty if all members are of one kind.
    restrictions: Vec<Restriction>,
    /// The position of the last member count, if the batch contains one.
    count: Option<Count>,
    /// The minimum length of a frame to compress, if the batch contains such a frame.
    threshold: Option<NonZeroUsize>,
    /// True while the room is on the dirty list, or is being flushed by a task that will check it
    /// again.
    pub(crate) is_queued: bool,
    /// True if a task has been assigned to flush this large room.
    pub(crate) is_assigned: bool,
}

/// A range of frames not delivered to one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Exclusion {
    pub(super) conn: ConnKey,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl RoomBatch {
    /// Excludes a connection from the frames between `start` and the current end.
    pub(crate) fn exclude(&mut self, conn: ConnKey, start: usize) {
        let end = self.frames.len();
        if start < end {
            self.exclusions.push(Exclusion { conn, start, end });
        }
    }

    /// Restricts the frames between `start` and the current end to members of one kind.
    pub(crate) fn restrict(&mut self, start: usize, audience: Audience) {
        if audience != Audience::All {
            let is_extended = audience == Audience::Extended;
            self.restrictions.push(Restriction { start, end: self.frames.len(), is_extended });
        }
    }

    /// Permits compression of frames of at least this length if the receiver has negotiated it.
    pub(crate) fn compress_from(&mut self, threshold: usize) {
        self.threshold = NonZeroUsize::new(threshold.max(1));
    }

    /// Removes the last frame if it is a member count, which the next count replaces. Returns true
    /// if it was removed. Members excluded from the removed frame, because they joined after it or
    /// have already received it, receive the next one.
    pub(crate) fn take_count(&mut self) -> bool {
        let Some(Count { start, end }) = self.count.take() else { return false };
        if end != self.frames.len() {
            return false;
        }
        self.frames.truncate(start);
        self.restrictions.pop_if(|last| last.end > start);
        // Exclusions are sorted by their ends.
        let kept = self.exclusions.partition_point(|exclude| exclude.end <= start);
        let cut = self.exclusions.split_off(kept);
        let cut = cut.into_iter().map(|exclude| Exclusion { end: start, ..exclude });
        self.exclusions.extend(cut.filter(|exclude| exclude.start < start));
        true
    }

    /// Records that the frame at `start` is a member count.
    pub(crate) fn mark_count(&mut self, start: usize) {
        self.count = Some(Count { start, end: self.frames.len() });
    }

    /// Returns a copy of the batch's frames for one connection.
    pub(crate) fn pending_for(&self, conn: ConnKey, is_extended: bool) -> Bytes {
        // An exclusion from the start covers all of the connection's earlier exclusions. A
        // connection that joins and leaves a thousand times within one batch has thousands of them.
        let mut exclusions = Vec::new();
        for exclude in self.exclusions.iter().rev().filter(|exclude| exclude.conn == conn) {
            exclusions.push(*exclude);
            if exclude.start == 0 {
                break;
            }
        }
        exclusions.reverse();
        let mut bytes = Vec::new();
        for range in included_ranges(&exclusions, self.frames.len()) {
            for part in included_for(&self.restrictions, is_extended, range) {
                bytes.extend_from_slice(&self.frames[part]);
            }
        }
        bytes.into()
    }

    /// Empties the batch and returns its content in a form that can be shared.
    pub(crate) fn seal(&mut self) -> SealedBatch {
        let mut exclusions = std::mem::take(&mut self.exclusions);
        // Sort by connection, and then by position: `chunks` searches for a connection and needs
        // that connection's ranges in order.
        exclusions.sort_unstable();
        let restrictions = std::mem::take(&mut self.restrictions);
        self.count = None;
        let frames = std::mem::take(&mut self.frames).into();
        let threshold = self.threshold.take();
        SealedBatch::new(frames, exclusions, restrictions, threshold)
    }

    /// Reuses the allocations of a delivered batch.
    pub(crate) fn reuse(&mut self, sealed: SealedBatch) {
        self.exclusions = emptied(sealed.exclusions);
    }

    /// Resets an empty batch for use by another room.
    pub(crate) fn reset(&mut self) {
        let exclusions = emptied(std::mem::take(&mut self.exclusions));
        *self = RoomBatch { exclusions, ..RoomBatch::default() };
    }
}

/// Clears the exclusions. Keeps the allocation unless it is unusually large.
fn emptied(mut exclusions: Vec<Exclusion>) -> Vec<Exclusion> {
    if exclusions.capacity() > MAX_SPARE {
        return Vec::new();
    }
    exclusions.clear();
    exclusions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::chunk::Chunk;

    fn keys() -> [ConnKey; 3] {
        [1, 2, 3].map(ConnKey::from_u64)
    }

    fn received(sealed: &SealedBatch, conn: ConnKey) -> Vec<u8> {
        let mut all = Vec::new();
        sealed.chunks(conn, false, |chunk| all.extend_from_slice(&chunk.bytes));
        all
    }

    #[test]
    fn member_gets_batch_without_own_and_earlier_messages() {
        let [ann, bob, eve] = keys();
        let mut batch = RoomBatch::default();
        batch.frames.extend_from_slice(b"aa");
        batch.exclude(ann, 0);
        batch.frames.extend_from_slice(b"bb");
        batch.exclude(bob, 2);
        // Eve joins here. She is excluded from all frames so far, and then from the announcement of
        // her own join.
        batch.exclude(eve, 0);
        batch.frames.extend_from_slice(b"ee");
        batch.exclude(eve, 4);
        batch.frames.extend_from_slice(b"AA");
        batch.exclude(ann, 6);
        assert_eq!(batch.pending_for(eve, false), b"AA"[..]);
        assert_eq!(batch.pending_for(ann, false), b"bbee"[..]);
        let sealed = batch.seal();
        assert_eq!(received(&sealed, ann), b"bbee");
        assert_eq!(received(&sealed, bob), b"aaeeAA");
        assert_eq!(received(&sealed, eve), b"AA");
        assert!(batch.frames.is_empty());
    }

    #[test]
    fn up_to_date_member_gets_only_later_messages() {
        let [ann, bob, _] = keys();
        let mut batch = RoomBatch::default();
        batch.frames.extend_from_slice(b"aa");
        batch.exclude(ann, 0);
        batch.frames.extend_from_slice(b"bb");
        assert_eq!(batch.pending_for(ann, false), b"bb"[..]);
        batch.exclude(ann, 0);
        assert_eq!(batch.pending_for(ann, false), b""[..]);
        batch.frames.extend_from_slice(b"cc");
        batch.frames.extend_from_slice(b"AA");
        batch.exclude(ann, 6);
        batch.frames.extend_from_slice(b"dd");
        assert_eq!(batch.pending_for(ann, false), b"ccdd"[..]);
        assert_eq!(batch.pending_for(bob, false), b"aabbccAAdd"[..]);
        let sealed = batch.seal();
        assert_eq!(received(&sealed, ann), b"ccdd");
    }

    #[test]
    fn full_exclusion_leaves_nothing() {
        let [ann, bob, _] = keys();
        let mut batch = RoomBatch::default();
        batch.frames.extend_from_slice(b"aa");
        batch.exclude(ann, 0);
        batch.exclude(ann, 1);
        batch.exclude(ann, 2);
        let sealed = batch.seal();
        assert_eq!(received(&sealed, ann), b"");
        assert_eq!(received(&sealed, bob), b"aa");
    }

    #[test]
    fn session_copies_small_shares_of_batch() {
        let [ann, bob, eve] = keys();
        let message = [&[0x82, 98][..], &[7; 98]].concat();
        let mut batch = RoomBatch::default();
        for sender in 0..20 {
            let start = batch.frames.len();
            batch.frames.extend_from_slice(&message);
            batch.exclude(if sender == 8 { bob } else { ann }, start);
        }
        let sealed = batch.seal();
        let parts = |conn, is_extended| {
            let mut parts = Vec::new();
            sealed.chunks(conn, is_extended, |chunk| parts.push(chunk));
            let whole = sealed.frames.as_ptr_range();
            let is_shared = |chunk: &Chunk| whole.contains(&chunk.bytes.as_ptr());
            let parts = parts.iter().map(|part| (part.len(), part.frames, is_shared(part)));
            parts.collect::<Vec<_>>()
        };
        assert_eq!(parts(eve, true), [(2000, 20, true)]);
        assert_eq!(parts(bob, true), [(800, 8, true), (1100, 11, true)]);
        assert_eq!(parts(ann, true), [(100, 0, false)], "one message does not keep all of them");
        assert_eq!(parts(ann, false), [(100, 0, true)], "a queue is short");
    }

    #[test]
    fn reused_batch_keeps_only_memory() {
        let [ann, bob, _] = keys();
        let mut batch = RoomBatch::default();
        batch.frames.extend_from_slice(b"aa");
        batch.restrict(0, Audience::Extended);
        batch.exclude(ann, 0);
        batch.mark_count(0);
        batch.compress_from(1);
        (batch.is_queued, batch.is_assigned) = (true, true);
        let memory = batch.exclusions.as_ptr();
        let sealed = batch.seal();
        batch.reuse(sealed);
        // Bob is excluded like a member that has just joined.
        batch.exclude(bob, 0);
        batch.reset();
        assert!(!batch.is_queued && !batch.is_assigned && !batch.take_count());
        batch.frames.extend_from_slice(b"bb");
        batch.exclude(ann, 1);
        assert_eq!(batch.exclusions.as_ptr(), memory);
        let sealed = batch.seal();
        assert!(!sealed.is_mixed());
        assert_eq!(
            (received(&sealed, ann), received(&sealed, bob)),
            (b"b".to_vec(), b"bb".to_vec())
        );
    }

    #[test]
    fn reused_batch_frees_memory_of_many_exclusions() {
        let [ann, bob, _] = keys();
        let mut batch = RoomBatch::default();
        let fill = |batch: &mut RoomBatch| {
            batch.frames.extend_from_slice(&[b'x'; 100]);
            (0..50).for_each(|at| batch.exclude(if at % 2 == 0 { ann } else { bob }, at));
            assert!(batch.exclusions.capacity() > MAX_SPARE);
        };
        fill(&mut batch);
        let sealed = batch.seal();
        batch.reuse(sealed);
        assert_eq!(batch.exclusions.capacity(), 0);
        fill(&mut batch);
        batch.reset();
        assert_eq!(batch.exclusions.capacity(), 0);
    }
}

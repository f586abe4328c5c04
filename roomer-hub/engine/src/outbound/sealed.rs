//! A room's batch at the time of its delivery.

use std::cell::OnceCell;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use roomer_hub::ConnKey;

use crate::outbound::batch::Exclusion;
use crate::outbound::chunk::{Chunk, frame_len};
use crate::outbound::compressed::CompressedBatch;
use crate::outbound::mixed::{Restriction, included_for};
use crate::outbound::outbox::Queue;
use crate::outbound::replay::MIN_SHARED;

/// A batch's content in a form that can be shared.
#[derive(Debug)]
pub(crate) struct SealedBatch {
    pub(super) frames: Bytes,
    pub(super) exclusions: Vec<Exclusion>,
    restrictions: Vec<Restriction>,
    threshold: Option<NonZeroUsize>,
    /// The start of each frame. Computed when a member with a session first needs it.
    starts: OnceCell<Vec<usize>>,
    /// The queue of all receivers without a session. Created when the first one needs it.
    queue: OnceCell<Arc<Queue>>,
}

impl SealedBatch {
    /// `exclusions` and `restrictions` must be sorted.
    pub(super) fn new(
        frames: Bytes,
        exclusions: Vec<Exclusion>,
        restrictions: Vec<Restriction>,
        threshold: Option<NonZeroUsize>,
    ) -> SealedBatch {
        let (starts, queue) = (OnceCell::new(), OnceCell::new());
        SealedBatch { frames, exclusions, restrictions, threshold, starts, queue }
    }

    /// Returns true if members receive different ranges or encodings, depending on their kind and
    /// on the compression that they have negotiated.
    pub(crate) fn is_mixed(&self) -> bool {
        !self.restrictions.is_empty() || self.threshold.is_some()
    }

    /// Returns the compressed form, or `None` if the batch contains nothing to compress.
    pub(crate) fn compressed(&self) -> Option<CompressedBatch> {
        let threshold = self.threshold?;
        CompressedBatch::new(self.frames.clone(), threshold.get())
    }

    /// Calls `push` with each part of the batch for a connection of this kind, in order.
    pub(crate) fn mixed_chunks(&self, conn: ConnKey, is_extended: bool, push: impl FnMut(Chunk)) {
        let ranges = included_ranges(self.exclusions_of(conn), self.frames.len());
        let included = |range| included_for(&self.restrictions, is_extended, range);
        self.push_parts(ranges.flat_map(included), is_extended, push);
    }

    /// Returns true if the connection receives the whole batch.
    #[inline]
    pub(crate) fn is_whole_for(&self, conn: ConnKey) -> bool {
        self.exclusions_of(conn).is_empty()
    }

    /// Returns the whole batch in the form that its receivers without a session share.
    #[inline]
    pub(crate) fn queue(&self) -> &Arc<Queue> {
        self.queue.get_or_init(|| Queue::of_batch(self.frames.clone()))
    }

    /// Calls `push` with each part for a connection, in order. All members must be of one kind.
    #[inline]
    pub(crate) fn chunks(&self, conn: ConnKey, is_extended: bool, mut push: impl FnMut(Chunk)) {
        let exclusions = self.exclusions_of(conn);
        if exclusions.is_empty() {
            let count = if is_extended { self.count(0..self.frames.len()) } else { 0 };
            return push(Chunk::frames(self.frames.clone(), count));
        }
        self.push_parts(included_ranges(exclusions, self.frames.len()), is_extended, push);
    }

    fn push_parts(
        &self,
        parts: impl Iterator<Item = Range<usize>> + Clone,
        is_extended: bool,
        mut push: impl FnMut(Chunk),
    ) {
        if !is_extended {
            return parts.for_each(|part| push(Chunk::complete(self.frames.slice(part))));
        }
        // Copy small parts, since the session's log would otherwise keep the whole batch alive.
        let included: usize = parts.clone().map(|part| part.len()).sum();
        let is_copied = included < self.frames.len() / 2;
        for part in parts {
            let count = self.count(part.clone());
            let bytes = match is_copied {
                true => Bytes::copy_from_slice(&self.frames[part]),
                false => self.frames.slice(part),
            };
            push(Chunk::frames(bytes, count));
        }
    }

    /// Counts a part's frames. Returns 0 for a part that is so small that logs copy it.
    fn count(&self, part: Range<usize>) -> usize {
        if part.len() < MIN_SHARED {
            return 0;
        }
        let starts = self.starts.get_or_init(|| {
            let (mut starts, mut at) = (Vec::new(), 0);
            while at < self.frames.len() {
                starts.push(at);
                at += frame_len(&self.frames[at..]);
            }
            starts
        });
        let before = |byte| starts.partition_point(|start| *start < byte);
        before(part.end) - before(part.start)
    }

    fn exclusions_of(&self, conn: ConnKey) -> &[Exclusion] {
        // Usually a batch contains a single message, and the only exclusion is that of its sender.
        if let [only] = &*self.exclusions {
            return if only.conn == conn { &self.exclusions } else { &[] };
        }
        let start = self.exclusions.partition_point(|exclude| exclude.conn < conn);
        let own = self.exclusions[start..].partition_point(|exclude| exclude.conn == conn);
        &self.exclusions[start..start + own]
    }
}

/// Iterates over the ranges of `0..len` not covered by the sorted exclusions.
pub(super) fn included_ranges(
    exclusions: &[Exclusion],
    len: usize,
) -> impl Iterator<Item = Range<usize>> + Clone {
    let mut at = 0;
    let last = Exclusion { conn: ConnKey::default(), start: len, end: len };
    exclusions.iter().copied().chain([last]).filter_map(move |exclude| {
        let range = at..exclude.start;
        // Exclusions may overlap: one from the start covers earlier ones.
        at = at.max(exclude.end);
        (!range.is_empty()).then_some(range)
    })
}

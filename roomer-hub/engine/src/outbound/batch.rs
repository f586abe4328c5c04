//! What a room owes its members, until it is handed to their outboxes.
//!
//! A broadcast is encoded once, WebSocket header included, behind whatever the room's members are
//! already owed; one hand-over then gives every member the same bytes, however many messages they
//! are. Who must not hear a part (the sender its own message, a joiner what came before its join)
//! is noted as a range to skip.

use bytes::Bytes;

use roomer_hub::ConnKey;

#[derive(Debug, Default)]
pub(crate) struct RoomBatch {
    pub(crate) frames: Vec<u8>,
    exclusions: Vec<Exclusion>,
    /// The room stands on the list of rooms to be flushed, or somebody is flushing it and will
    /// look again: nobody else needs to.
    pub(crate) is_queued: bool,
    /// Somebody has been asked to come back and flush the room, which is large.
    pub(crate) is_assigned: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Exclusion {
    conn: ConnKey,
    start: usize,
    end: usize,
}

impl RoomBatch {
    /// Keeps `conn` from hearing what lies between `start` and the end.
    pub(crate) fn exclude(&mut self, conn: ConnKey, start: usize) {
        let end = self.frames.len();
        if start < end {
            self.exclusions.push(Exclusion { conn, start, end });
        }
    }

    /// What one connection is owed so far, as a copy.
    pub(crate) fn pending_for(&self, conn: ConnKey) -> Bytes {
        // Whatever lies before a skip of everything is behind it: who comes and goes a thousand
        // times within a tick has thousands of them.
        let mut exclusions = Vec::new();
        for exclude in self.exclusions.iter().rev().filter(|exclude| exclude.conn == conn) {
            exclusions.push(*exclude);
            if exclude.start == 0 {
                break;
            }
        }
        exclusions.reverse();
        let mut pending_for = Vec::new();
        for range in included_ranges(&exclusions, self.frames.len()) {
            pending_for.extend_from_slice(&self.frames[range]);
        }
        pending_for.into()
    }

    /// Ends the tick and gives what it has collected.
    pub(crate) fn seal(&mut self) -> SealedBatch {
        let mut exclusions = std::mem::take(&mut self.exclusions);
        exclusions.sort_unstable();
        SealedBatch { frames: std::mem::take(&mut self.frames).into(), exclusions }
    }
}

/// A tick's frames, ready to be shared.
#[derive(Debug)]
pub(crate) struct SealedBatch {
    frames: Bytes,
    exclusions: Vec<Exclusion>,
}

impl SealedBatch {
    /// Calls `push` with each piece that `conn` is to get, in order.
    pub(crate) fn chunks(&self, conn: ConnKey, mut push: impl FnMut(Bytes)) {
        let start = self.exclusions.partition_point(|exclude| exclude.conn < conn);
        let own = self.exclusions[start..].partition_point(|exclude| exclude.conn == conn);
        if own == 0 {
            return push(self.frames.clone());
        }
        for range in included_ranges(&self.exclusions[start..start + own], self.frames.len()) {
            push(self.frames.slice(range));
        }
    }
}

/// The ranges of `0..len` that sorted skips leave.
fn included_ranges(
    exclusions: &[Exclusion],
    len: usize,
) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut at = 0;
    let last = Exclusion { conn: ConnKey::default(), start: len, end: len };
    exclusions.iter().copied().chain([last]).filter_map(move |exclude| {
        let range = at..exclude.start;
        at = at.max(exclude.end);
        (!range.is_empty()).then_some(range)
    })
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    fn keys() -> [ConnKey; 3] {
        let mut map: SlotMap<ConnKey, ()> = SlotMap::with_key();
        [map.insert(()), map.insert(()), map.insert(())]
    }

    fn heard(sealed: &SealedBatch, conn: ConnKey) -> Vec<u8> {
        let mut all = Vec::new();
        sealed.chunks(conn, |piece| all.extend_from_slice(&piece));
        all
    }

    #[test]
    fn each_hears_all_but_its_own_and_what_came_before() {
        let [ann, bob, eve] = keys();
        let mut batch = RoomBatch::default();
        batch.frames.extend_from_slice(b"aa");
        batch.exclude(ann, 0);
        batch.frames.extend_from_slice(b"bb");
        batch.exclude(bob, 2);
        // Eve joins here: a skip of all so far, then of her own announcement.
        batch.exclude(eve, 0);
        batch.frames.extend_from_slice(b"ee");
        batch.exclude(eve, 4);
        batch.frames.extend_from_slice(b"AA");
        batch.exclude(ann, 6);
        assert_eq!(batch.pending_for(eve), b"AA"[..]);
        assert_eq!(batch.pending_for(ann), b"bbee"[..]);
        let sealed = batch.seal();
        assert_eq!(heard(&sealed, ann), b"bbee");
        assert_eq!(heard(&sealed, bob), b"aaeeAA");
        assert_eq!(heard(&sealed, eve), b"AA");
        assert!(batch.frames.is_empty());
    }

    #[test]
    fn who_was_given_everything_is_owed_what_came_after() {
        let [ann, bob, _] = keys();
        let mut batch = RoomBatch::default();
        batch.frames.extend_from_slice(b"aa");
        batch.exclude(ann, 0);
        batch.frames.extend_from_slice(b"bb");
        assert_eq!(batch.pending_for(ann), b"bb"[..]);
        batch.exclude(ann, 0);
        assert_eq!(batch.pending_for(ann), b""[..]);
        batch.frames.extend_from_slice(b"cc");
        batch.frames.extend_from_slice(b"AA");
        batch.exclude(ann, 6);
        batch.frames.extend_from_slice(b"dd");
        assert_eq!(batch.pending_for(ann), b"ccdd"[..]);
        assert_eq!(batch.pending_for(bob), b"aabbccAAdd"[..]);
        let sealed = batch.seal();
        assert_eq!(heard(&sealed, ann), b"ccdd");
    }

    #[test]
    fn a_skip_of_everything_leaves_nothing() {
        let [ann, bob, _] = keys();
        let mut batch = RoomBatch::default();
        batch.frames.extend_from_slice(b"aa");
        batch.exclude(ann, 0);
        batch.exclude(ann, 1);
        batch.exclude(ann, 2);
        let sealed = batch.seal();
        assert_eq!(heard(&sealed, ann), b"");
        assert_eq!(heard(&sealed, bob), b"aa");
    }
}

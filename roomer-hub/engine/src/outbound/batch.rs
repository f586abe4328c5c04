//! What a room owes its members, until it is handed to their outboxes.
//!
//! A broadcast is encoded once, WebSocket header included, behind whatever the room's members are
//! already owed; one hand-over then gives every member the same bytes, however many messages they
//! are. Who must not hear a part (the sender its own message, a joiner what came before its join)
//! is noted as a range to skip.

use bytes::Bytes;

use roomer_hub::ConnKey;

#[derive(Debug, Default)]
pub(crate) struct Tick {
    pub(crate) frames: Vec<u8>,
    skips: Vec<Skip>,
    /// The room stands on the list of rooms to be flushed, or somebody is flushing it and will
    /// look again: nobody else needs to.
    pub(crate) awaited: bool,
    /// Somebody has been asked to come back and flush the room, which is large.
    pub(crate) claimed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Skip {
    conn: ConnKey,
    start: usize,
    end: usize,
}

impl Tick {
    /// Keeps `conn` from hearing what lies between `start` and the end.
    pub(crate) fn skip(&mut self, conn: ConnKey, start: usize) {
        let end = self.frames.len();
        if start < end {
            self.skips.push(Skip { conn, start, end });
        }
    }

    /// What one connection is owed so far, as a copy.
    pub(crate) fn owed(&self, conn: ConnKey) -> Bytes {
        // Whatever lies before a skip of everything is behind it: who comes and goes a thousand
        // times within a tick has thousands of them.
        let mut skips = Vec::new();
        for skip in self.skips.iter().rev().filter(|skip| skip.conn == conn) {
            skips.push(*skip);
            if skip.start == 0 {
                break;
            }
        }
        skips.reverse();
        let mut owed = Vec::new();
        for range in kept(&skips, self.frames.len()) {
            owed.extend_from_slice(&self.frames[range]);
        }
        owed.into()
    }

    /// Ends the tick and gives what it has collected.
    pub(crate) fn seal(&mut self) -> Sealed {
        let mut skips = std::mem::take(&mut self.skips);
        skips.sort_unstable();
        Sealed { frames: std::mem::take(&mut self.frames).into(), skips }
    }
}

/// A tick's frames, ready to be shared.
#[derive(Debug)]
pub(crate) struct Sealed {
    frames: Bytes,
    skips: Vec<Skip>,
}

impl Sealed {
    /// Calls `push` with each piece that `conn` is to get, in order.
    pub(crate) fn pieces(&self, conn: ConnKey, mut push: impl FnMut(Bytes)) {
        let start = self.skips.partition_point(|skip| skip.conn < conn);
        let own = self.skips[start..].partition_point(|skip| skip.conn == conn);
        if own == 0 {
            return push(self.frames.clone());
        }
        for range in kept(&self.skips[start..start + own], self.frames.len()) {
            push(self.frames.slice(range));
        }
    }
}

/// The ranges of `0..len` that sorted skips leave.
fn kept(skips: &[Skip], len: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut at = 0;
    let last = Skip { conn: ConnKey::default(), start: len, end: len };
    skips.iter().copied().chain([last]).filter_map(move |skip| {
        let range = at..skip.start;
        at = at.max(skip.end);
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

    fn heard(sealed: &Sealed, conn: ConnKey) -> Vec<u8> {
        let mut all = Vec::new();
        sealed.pieces(conn, |piece| all.extend_from_slice(&piece));
        all
    }

    #[test]
    fn each_hears_all_but_its_own_and_what_came_before() {
        let [ann, bob, eve] = keys();
        let mut tick = Tick::default();
        tick.frames.extend_from_slice(b"aa");
        tick.skip(ann, 0);
        tick.frames.extend_from_slice(b"bb");
        tick.skip(bob, 2);
        // Eve joins here: a skip of all so far, then of her own announcement.
        tick.skip(eve, 0);
        tick.frames.extend_from_slice(b"ee");
        tick.skip(eve, 4);
        tick.frames.extend_from_slice(b"AA");
        tick.skip(ann, 6);
        assert_eq!(tick.owed(eve), b"AA"[..]);
        assert_eq!(tick.owed(ann), b"bbee"[..]);
        let sealed = tick.seal();
        assert_eq!(heard(&sealed, ann), b"bbee");
        assert_eq!(heard(&sealed, bob), b"aaeeAA");
        assert_eq!(heard(&sealed, eve), b"AA");
        assert!(tick.frames.is_empty());
    }

    #[test]
    fn who_was_given_everything_is_owed_what_came_after() {
        let [ann, bob, _] = keys();
        let mut tick = Tick::default();
        tick.frames.extend_from_slice(b"aa");
        tick.skip(ann, 0);
        tick.frames.extend_from_slice(b"bb");
        assert_eq!(tick.owed(ann), b"bb"[..]);
        tick.skip(ann, 0);
        assert_eq!(tick.owed(ann), b""[..]);
        tick.frames.extend_from_slice(b"cc");
        tick.frames.extend_from_slice(b"AA");
        tick.skip(ann, 6);
        tick.frames.extend_from_slice(b"dd");
        assert_eq!(tick.owed(ann), b"ccdd"[..]);
        assert_eq!(tick.owed(bob), b"aabbccAAdd"[..]);
        let sealed = tick.seal();
        assert_eq!(heard(&sealed, ann), b"ccdd");
    }

    #[test]
    fn a_skip_of_everything_leaves_nothing() {
        let [ann, bob, _] = keys();
        let mut tick = Tick::default();
        tick.frames.extend_from_slice(b"aa");
        tick.skip(ann, 0);
        tick.skip(ann, 1);
        tick.skip(ann, 2);
        let sealed = tick.seal();
        assert_eq!(heard(&sealed, ann), b"");
        assert_eq!(heard(&sealed, bob), b"aa");
    }
}

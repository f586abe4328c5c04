//! Chunks of bytes on their way to a socket, and the frame boundaries in them.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

use crate::outbound::compressed::CompressedBatch;

/// Bytes to write, with information about the frames in them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    /// The number of bytes already written. The chunk keeps these bytes, since the end of a frame
    /// is determined from the frame's header.
    taken: u32,
    /// True if the bytes begin within a frame that started in an earlier chunk.
    pub(crate) continues: bool,
    /// True if the last frame continues in the next chunk.
    pub(crate) more_follows: bool,
    /// The number of frames if all of them are whole, or 0 if they are not or were not counted.
    pub(crate) frames: u16,
    /// Present if the bytes must be compressed when they are written.
    pub(crate) compressed: Option<CompressedBatch>,
}

impl Chunk {
    pub(crate) const fn empty() -> Self {
        Chunk {
            bytes: Bytes::new(),
            taken: 0,
            continues: false,
            more_follows: false,
            frames: 0,
            compressed: None,
        }
    }

    /// Creates a chunk that ends at a frame boundary.
    pub(crate) fn complete(bytes: impl Into<Bytes>) -> Self {
        Chunk { bytes: bytes.into(), ..Chunk::default() }
    }

    /// Creates a chunk of `count` whole frames, which need not be counted again.
    pub(crate) fn frames(bytes: impl Into<Bytes>, count: usize) -> Self {
        // A count that does not fit is dropped. The session's log then parses the headers instead.
        Chunk { frames: u16::try_from(count).unwrap_or(0), ..Chunk::complete(bytes) }
    }

    /// Creates a chunk that ends within a frame, which the next chunk must continue.
    pub(crate) fn partial(bytes: impl Into<Bytes>) -> Self {
        Chunk { bytes: bytes.into(), more_follows: true, ..Chunk::default() }
    }

    /// Returns the number of bytes left to write.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.taken as usize
    }

    /// Returns the bytes left to write.
    pub(crate) fn left(&self) -> &[u8] {
        &self.bytes[self.taken as usize..]
    }

    fn advance(&mut self, written: usize) {
        let taken = self.taken as usize + written;
        match u32::try_from(taken) {
            Ok(taken) => self.taken = taken,
            // A chunk of more than 4 GiB is a single message, whose header has already been
            // written.
            Err(_) => {
                self.bytes.advance(taken);
                (self.taken, self.continues) = (0, true);
            }
        }
    }

    /// Returns the number of bytes that the current frame still has in this chunk.
    fn frame_left(&self) -> usize {
        let taken = self.taken as usize;
        // A chunk that continues a frame contains the rest of that frame, and no header.
        if self.continues {
            return self.len();
        }
        let mut end = 0;
        // Frame boundaries can be found only by parsing all headers, beginning with the first one.
        while end <= taken && end < self.bytes.len() {
            end = end.saturating_add(frame_len(&self.bytes[end..]));
        }
        end.min(self.bytes.len()).saturating_sub(taken)
    }
}

/// Returns the length of the first frame in unmasked bytes (RFC 6455 section 5.2), including its
/// header. If the header is incomplete, the frame ends with the bytes.
#[inline]
pub(crate) fn frame_len(bytes: &[u8]) -> usize {
    match bytes {
        [_, length, ..] if length & 0x7f < 126 => 2 + usize::from(length & 0x7f),
        [_, length, high, low, ..] if length & 0x7f == 126 => {
            4 + usize::from(u16::from_be_bytes([*high, *low]))
        }
        // Use a checked conversion, since a 64-bit length may exceed the address space of a 32-bit
        // machine.
        [_, _, rest @ ..] if rest.len() >= 8 => rest[..8]
            .iter()
            .try_fold(0_usize, |len, digit| Some(len.checked_mul(256)? | usize::from(*digit)))
            .map_or(usize::MAX, |len| len.saturating_add(10)),
        _ => bytes.len(),
    }
}

/// Returns the payload of a whole, unmasked frame.
#[cfg(feature = "deflate")]
pub(crate) fn payload(frame: &[u8]) -> &[u8] {
    let header = match frame.get(1).map_or(0, |length| length & 0x7f) {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    frame.get(header..).unwrap_or_default()
}

/// An outbox's chunks after the first. Boxed, since each connection has an outbox, most outboxes
/// have no further chunks, and each write moves this value out of the outbox.
#[derive(Debug, Default)]
pub(crate) struct ChunkQueue(Option<Box<Chunks>>);

#[derive(Debug, Default)]
struct Chunks(VecDeque<Chunk>);

impl ChunkQueue {
    pub(crate) const fn new() -> Self {
        ChunkQueue(None)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |chunks| chunks.0.len())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Chunk> {
        self.0.iter().flat_map(|chunks| &chunks.0)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Chunk> {
        self.0.iter_mut().flat_map(|chunks| &mut chunks.0)
    }

    pub(crate) fn push(&mut self, chunk: Chunk) {
        self.0.get_or_insert_default().0.push_back(chunk);
    }

    /// Appends the chunks of a newer queue.
    pub(crate) fn append(&mut self, newer: ChunkQueue) {
        match (&mut self.0, newer.0) {
            (Some(chunks), Some(mut newer)) => chunks.0.append(&mut newer.0),
            (None, newer) => self.0 = newer,
            (Some(_), None) => {}
        }
    }

    /// Removes all chunks after the first `kept`. Returns the number of removed bytes.
    pub(crate) fn truncate(&mut self, kept: usize) -> usize {
        let Some(chunks) = &mut self.0 else { return 0 };
        let kept = kept.min(chunks.0.len());
        let removed = chunks.0.drain(kept..).map(|chunk| chunk.len()).sum();
        self.drop_empty();
        removed
    }

    #[inline]
    fn pop(&mut self) -> Option<Chunk> {
        let chunk = self.0.as_mut()?.0.pop_front();
        self.drop_empty();
        chunk
    }

    fn drop_empty(&mut self) {
        // Drop the box of an empty queue, since `is_empty` relies on this.
        self.0.take_if(|chunks| chunks.0.is_empty());
    }
}

impl FromIterator<Chunk> for ChunkQueue {
    fn from_iter<I: IntoIterator<Item = Chunk>>(chunks: I) -> Self {
        let mut queue = ChunkQueue::default();
        chunks.into_iter().for_each(|chunk| queue.push(chunk));
        queue
    }
}

/// Advances by `written` bytes and removes completely written chunks. Returns false if nothing is
/// left.
#[inline]
pub(crate) fn advance(first: &mut Chunk, rest: &mut ChunkQueue, mut written: usize) -> bool {
    // Use `>=`, since a completely written chunk must not remain at the front.
    while written >= first.len() {
        written -= first.len();
        match rest.pop() {
            Some(next) => *first = next,
            None => return false,
        }
    }
    first.advance(written);
    true
}

/// Returns the number of bytes left in the current frame, which may continue in the chunks after
/// the first.
pub(crate) fn frame_left(first: &Chunk, rest: &ChunkQueue) -> usize {
    let mut left = first.frame_left();
    // Only a chunk's last frame can continue in the next chunk.
    let mut more_follows = first.more_follows && left == first.len();
    for chunk in rest.iter() {
        if !more_follows {
            break;
        }
        left += chunk.frame_left();
        more_follows = chunk.more_follows;
    }
    left
}

#[cfg(test)]
mod tests {
    use roomer_proto::websocket::{Kind, message_frame};

    use super::*;

    fn frames(sizes: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for size in sizes {
            message_frame(Kind::Binary, &vec![0xff; *size], &mut bytes);
        }
        bytes
    }

    /// Returns the number of bytes left in the current frame once `written` bytes are written.
    fn left_after(mut first: Chunk, mut rest: ChunkQueue, written: usize) -> usize {
        assert!(advance(&mut first, &mut rest, written));
        frame_left(&first, &rest)
    }

    #[test]
    fn frame_end_is_found_for_each_length_encoding() {
        for (size, header) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let bytes = frames(&[size, 7]);
            let left =
                |taken| left_after(Chunk::complete(bytes.clone()), ChunkQueue::default(), taken);
            assert_eq!(left(0), header + size, "{size}");
            assert_eq!(left(1), header + size - 1, "{size}");
            assert_eq!(left(header + size), 9, "{size}: the next one");
            assert_eq!(left(header + size + 8), 1, "{size}: its last byte");
        }
    }

    #[test]
    fn large_frame_between_small_frames_is_found() {
        let chunk = || Chunk::complete(frames(&[10, 10, 100_000, 10]));
        assert_eq!(left_after(chunk(), ChunkQueue::default(), 3), 9);
        assert_eq!(left_after(chunk(), ChunkQueue::default(), 24), 100_010);
        assert_eq!(left_after(chunk(), ChunkQueue::default(), 24 + 60_010), 40_000);
    }

    #[test]
    fn frame_spans_chunks() {
        let bytes = frames(&[1000]);
        let part = |range: std::ops::Range<usize>, continues, more_follows| Chunk {
            bytes: bytes[range].to_vec().into(),
            taken: 0,
            frames: 0,
            compressed: None,
            continues,
            more_follows,
        };
        let rest = || {
            let more = [part(100..500, true, true), part(500..1004, true, false)];
            ChunkQueue::from_iter(more.into_iter().chain([Chunk::complete(frames(&[5]))]))
        };
        for written in [0, 50, 100, 499, 500, 1003] {
            assert_eq!(left_after(part(0..100, false, true), rest(), written), 1004 - written);
        }
        assert_eq!(left_after(part(0..100, false, true), rest(), 1004), 7);
    }

    fn queue(texts: &[&'static str]) -> ChunkQueue {
        texts.iter().map(|text| Chunk::complete(text.as_bytes())).collect()
    }

    fn texts(queue: &ChunkQueue) -> Vec<&[u8]> {
        queue.iter().map(Chunk::left).collect()
    }

    #[test]
    fn queues_are_joined_in_order() {
        for (older, newer) in [(0, 0), (0, 2), (2, 0), (1, 2)] {
            let all = ["a", "b", "c", "d"];
            let (older, newer) = (&all[..older], &all[older..older + newer]);
            let mut joined = queue(older);
            joined.append(queue(newer));
            let expected: Vec<&[u8]> = older.iter().chain(newer).map(|t| t.as_bytes()).collect();
            assert_eq!(texts(&joined), expected);
            assert_eq!((joined.len(), joined.is_empty()), (expected.len(), expected.is_empty()));
        }
    }

    #[test]
    fn empty_queue_frees_memory() {
        let mut popped = queue(&["a", "b"]);
        assert_eq!(popped.pop().map(|chunk| chunk.len()), Some(1));
        assert_eq!(texts(&popped), [b"b"]);
        popped.pop();
        assert!(popped.0.is_none() && popped.pop().is_none());
        let mut cut = queue(&["a", "bb", "ccc"]);
        assert_eq!(cut.truncate(5), 0);
        assert_eq!((cut.truncate(1), texts(&cut)), (5, vec![&b"a"[..]]));
        assert_eq!(cut.truncate(0), 1);
        assert!(cut.0.is_none() && cut.truncate(0) == 0);
    }
}

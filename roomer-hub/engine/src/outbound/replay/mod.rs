//! The messages that a session's client has not acknowledged, to be sent again on its next socket.
//!
//! The log holds encoded frames. A batch is counted once for all of its receivers; the headers of other
//! frames are walked when an acknowledgement counts them as received. So a broadcast costs a
//! member with a session one more reference to the batch that its outbox has too.
//!
//! A reference keeps its whole buffer alive. What that may cost is bounded: a member that gets less than
//! half of a batch copies its part; and when the oldest buffer is acknowledged in part, all of it counts
//! as held ([`Replay::held`]) until the rest is.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::outbound::chunk::{Chunk, frame_len};

/// The bytes of a segment in the log.
const SEGMENT: usize = size_of::<Segment>();

/// Smaller chunks are copied, which takes fewer instructions than taking and returning a reference.
pub(crate) const MIN_SHARED: usize = 256;

/// Chunks that no other connection gets are copied below this size, which saves an allocation that
/// lives as long as the log.
const MIN_OWN: usize = 4 * 1024;

/// Sent frames, from the first that the client has not acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// The frames that are kept. `None` if the client has acknowledged all of them, as most clients
    /// have most of the time.
    log: Option<Box<Log>>,
    /// The frames before the first that is kept.
    first: u64,
    /// The frames that the client has acknowledged. Fewer than `first` if the log overflowed.
    acknowledged: u64,
}

#[derive(Debug, Default)]
struct Log {
    /// All but the newest frames, one after the other; a frame may continue in the next segment.
    segments: VecDeque<Segment>,
    /// The newest frames, copied.
    tail: Vec<u8>,
    /// The bytes of the first segment that are no longer needed.
    skipped: usize,
    /// Bytes of the frames that are kept.
    len: usize,
}

/// Bytes that other connections may share.
#[derive(Debug)]
struct Segment {
    bytes: Bytes,
    /// The number of frames from `skipped` on; 0 if it is not known, or the last one is not whole.
    frames: u16,
}

/// The client acknowledges frames that were not sent, or takes an acknowledgement back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrongCount;

impl Replay {
    /// Returns the number of bytes of the frames that are kept.
    fn len(&self) -> usize {
        self.log.as_ref().map_or(0, |log| log.len)
    }

    /// Returns the number of bytes in memory, including those of shared buffers.
    pub(crate) fn held(&self) -> usize {
        self.log.as_ref().map_or(0, |log| log.len + log.skipped + log.overhead())
    }

    /// Returns the number of these that are not in [`buffers`](Self::buffers).
    pub(crate) fn own(&self) -> usize {
        self.log.as_ref().map_or(0, |log| log.tail.len() + log.overhead())
    }

    /// Iterates over the buffers that may be shared with other connections.
    pub(crate) fn buffers(&self) -> impl Iterator<Item = &Bytes> {
        self.log.iter().flat_map(|log| &log.segments).map(|segment| &segment.bytes)
    }

    /// Adds a sent chunk: whole frames, or a part of one that the next chunk continues. At most `max`
    /// bytes are kept. Returns false if the log overflowed and therefore dropped frames that the
    /// client has not acknowledged.
    pub(crate) fn push(&mut self, chunk: &Chunk, max: usize) -> bool {
        let log = self.log.get_or_insert_default();
        log.push(chunk);
        if log.len <= max {
            return true;
        }
        // A frame whose end is still to come cannot be dropped; it exceeds the bound until then.
        while self.len() > max && self.drop_frames(1) > 0 {}
        false
    }

    /// Drops the frames that the client has received: the first `count` of the session. Returns true
    /// if the client has not acknowledged all of them before.
    pub(crate) fn acknowledge(&mut self, count: u64) -> Result<bool, WrongCount> {
        if count < self.acknowledged {
            return Err(WrongCount);
        }
        // After an overflow the client may acknowledge frames that are dropped already.
        let surplus = count.saturating_sub(self.first);
        if self.drop_frames(surplus) < surplus {
            return Err(WrongCount);
        }
        Ok(std::mem::replace(&mut self.acknowledged, count) < count)
    }

    /// Drops the frames that the client has received, and returns the others as bytes to send
    /// again; an error if the client's count is wrong or the log has overflowed since.
    pub(crate) fn resume(&mut self, received: u64) -> Result<Bytes, WrongCount> {
        // An overflow has dropped frames that this client lacks.
        if received < self.first {
            return Err(WrongCount);
        }
        self.acknowledge(received)?;
        Ok(self.log.as_ref().map_or_else(Bytes::new, |log| log.to_bytes()))
    }

    /// Drops the oldest `count` frames; fewer if there are not as many, or only a part of the last.
    /// Returns how many were dropped.
    fn drop_frames(&mut self, count: u64) -> u64 {
        let Some(log) = &mut self.log else { return 0 };
        let mut dropped = log.drop_whole(count);
        while dropped < count && log.drop_split() {
            dropped += 1;
            dropped += log.drop_whole(count - dropped);
        }
        self.first += dropped;
        // An idle session holds no memory.
        self.log.take_if(|log| log.len == 0);
        dropped
    }
}

impl Log {
    fn push(&mut self, chunk: &Chunk) {
        let bytes = &chunk.bytes;
        let is_copied = match bytes.len() {
            ..MIN_SHARED => true,
            MIN_SHARED..MIN_OWN => bytes.is_unique(),
            MIN_OWN.. => false,
        };
        if is_copied {
            self.append(bytes);
        } else {
            // Frames that were copied before come first.
            self.seal();
            self.segments.push_back(Segment { bytes: bytes.clone(), frames: chunk.frames });
        }
        self.len += bytes.len();
    }

    fn append(&mut self, bytes: &[u8]) {
        let spare = self.tail.capacity() - self.tail.len();
        if spare < bytes.len() {
            // In few steps: a client usually acknowledges 64 messages at once.
            let room = (4 * self.tail.capacity()).clamp(MIN_SHARED, MIN_OWN);
            self.tail.reserve_exact(room.max(bytes.len()));
        }
        self.tail.extend_from_slice(bytes);
        // A buffer is freed as a whole: an endless tail would keep what is acknowledged.
        if self.tail.len() >= MIN_OWN {
            self.seal();
        }
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let bytes = std::mem::take(&mut self.tail).into();
            self.segments.push_back(Segment { bytes, frames: 0 });
        }
    }

    /// Returns the number of bytes of the list of segments.
    fn overhead(&self) -> usize {
        self.segments.len() * SEGMENT
    }

    fn to_bytes(&self) -> Bytes {
        let mut all = Vec::with_capacity(self.len);
        // Only what comes first, a segment or the tail, begins with acknowledged bytes.
        let mut skipped = self.skipped;
        for segment in &self.segments {
            all.extend_from_slice(&segment.bytes[std::mem::take(&mut skipped)..]);
        }
        all.extend_from_slice(&self.tail[skipped..]);
        all.into()
    }

    /// Returns what is left of the first segment.
    fn front(&self) -> &[u8] {
        let first = self.segments.front().map_or(&self.tail[..], |segment| &segment.bytes);
        &first[self.skipped.min(first.len())..]
    }

    /// Drops the oldest frames, at most `count`, up to one that continues in the next segment. Returns
    /// their number.
    fn drop_whole(&mut self, count: u64) -> u64 {
        let mut dropped = 0;
        while dropped < count && self.len > 0 {
            // Usually a segment is acknowledged as a whole.
            if let Some(&Segment { frames: all @ 1.., .. }) = self.segments.front()
                && u64::from(all) <= count - dropped
            {
                dropped += u64::from(all);
                self.skip(self.front().len());
                continue;
            }
            let (frames, bytes, is_whole) = count_whole(self.front(), count - dropped);
            if let Some(first) = self.segments.front_mut() {
                // Fewer than were counted, or they were not.
                first.frames -= u16::try_from(frames).map_or(0, |frames| frames.min(first.frames));
            }
            dropped += frames;
            self.skip(bytes);
            // What is left of the segment is the beginning of a frame that the next one continues.
            if !is_whole {
                break;
            }
        }
        dropped
    }

    /// Drops the oldest frame, which continues in the next segment. Returns false if there is none, or
    /// only a part of it.
    fn drop_split(&mut self) -> bool {
        // A header never continues in the next segment: it is always queued with its first bytes.
        let front = self.front();
        let len = frame_len(front);
        if front.is_empty() || len > self.len {
            return false;
        }
        self.skip(len);
        true
    }

    /// Drops the oldest bytes, and the segments that end with them.
    fn skip(&mut self, bytes: usize) {
        self.len -= bytes;
        self.skipped += bytes;
        while let Some(first) = self.segments.front()
            && self.skipped >= first.bytes.len()
        {
            self.skipped -= first.bytes.len();
            self.segments.pop_front();
        }
    }
}

/// Counts the whole frames at the beginning of bytes, at most `most`, and their bytes. Returns true
/// with them if these are all bytes.
fn count_whole(bytes: &[u8], most: u64) -> (u64, usize, bool) {
    let (mut count, mut rest) = (0, bytes);
    while count < most
        && !rest.is_empty()
        && let Some(next) = rest.get(frame_len(rest)..)
    {
        (rest, count) = (next, count + 1);
    }
    (count, bytes.len() - rest.len(), rest.is_empty())
}

#[cfg(test)]
mod tests;

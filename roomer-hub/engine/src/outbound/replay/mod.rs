//! A session's replay log: unacknowledged messages, to be retransmitted on the next socket.
//!
//! The log contains encoded frames. The frames of a batch are counted once for all receivers. The
//! headers of other frames are parsed when an acknowledgement covers them. For a member with a
//! session, a broadcast therefore costs only one more reference to the batch.
//!
//! A reference keeps its whole buffer alive. This cost is limited: a member that receives less than
//! half of a batch copies its part, and when the oldest buffer is partly acknowledged, all of it
//! counts as held ([`Replay::held`]) until the rest is acknowledged.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::outbound::chunk::{Chunk, frame_len};

/// The size of one segment's entry in the log, in bytes.
const SEGMENT: usize = size_of::<Segment>();

/// Chunks smaller than this are copied, because a copy takes fewer instructions than acquiring and
/// releasing a reference.
pub(crate) const MIN_SHARED: usize = 256;

/// Chunks for a single connection are copied if they are smaller than this. Otherwise, each would
/// keep a separate allocation for as long as it is in the log.
const MIN_OWN: usize = 4 * 1024;

/// Sent frames, starting with the first that the client has not acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// The unacknowledged frames. `None` if the client has acknowledged all of them, which is the usual
    /// state.
    log: Option<Box<Log>>,
    /// The number of frames sent before the first frame in the log.
    first: u64,
    /// The number of frames acknowledged by the client. Less than `first` after an overflow of the
    /// log.
    acknowledged: u64,
}

#[derive(Debug, Default)]
struct Log {
    /// All but the newest frames, in order. A frame may continue in the next segment.
    segments: VecDeque<Segment>,
    /// A copy of the newest frames.
    tail: Vec<u8>,
    /// The number of bytes at the start of the first segment that are no longer needed.
    skipped: usize,
    /// The total size of the kept frames in bytes.
    len: usize,
}

/// Bytes that may be shared with other connections.
#[derive(Debug)]
struct Segment {
    bytes: Bytes,
    /// The number of frames after `skipped`; 0 if unknown, or if the last one is incomplete.
    frames: u16,
}

/// The client acknowledged frames that were not sent, or fewer frames than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrongCount;

impl Replay {
    /// Returns the total size of the kept frames in bytes.
    fn len(&self) -> usize {
        self.log.as_ref().map_or(0, |log| log.len)
    }

    /// Returns the number of bytes held in memory, including those of shared buffers.
    pub(crate) fn held(&self) -> usize {
        self.log.as_ref().map_or(0, |log| log.len + log.skipped + log.overhead())
    }

    /// Returns the part of [`held`](Self::held) that is not in [`buffers`](Self::buffers).
    pub(crate) fn own(&self) -> usize {
        self.log.as_ref().map_or(0, |log| log.tail.len() + log.overhead())
    }

    /// Iterates over the buffers that may be shared with other connections.
    pub(crate) fn buffers(&self) -> impl Iterator<Item = &Bytes> {
        self.log.iter().flat_map(|log| &log.segments).map(|segment| &segment.bytes)
    }

    /// Appends a sent chunk, which contains whole frames or a part that the next chunk continues. At
    /// most `max` bytes are kept. Returns false if the log has overflowed and dropped unacknowledged
    /// frames.
    pub(crate) fn push(&mut self, chunk: &Chunk, max: usize) -> bool {
        let log = self.log.get_or_insert_default();
        log.push(chunk);
        if log.len <= max {
            return true;
        }
        // An incomplete frame cannot be dropped, and may exceed the limit until its end is appended.
        while self.len() > max && self.drop_frames(1) > 0 {}
        false
    }

    /// Drops the frames that the client has received: the session's first `count` frames. Returns
    /// true if some of them had not been acknowledged before.
    pub(crate) fn acknowledge(&mut self, count: u64) -> Result<bool, WrongCount> {
        if count < self.acknowledged {
            return Err(WrongCount);
        }
        // After an overflow, the client may acknowledge frames that were already dropped.
        let surplus = count.saturating_sub(self.first);
        if self.drop_frames(surplus) < surplus {
            return Err(WrongCount);
        }
        Ok(std::mem::replace(&mut self.acknowledged, count) < count)
    }

    /// Drops the frames that the client has received, and returns the remaining ones, which must be
    /// retransmitted. Returns an error if the client's count is wrong, or if the log has
    /// overflowed.
    pub(crate) fn resume(&mut self, received: u64) -> Result<Bytes, WrongCount> {
        // The log has overflowed, and has dropped frames that the client has not received.
        if received < self.first {
            return Err(WrongCount);
        }
        self.acknowledge(received)?;
        Ok(self.log.as_ref().map_or_else(Bytes::new, |log| log.to_bytes()))
    }

    /// Drops the oldest `count` frames, or fewer if the log contains fewer whole frames. Returns
    /// the number of dropped frames.
    fn drop_frames(&mut self, count: u64) -> u64 {
        let Some(log) = &mut self.log else { return 0 };
        let mut dropped = log.drop_whole(count);
        while dropped < count && log.drop_split() {
            dropped += 1;
            dropped += log.drop_whole(count - dropped);
        }
        self.first += dropped;
        // Free the log of an idle session.
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
            // Seal the tail first, since its frames are older than this chunk.
            self.seal();
            self.segments.push_back(Segment { bytes: bytes.clone(), frames: chunk.frames });
        }
        self.len += bytes.len();
    }

    fn append(&mut self, bytes: &[u8]) {
        let spare = self.tail.capacity() - self.tail.len();
        if spare < bytes.len() {
            // Grow in only a few steps, since a client usually acknowledges 64 messages at a time.
            let room = (4 * self.tail.capacity()).clamp(MIN_SHARED, MIN_OWN);
            self.tail.reserve_exact(room.max(bytes.len()));
        }
        self.tail.extend_from_slice(bytes);
        // A buffer is freed as a whole, so a tail of unlimited size would keep acknowledged frames
        // alive.
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

    /// Returns the number of bytes allocated for the list of segments.
    fn overhead(&self) -> usize {
        self.segments.len() * SEGMENT
    }

    fn to_bytes(&self) -> Bytes {
        let mut all = Vec::with_capacity(self.len);
        // Only the first segment begins with acknowledged bytes, or the tail if there are no
        // segments.
        let mut skipped = self.skipped;
        for segment in &self.segments {
            all.extend_from_slice(&segment.bytes[std::mem::take(&mut skipped)..]);
        }
        all.extend_from_slice(&self.tail[skipped..]);
        all.into()
    }

    /// Returns the bytes left in the first segment.
    fn front(&self) -> &[u8] {
        let first = self.segments.front().map_or(&self.tail[..], |segment| &segment.bytes);
        &first[self.skipped.min(first.len())..]
    }

    /// Drops up to `count` frames, oldest first. Stops at a frame that continues in the next
    /// segment. Returns the number of dropped frames.
    fn drop_whole(&mut self, count: u64) -> u64 {
        let mut dropped = 0;
        while dropped < count && self.len > 0 {
            // Usually a segment's frames are acknowledged all at once.
            if let Some(&Segment { frames: all @ 1.., .. }) = self.segments.front()
                && u64::from(all) <= count - dropped
            {
                dropped += u64::from(all);
                self.skip(self.front().len());
                continue;
            }
            let (frames, bytes, is_whole) = count_whole(self.front(), count - dropped);
            if let Some(first) = self.segments.front_mut() {
                // The segment's count is 0 if its frames were not counted.
                first.frames -= u16::try_from(frames).map_or(0, |frames| frames.min(first.frames));
            }
            dropped += frames;
            self.skip(bytes);
            // The segment ends with the start of a frame that continues in the next one.
            if !is_whole {
                break;
            }
        }
        dropped
    }

    /// Drops the oldest frame, which continues in the next segment. Returns false if the log is
    /// empty, or if it does not contain the whole frame.
    fn drop_split(&mut self) -> bool {
        // A header never spans two segments, since it is always queued in one piece.
        let front = self.front();
        let len = frame_len(front);
        if front.is_empty() || len > self.len {
            return false;
        }
        self.skip(len);
        true
    }

    /// Drops the oldest bytes, and the segments that end within them.
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

/// Counts up to `most` whole frames at the start of `bytes`. Returns their number and their length,
/// and true if no bytes follow them.
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

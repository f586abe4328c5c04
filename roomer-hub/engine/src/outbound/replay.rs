//! The messages that a session's client has not acknowledged, to be sent again on its next socket.
//!
//! Nothing is counted when a message is sent: the log holds encoded frames, and the headers of the
//! frames are walked when an acknowledgement says how many of them are done. So a broadcast costs a
//! member with a session one copy of a small batch, or a reference to a large one.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::outbound::chunk::frame_len;

/// Smaller chunks are copied. A reference would keep the whole buffer alive that a chunk is a part
/// of: up to 128 KiB of a room's batch for a message of a few bytes.
const MIN_SHARED: usize = 4 * 1024;

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
    /// Whole frames, one after the other; a frame may continue in the next chunk.
    chunks: VecDeque<Bytes>,
    /// The newest frames, copied.
    tail: BytesMut,
    /// The bytes of the first chunk that are no longer needed.
    skipped: usize,
    /// Bytes of the frames that are kept.
    len: usize,
}

/// The client acknowledges frames that were not sent, or takes an acknowledgement back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrongCount;

impl Replay {
    /// Returns the number of bytes that are kept.
    pub(crate) fn len(&self) -> usize {
        self.log.as_ref().map_or(0, |log| log.len)
    }

    /// Adds sent bytes: whole frames, or a part of one that the next bytes continue. At most `max`
    /// bytes are kept. Returns false if the log overflowed, and so has dropped frames that the client
    /// has not acknowledged.
    pub(crate) fn push(&mut self, bytes: &Bytes, max: usize) -> bool {
        let log = self.log.get_or_insert_default();
        log.push(bytes);
        if log.len <= max {
            return true;
        }
        while self.len() > max && self.drop_frames(1) > 0 {}
        false
    }

    /// Drops the frames that the client has received: the first `count` of the session. Returns true
    /// if the client has not acknowledged all of them before.
    pub(crate) fn acknowledge(&mut self, count: u64) -> Result<bool, WrongCount> {
        if count < self.acknowledged {
            return Err(WrongCount);
        }
        let surplus = count.saturating_sub(self.first);
        if self.drop_frames(surplus) < surplus {
            return Err(WrongCount);
        }
        Ok(std::mem::replace(&mut self.acknowledged, count) < count)
    }

    /// Drops the frames that the client has received, and returns the others as bytes to send
    /// again; an error if the client's count is wrong or the log has overflowed since.
    pub(crate) fn resume(&mut self, received: u64) -> Result<Bytes, WrongCount> {
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
    fn push(&mut self, bytes: &Bytes) {
        if bytes.len() < MIN_SHARED {
            self.tail.extend_from_slice(bytes);
            if self.tail.len() >= MIN_SHARED {
                self.seal();
            }
        } else {
            self.seal();
            self.chunks.push_back(bytes.clone());
        }
        self.len += bytes.len();
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(self.tail.split().freeze());
        }
    }

    fn to_bytes(&self) -> Bytes {
        let mut all = Vec::with_capacity(self.len);
        let mut skipped = self.skipped;
        for chunk in &self.chunks {
            all.extend_from_slice(&chunk[std::mem::take(&mut skipped)..]);
        }
        all.extend_from_slice(&self.tail[skipped..]);
        all.into()
    }

    /// Returns what is left of the first chunk.
    fn front(&self) -> &[u8] {
        let first = self.chunks.front().map_or(&self.tail[..], |chunk| &chunk[..]);
        &first[self.skipped.min(first.len())..]
    }

    /// Drops the oldest frames, at most `count`, up to one that continues in the next chunk. Returns
    /// their number. This is the work of each acknowledgement for each frame, so the loop does no more
    /// than to read their lengths.
    fn drop_whole(&mut self, count: u64) -> u64 {
        let mut dropped = 0;
        loop {
            let front = self.front();
            let mut end = 0;
            while dropped < count && end < front.len() {
                let next = end.saturating_add(frame_len(&front[end..]));
                if next > front.len() {
                    break;
                }
                (end, dropped) = (next, dropped + 1);
            }
            let is_whole = end == front.len();
            self.skip(end);
            if dropped == count || !is_whole || self.len == 0 {
                return dropped;
            }
        }
    }

    /// Drops the oldest frame, which continues in the next chunk. Returns false if there is none, or
    /// only a part of it.
    fn drop_split(&mut self) -> bool {
        // A header never continues in the next chunk: it is always queued with its first bytes.
        let front = self.front();
        let len = frame_len(front);
        if front.is_empty() || len > self.len {
            return false;
        }
        self.skip(len);
        true
    }

    /// Drops the oldest bytes, and the chunks that end with them.
    fn skip(&mut self, bytes: usize) {
        self.len -= bytes;
        self.skipped += bytes;
        while let Some(chunk) = self.chunks.front()
            && self.skipped >= chunk.len()
        {
            self.skipped -= chunk.len();
            self.chunks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use roomer_proto::websocket::{Kind, message_frame};

    use super::*;

    /// A frame of `len` bytes of payload that begins with its number.
    fn frame(number: usize, len: usize) -> Bytes {
        let mut payload = number.to_string().into_bytes();
        payload.resize(len.max(payload.len()), b'.');
        let mut frame = Vec::new();
        message_frame(Kind::Binary, &payload, &mut frame);
        frame.into()
    }

    fn log_of(sizes: &[usize]) -> (Replay, Vec<Bytes>) {
        let frames: Vec<_> = sizes.iter().enumerate().map(|(n, &len)| frame(n, len)).collect();
        let mut log = Replay::default();
        frames.iter().for_each(|frame| assert!(log.push(frame, usize::MAX)));
        (log, frames)
    }

    const SIZES: [usize; 12] = [1, 125, 126, 5000, 3, 3, 70_000, 4096, 2000, 2000, 2000, 9];

    #[test]
    fn what_was_not_received_is_sent_again_whatever_the_sizes() {
        for received in 0..=SIZES.len() {
            let (mut log, frames) = log_of(&SIZES);
            let again = log.resume(received as u64).unwrap();
            assert_eq!(again, frames[received..].concat(), "{received}");
            assert_eq!(log.len(), again.len());
            // The client may lose this socket too.
            assert_eq!(log.resume(received as u64).unwrap(), again);
        }
    }

    #[test]
    fn acknowledged_frames_are_dropped_one_count_after_the_other() {
        let (mut log, frames) = log_of(&SIZES);
        for count in 0..=SIZES.len() {
            assert_eq!(log.acknowledge(count as u64), Ok(count > 0));
            assert_eq!(log.acknowledge(count as u64), Ok(false));
            let left: usize = frames[count..].iter().map(Bytes::len).sum();
            assert_eq!(log.len(), left, "{count}");
        }
        assert!(log.log.is_none(), "an idle session holds no memory");
        assert!(log.push(&frame(0, 10), usize::MAX));
        assert_eq!(log.resume(12).unwrap(), frame(0, 10));
    }

    #[test]
    fn a_count_beyond_what_was_sent_or_below_the_last_one_is_wrong() {
        let (mut log, _) = log_of(&[10, 10]);
        assert_eq!(log.acknowledge(1), Ok(true));
        assert_eq!(log.acknowledge(0), Err(WrongCount));
        assert_eq!(log.acknowledge(3), Err(WrongCount));
        assert_eq!(log_of(&[]).0.acknowledge(1), Err(WrongCount));
        assert_eq!(log_of(&[10]).0.resume(2), Err(WrongCount));
    }

    #[test]
    fn a_frame_in_parts_counts_once_it_is_complete() {
        let whole = frame(1, 20_000);
        let mut log = Replay::default();
        log.push(&frame(0, 5), usize::MAX);
        for part in [0..100, 100..9000, 9000..9001, 9001..whole.len()] {
            assert!(log.acknowledge(1).is_ok());
            log.push(&whole.slice(part), usize::MAX);
        }
        assert_eq!(log.resume(1).unwrap(), whole);
        assert_eq!(log.acknowledge(2), Ok(true));
        assert_eq!(log.len(), 0);
    }

    #[test]
    fn a_log_that_overflows_drops_the_oldest_frames_and_says_so() {
        let mut log = Replay::default();
        let frames: Vec<_> = (0..12).map(|number| frame(number, 98)).collect();
        assert!(frames[..10].iter().all(|frame| log.push(frame, 1000)));
        assert!(!log.push(&frames[10], 1000));
        assert_eq!(log.len(), 1000);
        assert_eq!(log.resume(0), Err(WrongCount), "the first frame is gone");
        assert_eq!(log.resume(1).unwrap(), frames[1..11].concat());
        // Acknowledgements make the log complete again.
        assert_eq!(log.acknowledge(5), Ok(true));
        assert!(log.push(&frames[11], 1000));
        assert_eq!(log.resume(5).unwrap(), frames[5..].concat());
    }

    #[test]
    fn a_message_above_the_maximum_is_not_kept() {
        let mut log = Replay::default();
        assert!(!log.push(&frame(0, 5000), 1000));
        assert_eq!((log.len(), log.first), (0, 1));
        assert_eq!(log.acknowledge(1), Ok(true));
        assert!(log.push(&frame(1, 10), 1000));
        assert_eq!(log.resume(1).unwrap(), frame(1, 10));
    }
}

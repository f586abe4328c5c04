//! The queue of bytes not yet written to one connection's socket.
//!
//! This module is independent of sockets, locks and tasks, which are handled by
//! [`SocketWriter`](super::socket_writer::SocketWriter). The queue has two water marks, neither of
//! which counts the newest message. Above `high`, senders should pause. Above `max`, the connection
//! accepts no more output and must be closed.

use bytes::Bytes;

use crate::outbound::chunk::{Chunk, ChunkQueue, advance, frame_left};
use crate::outbound::compressed::Saved;

/// The size above which a message exceeds the system's buffers, and may occupy a slow connection
/// for seconds.
const LARGE_MESSAGE: usize = 64 * 1024;

/// Limits on the bytes queued for one connection. The newest message is not counted, so a
/// single message of any permitted size can always be queued.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaterMarks {
    /// The maximum number of unacknowledged bytes that a session keeps.
    pub(crate) kept: usize,
    /// The number of queued bytes above which senders pause.
    pub(crate) high: usize,
    /// The number of queued bytes above which no more output is accepted, and the connection is
    /// closed.
    pub(crate) max: usize,
}

/// An outbox's states, by the output that it accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OutboxPhase {
    /// Accepts all output: the connection is open.
    #[default]
    Open,
    /// Accepts no more output: the queue exceeded [`WaterMarks::max`], or a session without a socket
    /// exceeded its replay limit.
    Overrun,
    /// There is no socket, and output is kept only in the session's log.
    Detached,
    /// Accepts no more output: the last bytes are queued.
    Closing,
    /// Accepts no more output: the socket failed or the connection ended.
    Dead,
}

#[derive(Default)]
pub(crate) struct Outbox {
    /// The oldest chunk. It is stored separately because the queue usually consists of one chunk,
    /// and then needs no allocation.
    front: Chunk,
    back: ChunkQueue,
    /// The number of queued bytes, including those being written.
    queued: usize,
    /// The newest message's size in bytes.
    newest: usize,
    /// True while only a part of the newest message is queued.
    is_partial: bool,
    phase: OutboxPhase,
    /// The number of bytes accepted by the socket since the connection began.
    written: u64,
    /// True while the socket is full. The connection's own task waits until it is writable.
    blocked: bool,
    /// True if the socket has been full since it last accepted bytes.
    was_full: bool,
    /// The number of times that a full socket has accepted bytes again. Only the peer's reading
    /// increases it, whereas a socket with free space accepts bytes whether or not the peer is
    /// alive. The count wraps around, since only changes matter.
    unblock_count: u32,
}

/// The chunks taken out of an outbox for one write.
pub(crate) struct InFlight {
    pub(crate) front: Chunk,
    pub(crate) back: ChunkQueue,
    pub(crate) saved: Saved,
}

/// The result of one write to the socket.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Written {
    /// The socket accepted `accepted` of the `offered` bytes.
    Some { accepted: usize, offered: usize },
    /// The write was interrupted before the socket accepted a byte.
    Interrupted,
    /// The socket accepts no bytes at present.
    Full,
    /// The socket has failed, so no further write will succeed.
    Failed,
}

impl Outbox {
    pub(crate) fn phase(&self) -> OutboxPhase {
        self.phase
    }

    /// Returns the number of queued bytes.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// Returns the newest message's size in bytes.
    pub(crate) fn newest(&self) -> usize {
        self.newest
    }

    /// Returns the number of bytes counted against the water marks.
    pub(crate) fn counted(&self) -> usize {
        // Saturate, since the socket may already have accepted part of the newest message.
        self.queued.saturating_sub(self.newest)
    }

    /// Returns the total number of bytes accepted by the socket.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Returns how many times a full socket has accepted bytes again.
    pub(crate) fn unblock_count(&self) -> u32 {
        self.unblock_count
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    #[cfg(feature = "audit")]
    pub(crate) fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// Returns true if bytes are queued and the socket is not known to be full.
    pub(crate) fn is_writable(&self) -> bool {
        // Empty chunks are never queued, so an empty first chunk means an empty queue.
        self.front.len() > 0 && !self.blocked
    }

    /// Iterates over the queued chunks not being written.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        std::iter::once(&self.front).chain(self.back.iter()).filter(|chunk| chunk.len() > 0)
    }

    /// Queues a chunk. Returns false without an effect if the outbox accepts no more output.
    pub(crate) fn push(&mut self, chunk: Chunk, max: usize) -> bool {
        if self.phase != OutboxPhase::Open || chunk.bytes.is_empty() {
            return false;
        }
        // Accept the rest of a message that has begun, since the peer would otherwise receive half
        // a frame.
        if self.queued > max && !self.is_partial {
            self.phase = OutboxPhase::Overrun;
        } else {
            self.append(chunk);
        }
        true
    }

    /// Queues the last bytes. No output is accepted after them. With `drop_unsent`, first drops the
    /// frames whose transmission has not begun. Returns false if the outbox had ended earlier.
    pub(crate) fn finish(&mut self, last: Bytes, drop_unsent: bool) -> bool {
        if matches!(self.phase, OutboxPhase::Closing | OutboxPhase::Dead) {
            return false;
        }
        if drop_unsent {
            self.drop_unsent();
        }
        self.phase = OutboxPhase::Closing;
        if !last.is_empty() {
            self.append(Chunk::complete(last));
        }
        true
    }

    /// Drops all queued bytes, and accepts no more output.
    pub(crate) fn kill(&mut self) {
        // The chunks of a write in progress are not in the queue. `put_back` drops them.
        self.phase = OutboxPhase::Dead;
        self.front = Chunk::default();
        self.back = ChunkQueue::default();
        self.queued = 0;
    }

    /// Enters [`OutboxPhase::Detached`], in which the outbox queues no output, and output is kept
    /// only in the session's log. Call this only on an outbox without a socket.
    pub(crate) fn detach(&mut self) {
        self.phase = OutboxPhase::Detached;
    }

    /// Records that a session without a socket has exceeded its replay limit.
    pub(crate) fn overrun(&mut self) {
        self.phase = OutboxPhase::Overrun;
    }

    /// Marks the socket as no longer full.
    pub(crate) fn unblock(&mut self) {
        self.blocked = false;
    }

    /// Takes all chunks for a write. The caller passes the result to [`put_back`](Self::put_back).
    pub(crate) fn take(&mut self) -> InFlight {
        let (front, back) = (std::mem::take(&mut self.front), std::mem::take(&mut self.back));
        InFlight { front, back, saved: Saved::default() }
    }

    /// Records the result of a write, and puts the bytes that the socket did not accept back in
    /// front of those queued in the meantime.
    pub(crate) fn put_back(&mut self, in_flight: InFlight, result: Written) {
        if self.phase == OutboxPhase::Dead {
            // The outbox was killed during the write.
            return;
        }
        let InFlight { mut front, mut back, saved } = in_flight;
        // Bytes saved by compression will not be written, so remove them from the count.
        self.queued -= saved.total;
        if self.front.len() == 0 {
            // Nothing was queued in the meantime, so the newest message is the last one in this write.
            self.newest -= saved.last.min(self.newest);
        }
        let (accepted, offered) = match result {
            Written::Some { accepted, offered } => (accepted, offered),
            Written::Interrupted => (0, 0),
            Written::Full => {
                self.blocked = true;
                (0, 0)
            }
            Written::Failed => return self.kill(),
        };
        self.written += accepted as u64;
        if accepted > 0 && std::mem::take(&mut self.was_full) {
            self.unblock_count = self.unblock_count.wrapping_add(1);
        }
        // Bytes being written count until the socket has accepted them. Otherwise, the water marks
        // would ignore a large write in progress.
        self.queued -= accepted;
        if advance(&mut front, &mut back, accepted) {
            // A short write means that the socket is full.
            self.blocked |= 0 < accepted && accepted < offered;
            // The queue was emptied for the write, so a newer chunk may be at the front.
            let newer = std::mem::replace(&mut self.front, front);
            if newer.len() > 0 {
                back.push(newer);
            }
            back.append(std::mem::take(&mut self.back));
            self.back = back;
        }
        self.was_full |= self.blocked;
    }

    /// Returns the number of bytes left in the oldest message if it is large ([`LARGE_MESSAGE`]),
    /// otherwise 0.
    pub(crate) fn large_message_left(&self) -> usize {
        let left = frame_left(&self.front, &self.back);
        if left > LARGE_MESSAGE { left } else { 0 }
    }

    fn append(&mut self, mut chunk: Chunk) {
        // Store this in the chunk itself, since a write may have taken the previous chunk out of
        // the queue.
        chunk.continues = self.is_partial;
        self.queued += chunk.len();
        // A long member list is a single message in several chunks.
        self.newest = chunk.len() + if self.is_partial { self.newest } else { 0 };
        self.is_partial = chunk.more_follows;
        if self.front.len() == 0 {
            self.front = chunk;
        } else {
            self.back.push(chunk);
        }
    }

    /// Drops all chunks except the first one and those that complete its frame. The first one is
    /// kept because it may be partly written, or may continue a chunk being written.
    fn drop_unsent(&mut self) {
        let mut kept = 0;
        let mut more_follows = self.front.more_follows;
        for chunk in self.back.iter() {
            if !more_follows {
                break;
            }
            more_follows = chunk.more_follows;
            kept += 1;
        }
        self.queued -= self.back.truncate(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 100;

    fn frame(payload: usize) -> Vec<u8> {
        let mut bytes = vec![0x82, payload as u8];
        bytes.resize(2 + payload, b'x');
        bytes
    }

    fn waiting(outbox: &Outbox) -> usize {
        outbox.chunks().map(Chunk::len).sum()
    }

    /// Performs a write, with a socket that accepts `accepted` bytes.
    fn write(outbox: &mut Outbox, accepted: usize) {
        let in_flight = outbox.take();
        let offered = in_flight.front.len() + in_flight.back.iter().map(Chunk::len).sum::<usize>();
        outbox.put_back(in_flight, Written::Some { accepted, offered });
    }

    #[test]
    fn short_write_blocks_until_writable() {
        let mut outbox = Outbox::default();
        assert!(outbox.push(Chunk::complete(frame(10)), MAX));
        assert!(outbox.is_writable());
        write(&mut outbox, 5);
        assert_eq!((outbox.queued(), outbox.written()), (7, 5));
        assert!(outbox.is_blocked() && !outbox.is_writable());
        outbox.unblock();
        write(&mut outbox, 7);
        assert_eq!((outbox.queued(), outbox.unblock_count()), (0, 1));
        assert!(!outbox.is_blocked() && !outbox.is_writable());
    }

    #[test]
    fn bytes_queued_during_write_follow_it() {
        let mut outbox = Outbox::default();
        outbox.push(Chunk::complete(&b"first"[..]), MAX);
        outbox.push(Chunk::complete(&b"second"[..]), MAX);
        let in_flight = outbox.take();
        outbox.push(Chunk::complete(&b"third"[..]), MAX);
        outbox.put_back(in_flight, Written::Some { accepted: 7, offered: 11 });
        let left: Vec<&[u8]> = outbox.chunks().map(Chunk::left).collect();
        assert_eq!(left, [&b"cond"[..], b"third"]);
    }

    #[test]
    fn newest_message_is_not_counted() {
        let mut outbox = Outbox::default();
        outbox.push(Chunk::complete(frame(10)), MAX);
        outbox.push(Chunk::complete(frame(50)), MAX);
        assert_eq!((outbox.queued(), outbox.newest(), outbox.counted()), (64, 52, 12));
    }

    #[test]
    fn queue_above_maximum_is_overrun_and_keeps_bytes() {
        let mut outbox = Outbox::default();
        assert!(outbox.push(Chunk::complete(frame(MAX)), MAX));
        assert_eq!(outbox.phase(), OutboxPhase::Open);
        assert!(outbox.push(Chunk::complete(frame(1)), MAX), "this one has to be reported");
        assert_eq!((outbox.phase(), outbox.queued()), (OutboxPhase::Overrun, MAX + 2));
        assert!(!outbox.push(Chunk::complete(frame(1)), MAX));
    }

    #[test]
    fn chunked_message_is_completed_above_maximum() {
        let mut outbox = Outbox::default();
        outbox.push(Chunk::partial(frame(MAX)), MAX);
        outbox.push(Chunk::complete(&b"end"[..]), MAX);
        assert_eq!((outbox.phase(), outbox.queued()), (OutboxPhase::Open, MAX + 5));
    }

    #[test]
    fn dropping_unsent_frames_keeps_started_frame() {
        let mut outbox = Outbox::default();
        outbox.push(Chunk::partial(frame(10)), MAX);
        outbox.push(Chunk::complete(&b"rest"[..]), MAX);
        outbox.push(Chunk::complete(frame(20)), MAX);
        assert!(outbox.finish(Bytes::from_static(b"close"), true));
        assert_eq!((outbox.phase(), waiting(&outbox)), (OutboxPhase::Closing, 12 + 4 + 5));
        assert!(!outbox.finish(Bytes::from_static(b"again"), false));
        assert_eq!(outbox.queued(), waiting(&outbox));
    }

    #[test]
    fn outbox_killed_during_write_stays_empty() {
        let mut outbox = Outbox::default();
        outbox.push(Chunk::complete(frame(10)), MAX);
        let in_flight = outbox.take();
        outbox.kill();
        outbox.put_back(in_flight, Written::Some { accepted: 3, offered: 12 });
        assert_eq!((outbox.queued(), waiting(&outbox), outbox.written()), (0, 0, 0));
        assert!(!outbox.push(Chunk::complete(frame(1)), MAX));
    }

    #[test]
    fn failed_write_kills_outbox_and_interrupted_write_does_not() {
        let mut outbox = Outbox::default();
        outbox.push(Chunk::complete(frame(10)), MAX);
        let in_flight = outbox.take();
        outbox.put_back(in_flight, Written::Interrupted);
        assert!(outbox.is_writable());
        let in_flight = outbox.take();
        outbox.put_back(in_flight, Written::Full);
        assert_eq!((outbox.is_blocked(), outbox.queued()), (true, 12));
        let in_flight = outbox.take();
        outbox.put_back(in_flight, Written::Failed);
        assert_eq!((outbox.phase(), outbox.queued()), (OutboxPhase::Dead, 0));
    }
}

//! The queue of bytes not yet written to one connection's socket.
//!
//! This module is independent of sockets, locks and tasks, which are handled by
//! [`SocketWriter`](super::socket_writer::SocketWriter). The queue has two water marks, neither of
//! which counts the newest message. Above `high`, senders should pause. Above `max`, the connection
//! accepts no more output and must be closed.

mod paused_senders;
mod queue;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;

use crate::outbound::chunk::{Chunk, ChunkQueue, advance, frame_left};
use crate::outbound::compressed::Saved;
pub(crate) use crate::outbound::outbox::queue::Queue;

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
    /// The queued bytes and everything else that an idle connection does not need; `None` if idle.
    queue: Option<Arc<Queue>>,
    /// The number of bytes accepted by the socket, without [`Queue::written_before`].
    written: u32,
    phase: OutboxPhase,
    /// The number of times that a full socket has accepted bytes again. Only the peer's reading
    /// increases it, whereas a socket with free space accepts bytes whether or not the peer is
    /// alive. The count may wrap around: it is compared at each check of the connection's timeouts, and
    /// a multiple of 256 changes between two checks would merely be noticed at a later one.
    unblock_count: u8,
    /// True while a task writes.
    pub(crate) is_writing: bool,
    /// True while the connection is on a list of connections to flush.
    pub(crate) is_scheduled: bool,
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

    /// Returns the queue, for reading.
    #[inline]
    pub(crate) fn queue(&self) -> &Queue {
        self.queue.as_deref().unwrap_or(&queue::EMPTY)
    }

    /// Returns the outbox's own queue, for changes. Allocates it if necessary.
    pub(crate) fn own(&mut self) -> &mut Queue {
        let own = Arc::make_mut(self.queue.get_or_insert_with(queue::spare));
        if std::mem::take(&mut own.is_shared) && self.is_writing {
            // The only chunk is being written, and `put_back` returns the rest of it.
            own.front = Chunk::default();
        }
        own
    }

    /// Returns true if there is no queue.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_none()
    }

    /// Frees the queue if the connection is idle.
    pub(crate) fn settle(&mut self) {
        if let Some(queue) = self.queue.take_if(|queue| queue.is_unused(0)) {
            queue::release(queue);
        }
    }

    /// Sets the number of received bytes that the connection buffers.
    pub(crate) fn set_buffered(&mut self, bytes: usize) {
        if bytes != self.queue().buffered {
            self.own().buffered = bytes;
        }
    }

    /// Returns the number of queued bytes.
    pub(crate) fn queued(&self) -> usize {
        self.queue().queued
    }

    /// Returns the newest message's size in bytes.
    pub(crate) fn newest(&self) -> usize {
        self.queue().newest
    }

    /// Returns the number of bytes counted against the water marks.
    pub(crate) fn counted(&self) -> usize {
        // Saturate, since the socket may already have accepted part of the newest message.
        self.queued().saturating_sub(self.newest())
    }

    /// Returns the total number of bytes accepted by the socket.
    pub(crate) fn written(&self) -> u64 {
        self.queue().written_before + u64::from(self.written)
    }

    /// Returns how many times a full socket has accepted bytes again.
    pub(crate) fn unblock_count(&self) -> u8 {
        self.unblock_count
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.queue().is_blocked
    }

    #[cfg(feature = "audit")]
    pub(crate) fn is_partial(&self) -> bool {
        self.queue().is_partial
    }

    /// Returns true if bytes are queued and the socket is not known to be full.
    pub(crate) fn is_writable(&self) -> bool {
        // Empty chunks are never queued, so an empty first chunk means an empty queue.
        self.queue.as_ref().is_some_and(|queue| queue.front.len() > 0 && !queue.is_blocked)
    }

    /// Iterates over the queued chunks not being written.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        let queue = self.queue();
        let is_in_flight = queue.is_shared && self.is_writing;
        let chunks = std::iter::once(&queue.front).chain(queue.back.iter());
        chunks.filter(move |chunk| chunk.len() > 0 && !is_in_flight)
    }

    /// Queues a chunk. Returns false without an effect if the outbox accepts no more output.
    pub(crate) fn push(&mut self, chunk: Chunk, max: usize) -> bool {
        if self.phase != OutboxPhase::Open || chunk.bytes.is_empty() {
            return false;
        }
        // Accept the rest of a message that has begun, since the peer would otherwise receive half
        // a frame.
        let own = self.own();
        if own.queued > max && !own.is_partial {
            self.phase = OutboxPhase::Overrun;
        } else {
            own.append(chunk);
        }
        true
    }

    /// Queues a whole batch, from [`Queue::of_batch`]; see [`push`](Self::push).
    #[inline]
    pub(crate) fn push_batch(&mut self, batch: &Arc<Queue>, max: usize) -> bool {
        if self.queue.is_some() || self.phase != OutboxPhase::Open {
            return self.push(batch.front.clone(), max);
        }
        self.queue = Some(batch.clone());
        true
    }

    /// Queues the last bytes. No output is accepted after them. With `drop_unsent`, first drops the
    /// frames whose transmission has not begun. Returns false if the outbox had ended earlier.
    pub(crate) fn finish(&mut self, last: Bytes, drop_unsent: bool) -> bool {
        if matches!(self.phase, OutboxPhase::Closing | OutboxPhase::Dead) {
            return false;
        }
        self.phase = OutboxPhase::Closing;
        let own = self.own();
        if drop_unsent {
            own.drop_unsent();
        }
        if !last.is_empty() {
            own.append(Chunk::complete(last));
        }
        true
    }

    /// Drops all queued bytes, and accepts no more output.
    pub(crate) fn kill(&mut self) {
        // The chunks of a write in progress are not in the queue. `put_back` drops them.
        self.phase = OutboxPhase::Dead;
        self.queue.take_if(|queue| queue.is_shared);
        if self.queue.is_some() {
            let own = self.own();
            own.front = Chunk::default();
            own.back = ChunkQueue::default();
            own.queued = 0;
        }
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
        if self.is_blocked() {
            self.own().is_blocked = false;
        }
    }

    /// Takes all chunks for a write. The caller passes the result to [`put_back`](Self::put_back), and sets
    /// `is_writing` from before this call until after that one: a shared queue keeps the chunk being
    /// written, and only this flag shows that the chunk is no longer to be written.
    pub(crate) fn take(&mut self) -> InFlight {
        let saved = Saved::default();
        match &self.queue {
            // Leave it in place, since it has the size of the chunk being written.
            Some(queue) if queue.is_shared => {
                debug_assert!(self.is_writing, "the chunk would be written twice");
                InFlight { front: queue.front.clone(), back: ChunkQueue::default(), saved }
            }
            _ => {
                let own = self.own();
                let (front, back) = (std::mem::take(&mut own.front), std::mem::take(&mut own.back));
                InFlight { front, back, saved }
            }
        }
    }

    /// Records the result of a write, and puts the bytes that the socket did not accept back in
    /// front of those queued in the meantime.
    pub(crate) fn put_back(&mut self, in_flight: InFlight, result: Written) {
        if self.phase == OutboxPhase::Dead {
            // The outbox was killed during the write.
            return;
        }
        // Usually the socket accepts all bytes, and nothing was queued in the meantime.
        if let Written::Some { accepted, .. } = result
            && let Some(queue) = self.queue.take_if(|queue| queue.ends_after(accepted))
        {
            queue::release(queue);
            return self.add_written(accepted);
        }
        let InFlight { mut front, mut back, saved } = in_flight;
        let own = self.own();
        // Bytes saved by compression will not be written, so remove them from the count.
        own.queued -= saved.total;
        if own.front.len() == 0 {
            // Nothing was queued in the meantime, so the newest message is the last one in this write.
            own.newest -= saved.last.min(own.newest);
        }
        let (accepted, offered) = match result {
            Written::Some { accepted, offered } => (accepted, offered),
            Written::Interrupted => (0, 0),
            Written::Full => {
                own.is_blocked = true;
                (0, 0)
            }
            Written::Failed => return self.kill(),
        };
        let is_unblocked = accepted > 0 && std::mem::take(&mut own.was_full);
        // Bytes being written count until the socket has accepted them. Otherwise, the water marks
        // would ignore a large write in progress.
        own.queued -= accepted;
        if advance(&mut front, &mut back, accepted) {
            // A short write means that the socket is full.
            own.is_blocked |= 0 < accepted && accepted < offered;
            // The queue was emptied for the write, so a newer chunk may be at the front.
            let newer = std::mem::replace(&mut own.front, front);
            if newer.len() > 0 {
                back.push(newer);
            }
            back.append(std::mem::take(&mut own.back));
            own.back = back;
        }
        own.was_full |= own.is_blocked;
        self.unblock_count = self.unblock_count.wrapping_add(is_unblocked.into());
        self.add_written(accepted);
    }

    /// Returns the number of bytes left in the oldest message if it is large ([`LARGE_MESSAGE`]),
    /// otherwise 0.
    pub(crate) fn large_message_left(&self) -> usize {
        let left = frame_left(&self.queue().front, &self.queue().back);
        if left > LARGE_MESSAGE { left } else { 0 }
    }

    fn add_written(&mut self, bytes: usize) {
        match u32::try_from(u64::from(self.written) + bytes as u64) {
            Ok(written) => self.written = written,
            Err(_) => {
                let written = std::mem::take(&mut self.written);
                self.own().written_before += u64::from(written) + bytes as u64;
            }
        }
    }
}

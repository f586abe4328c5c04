//! The part of an outbox that only a busy connection needs, and a pool of unused ones.
//!
//! An idle connection has no queue, which saves more than a hundred bytes. To avoid an allocation for
//! each message, each thread keeps a few unused queues, and all plain members that receive a whole
//! batch share one queue: otherwise, a message to a large room would need a queue per member, and this
//! memory would stay in the heap.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::outbound::chunk::{Chunk, ChunkQueue};
use crate::outbound::outbox::paused_senders::PausedSenders;
use crate::outbound::replay::Replay;

/// The maximum number of unused queues that each thread keeps.
const MAX_SPARE: usize = 64;

thread_local! {
    static SPARE: Cell<Vec<Arc<Queue>>> = const { Cell::new(Vec::new()) };
}

/// The queue of an idle connection, for readers.
pub(super) static EMPTY: Queue = Queue {
    front: Chunk::empty(),
    back: ChunkQueue::new(),
    queued: 0,
    newest: 0,
    is_shared: false,
    is_partial: false,
    is_blocked: false,
    was_full: false,
    written_before: 0,
    counted: 0,
    buffered: 0,
    reported: 0,
    paused_senders: PausedSenders::new(),
    replay: None,
};

#[derive(Default)]
pub(crate) struct Queue {
    /// The oldest chunk. It is stored separately because the queue usually consists of one chunk,
    /// and then needs no further allocation.
    pub(super) front: Chunk,
    pub(super) back: ChunkQueue,
    /// The number of queued bytes, including those being written.
    pub(super) queued: usize,
    /// The newest message's size in bytes.
    pub(super) newest: usize,
    /// True if several outboxes may refer to this queue. It then consists of one chunk of whole frames.
    /// An outbox makes its own copy before it changes anything.
    pub(super) is_shared: bool,
    /// True while only a part of the newest message is queued.
    pub(super) is_partial: bool,
    /// True while the socket is full. The connection's own task waits until it is writable.
    pub(super) is_blocked: bool,
    /// True if the socket has been full since it last accepted bytes.
    pub(super) was_full: bool,
    /// The bytes accepted by the socket that no longer fit into the outbox's own count.
    pub(super) written_before: u64,
    /// The number of written bytes already added to the server's statistics.
    pub(crate) counted: u64,
    /// The number of received bytes that the connection buffers.
    pub(crate) buffered: usize,
    /// The number of bytes last reported to the memory budget.
    pub(crate) reported: usize,
    /// Wakers of senders waiting until the connection is no longer congested.
    pub(crate) paused_senders: PausedSenders,
    /// The packets that a session's client has not acknowledged.
    pub(crate) replay: Option<Box<Replay>>,
}

impl Queue {
    /// Creates a queue of one batch for all its receivers.
    pub(crate) fn of_batch(frames: Bytes) -> Arc<Queue> {
        let mut queue = spare();
        let own = Arc::make_mut(&mut queue);
        (own.queued, own.newest, own.is_shared) = (frames.len(), frames.len(), true);
        own.front = Chunk::complete(frames);
        queue
    }

    pub(super) fn append(&mut self, mut chunk: Chunk) {
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
    pub(super) fn drop_unsent(&mut self) {
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

    /// Returns true if nothing is left of this queue after a write of all its chunks, of which the
    /// socket has accepted `bytes`.
    #[inline]
    pub(super) fn ends_after(&self, bytes: usize) -> bool {
        self.queued == bytes && (self.is_shared || self.is_unused(bytes))
    }

    /// Returns true if nothing but this number of written bytes would be lost without this queue.
    #[inline]
    pub(super) fn is_unused(&self, written: usize) -> bool {
        // Destructure so that the compiler reports a missing part. An empty first chunk means that
        // there are no further ones, and the size of the newest message is then irrelevant.
        let Queue {
            front,
            back: _,
            queued,
            newest: _,
            is_shared: _,
            is_partial,
            is_blocked,
            was_full,
            written_before,
            counted,
            buffered,
            reported,
            paused_senders,
            replay,
        } = self;
        *queued == written
            && front.len() == 0
            && !is_partial
            && !is_blocked
            && !was_full
            && (*written_before, *counted) == (0, 0)
            && (*buffered, *reported) == (0, 0)
            && paused_senders.is_empty()
            && replay.is_none()
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("queued", &self.queued).finish_non_exhaustive()
    }
}

/// Copies a shared queue, for an outbox that changes it. Own queues are never copied.
impl Clone for Queue {
    fn clone(&self) -> Self {
        debug_assert!(self.is_shared);
        let Queue { queued, newest, is_shared, .. } = *self;
        Queue { front: self.front.clone(), queued, newest, is_shared, ..Queue::default() }
    }
}

/// Returns an empty queue that only the caller refers to.
pub(super) fn spare() -> Arc<Queue> {
    let take = |spare: &Cell<Vec<Arc<Queue>>>| {
        let mut queues = spare.take();
        let queue = queues.pop();
        spare.set(queues);
        queue
    };
    // A terminating thread has no spare queues: the runtime may drop connections while thread-locals
    // are destroyed.
    SPARE.try_with(take).ok().flatten().unwrap_or_default()
}

/// Drops a reference to a queue whose content is no longer needed. The last reference's queue is kept
/// for later use.
#[inline]
pub(super) fn release(mut queue: Arc<Queue>) {
    // Check the count first, which is cheaper than `get_mut`.
    if Arc::strong_count(&queue) == 1
        && let Some(own) = Arc::get_mut(&mut queue)
    {
        if std::mem::take(&mut own.is_shared) {
            own.front = Chunk::default();
        }
        (own.queued, own.newest) = (0, 0);
        keep(queue);
    }
}

fn keep(queue: Arc<Queue>) {
    let _ = SPARE.try_with(|spare| {
        let mut queues = spare.take();
        if queues.len() < MAX_SPARE {
            queues.push(queue);
        }
        spare.set(queues);
    });
}

//! The pool of large flushes, whose work is shared between threads.
//!
//! Writing to ten thousand sockets takes tens of milliseconds. A thread that did so in one poll
//! would keep its other tasks waiting while the runtime's other threads are idle. A large flush
//! therefore becomes a job: the task that posts it and all flush workers take chunks of its
//! connections, and yield in between. The order of messages is not affected: it was determined when
//! they were queued, and only one thread at a time writes to a connection.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Waker};

use crate::outbound::FlushWork;
use crate::sync::{AtomicBool, AtomicUsize, Mutex, Ordering, lock};

/// The sizes that determine how many connections a task writes to before it yields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flush {
    /// The maximum number of connections that a task writes to in one poll. A flush of more
    /// connections is a large one.
    pub(crate) max_per_poll: usize,
    /// The number of connections that a task takes from a large flush at a time.
    pub(crate) chunk: usize,
}

impl Default for Flush {
    /// Returns the defaults, with which one poll takes about a millisecond.
    fn default() -> Self {
        Flush { max_per_poll: 256, chunk: 32 }
    }
}

#[derive(Debug)]
pub(crate) struct FlushPool {
    chunk: usize,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Arc<FlushJob>>,
    /// Wakers of workers waiting for a job.
    idle: Vec<Waker>,
}

#[derive(Debug)]
pub(crate) struct FlushJob {
    pub(crate) work: FlushWork,
    chunk: usize,
    next: AtomicUsize,
    is_finished: AtomicBool,
}

impl FlushJob {
    /// Returns the next connections to write to, or `None` if all are taken.
    pub(crate) fn take(&self) -> Option<Range<usize>> {
        // Relaxed ordering suffices: the counter only divides the list, which was published by the
        // queue's lock.
        let start = self.next.fetch_add(self.chunk, Ordering::Relaxed);
        // Calls made after the last connection was taken advance the counter too, so `start` may be
        // beyond the end.
        let end = self.work.writers.len().min(start + self.chunk);
        (start < end).then_some(start..end)
    }

    fn is_exhausted(&self) -> bool {
        self.next.load(Ordering::Relaxed) >= self.work.writers.len()
    }

    /// Returns the number of connections not taken yet.
    #[cfg(feature = "audit")]
    pub(crate) fn left(&self) -> usize {
        self.work.writers.len().saturating_sub(self.next.load(Ordering::Relaxed))
    }

    /// Returns true to exactly one caller once all connections are taken. That caller finishes the
    /// flush.
    pub(crate) fn finish(&self) -> bool {
        // Relaxed ordering suffices: the flag selects one caller and publishes no data.
        self.is_exhausted() && !self.is_finished.swap(true, Ordering::Relaxed)
    }
}

impl FlushPool {
    pub(crate) fn new(chunk: usize) -> Self {
        FlushPool { chunk, queue: Mutex::default() }
    }

    /// Posts a job and wakes the workers.
    pub(crate) fn post(&self, work: FlushWork) -> Arc<FlushJob> {
        let (next, is_finished) = (AtomicUsize::new(0), AtomicBool::new(false));
        let job = Arc::new(FlushJob { work, chunk: self.chunk, next, is_finished });
        let mut queue = lock(&self.queue);
        queue.jobs.push_back(job.clone());
        let idle = std::mem::take(&mut queue.idle);
        // Release the lock first: a waker may run its task immediately, and the task locks the
        // queue.
        drop(queue);
        idle.into_iter().for_each(Waker::wake);
        job
    }

    /// Returns the oldest job with connections left to take.
    pub(crate) fn job(&self) -> Option<Arc<FlushJob>> {
        let mut queue = lock(&self.queue);
        // Remove exhausted jobs here, since taking a chunk does not lock the queue.
        while queue.jobs.front()?.is_exhausted() {
            queue.jobs.pop_front();
        }
        queue.jobs.front().cloned()
    }

    /// Returns all jobs with connections left to take.
    #[cfg(feature = "audit")]
    pub(crate) fn unfinished_jobs(&self) -> Vec<Arc<FlushJob>> {
        let queue = lock(&self.queue);
        queue.jobs.iter().filter(|job| job.left() > 0).cloned().collect()
    }

    /// Registers a worker's waker for the next job. Returns false if a job is available.
    pub(crate) fn park(&self, cx: &Context<'_>) -> bool {
        // `job` also removes exhausted jobs, so an empty queue below means that no work is left.
        if self.job().is_some() {
            return false;
        }
        let mut queue = lock(&self.queue);
        if !queue.idle.iter().any(|waker| waker.will_wake(cx.waker())) {
            queue.idle.push(cx.waker().clone());
        }
        // Check again after registering the waker: a job posted in between has not woken this
        // worker.
        queue.jobs.is_empty()
    }
}

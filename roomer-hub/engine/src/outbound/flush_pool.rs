//! Large flushes, a handful of connections at a time and by many hands.
//!
//! Writing to ten thousand sockets takes tens of milliseconds. One thread that did it in one go
//! would keep everybody else waiting while the runtime's other threads idle. So a large flush is
//! put up as a job; whoever put it up and every helper take handfuls from it, and let others have
//! their turn in between. Order is not at stake: what each connection gets was decided when it was
//! pushed, and a link is written by one thread at a time.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Waker};

use crate::outbound::FlushWork;
use crate::sync::{AtomicBool, AtomicUsize, Mutex, Ordering, lock};

/// How many connections are written to before others have their turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flush {
    /// Of one turn. A flush of more is a large one.
    pub(crate) max_per_poll: usize,
    /// That a hand takes at a time, of a large one.
    pub(crate) chunk: usize,
}

impl Default for Flush {
    /// A turn is a millisecond's work.
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
    /// The next connections to write to; `None` when all are taken.
    pub(crate) fn take(&self) -> Option<Range<usize>> {
        let start = self.next.fetch_add(self.chunk, Ordering::Relaxed);
        let end = self.work.writers.len().min(start + self.chunk);
        (start < end).then_some(start..end)
    }

    fn is_exhausted(&self) -> bool {
        self.next.load(Ordering::Relaxed) >= self.work.writers.len()
    }

    /// How many connections nobody has taken.
    #[cfg(feature = "audit")]
    pub(crate) fn left(&self) -> usize {
        self.work.writers.len().saturating_sub(self.next.load(Ordering::Relaxed))
    }

    /// True for the one hand that is to settle the job, once all of it is taken.
    pub(crate) fn finish(&self) -> bool {
        self.is_exhausted() && !self.is_finished.swap(true, Ordering::Relaxed)
    }
}

impl FlushPool {
    pub(crate) fn new(chunk: usize) -> Self {
        FlushPool { chunk, queue: Mutex::default() }
    }

    /// Puts up a job and calls the helpers.
    pub(crate) fn post(&self, work: FlushWork) -> Arc<FlushJob> {
        let (next, is_finished) = (AtomicUsize::new(0), AtomicBool::new(false));
        let job = Arc::new(FlushJob { work, chunk: self.chunk, next, is_finished });
        let mut queue = lock(&self.queue);
        queue.jobs.push_back(job.clone());
        let idle = std::mem::take(&mut queue.idle);
        drop(queue);
        idle.into_iter().for_each(Waker::wake);
        job
    }

    /// The job that hands should work on.
    pub(crate) fn job(&self) -> Option<Arc<FlushJob>> {
        let mut queue = lock(&self.queue);
        while queue.jobs.front()?.is_exhausted() {
            queue.jobs.pop_front();
        }
        queue.jobs.front().cloned()
    }

    /// The jobs that are not taken whole.
    #[cfg(feature = "audit")]
    pub(crate) fn unfinished_jobs(&self) -> Vec<Arc<FlushJob>> {
        let queue = lock(&self.queue);
        queue.jobs.iter().filter(|job| job.left() > 0).cloned().collect()
    }

    /// Has a helper woken when there is a job. False when there is one already.
    pub(crate) fn park(&self, cx: &Context<'_>) -> bool {
        if self.job().is_some() {
            return false;
        }
        let mut queue = lock(&self.queue);
        if !queue.idle.iter().any(|waker| waker.will_wake(cx.waker())) {
            queue.idle.push(cx.waker().clone());
        }
        queue.jobs.is_empty()
    }
}

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

use crate::core::Work;
use crate::sync::{AtomicBool, AtomicUsize, Mutex, Ordering, lock};

/// How many connections are written to before others have their turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flush {
    /// Of one turn. A flush of more is a large one.
    pub(crate) turn: usize,
    /// That a hand takes at a time, of a large one.
    pub(crate) handful: usize,
}

impl Default for Flush {
    /// A turn is a millisecond's work.
    fn default() -> Self {
        Flush { turn: 256, handful: 32 }
    }
}

#[derive(Debug)]
pub(crate) struct Crew {
    handful: usize,
    board: Mutex<Board>,
}

#[derive(Debug, Default)]
struct Board {
    jobs: VecDeque<Arc<Job>>,
    idle: Vec<Waker>,
}

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) work: Work,
    handful: usize,
    next: AtomicUsize,
    is_settled: AtomicBool,
}

impl Job {
    /// The next connections to write to; `None` when all are taken.
    pub(crate) fn take(&self) -> Option<Range<usize>> {
        let start = self.next.fetch_add(self.handful, Ordering::Relaxed);
        let end = self.work.links.len().min(start + self.handful);
        (start < end).then_some(start..end)
    }

    fn is_taken(&self) -> bool {
        self.next.load(Ordering::Relaxed) >= self.work.links.len()
    }

    /// How many connections nobody has taken.
    #[cfg(feature = "audit")]
    pub(crate) fn left(&self) -> usize {
        self.work.links.len().saturating_sub(self.next.load(Ordering::Relaxed))
    }

    /// True for the one hand that is to settle the job, once all of it is taken.
    pub(crate) fn settle(&self) -> bool {
        self.is_taken() && !self.is_settled.swap(true, Ordering::Relaxed)
    }
}

impl Crew {
    pub(crate) fn new(handful: usize) -> Self {
        Crew { handful, board: Mutex::default() }
    }

    /// Puts up a job and calls the helpers.
    pub(crate) fn post(&self, work: Work) -> Arc<Job> {
        let (next, is_settled) = (AtomicUsize::new(0), AtomicBool::new(false));
        let job = Arc::new(Job { work, handful: self.handful, next, is_settled });
        let mut board = lock(&self.board);
        board.jobs.push_back(job.clone());
        let idle = std::mem::take(&mut board.idle);
        drop(board);
        idle.into_iter().for_each(Waker::wake);
        job
    }

    /// The job that hands should work on.
    pub(crate) fn job(&self) -> Option<Arc<Job>> {
        let mut board = lock(&self.board);
        while board.jobs.front()?.is_taken() {
            board.jobs.pop_front();
        }
        board.jobs.front().cloned()
    }

    /// The jobs that are not taken whole.
    #[cfg(feature = "audit")]
    pub(crate) fn under_way(&self) -> Vec<Arc<Job>> {
        let board = lock(&self.board);
        board.jobs.iter().filter(|job| job.left() > 0).cloned().collect()
    }

    /// Has a helper woken when there is a job. False when there is one already.
    pub(crate) fn rest(&self, cx: &Context<'_>) -> bool {
        if self.job().is_some() {
            return false;
        }
        let mut board = lock(&self.board);
        if !board.idle.iter().any(|waker| waker.will_wake(cx.waker())) {
            board.idle.push(cx.waker().clone());
        }
        board.jobs.is_empty()
    }
}

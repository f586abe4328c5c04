//! Flush scheduling: which task writes which bytes, and when.
//!
//! | task | when | what it writes |
//! |---|---|---|
//! | the task whose input queued output | after its input was handled ([`Shared::flush_after_input`]) | connections and small rooms |
//! | the first task that queued for a large room | at its next poll, after `coalesce` ([`FlushWork::has_more`]) | all rooms ([`Shared::flush`]) |
//! | a handle outside the connections' tasks | immediately ([`Shared::flush_unless_in_callback`]) | all rooms |
//! | a worker, and every task that flushes | while a large flush is in progress | a chunk of its connections ([`FlushPool`](super::flush_pool::FlushPool)) |
//! | the connection's own task | when its full socket is writable again | its own outbox |
//!
//! A task releases the server's lock before it writes. In one poll, it writes to at most
//! [`max_per_poll`](super::flush_pool::Flush) connections, so that other tasks can run.
//! If output is left, the flush returns true, and the task must continue in its next poll.

use std::cell::Cell;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use roomer_hub::ConnKey;

use crate::core::Core;
use crate::core::shed::Shed;
use crate::metrics::trace;
use crate::metrics::warning::WarningReason;
use crate::outbound::FlushWork;
use crate::outbound::deliver::keep_spare;
use crate::outbound::flush_pool::FlushJob;
use crate::outbound::socket_writer::SocketWriter;
use crate::shared::Shared;
use crate::sync::MutexGuard;
use crate::timer::moment::Moment;

thread_local! {
    /// The address of the server for which this thread is running a callback.
    static CURRENT_SERVER: Cell<usize> = const { Cell::new(0) };
}

impl Shared {
    /// Writes the output queued by an input, and calls the hooks for its events. Sets `flush_at` to
    /// the time at which the connection's task must [`flush`](Self::flush), if it must.
    pub(crate) fn flush_after_input<'s>(
        self: &'s Arc<Self>,
        now: Duration,
        mut core: MutexGuard<'s, Core>,
        flush_at: &mut Option<Moment>,
    ) {
        loop {
            let work = core.take(false);
            let has_events = core.hook_queue.try_start();
            // Hold the lock only for bookkeeping, since system calls and hooks may take a long
            // time.
            drop(core);
            let has_duty = work.has_more;
            if self.write(work) {
                *flush_at = Some(now.into());
            } else if has_duty && flush_at.is_none() {
                // Keep an earlier time: a sender that never pauses must not postpone the flush.
                *flush_at = Some((now + self.options().coalesce).into());
            }
            if !has_events {
                return;
            }
            // Hooks may have queued more output.
            self.run_hooks();
            core = self.core();
        }
    }

    /// Writes the pending output of all rooms, and calls the hooks for queued events. Returns true
    /// if the caller must call this function again in its next poll.
    pub(crate) fn flush(self: &Arc<Self>) -> bool {
        // Continue a large flush in progress first, since newer messages were queued after its
        // messages.
        if let Some(job) = self.flush_pool.job()
            && self.work_on(&job)
        {
            return true;
        }
        let mut has_more = false;
        loop {
            let mut core = self.core();
            let work = core.take(true);
            let has_events = core.hook_queue.try_start();
            drop(core);
            has_more |= self.write(work);
            if !has_events {
                return has_more;
            }
            self.run_hooks();
        }
    }

    /// Flushes, unless an application callback is running on this thread. In that case, the task of
    /// the callback's connection flushes afterwards.
    pub(crate) fn flush_unless_in_callback(self: &Arc<Self>) {
        if CURRENT_SERVER.get() != self.address() && self.flush() {
            // A synchronous method has no next poll, so the timer task continues the flush.
            self.timers.wake_drivers();
        }
    }

    /// Runs an application callback. The caller flushes the output that it queues.
    pub(crate) fn run_callback<T>(&self, run: impl FnOnce() -> T) -> T {
        // A callback may call another server, whose callback may run on the same thread. Therefore
        // restore the outer server's address instead of clearing it.
        let outer = CURRENT_SERVER.replace(self.address());
        let result = run();
        CURRENT_SERVER.set(outer);
        result
    }

    /// Queues a frame for one connection and flushes. Returns false if the connection has ended or is
    /// above its high-water mark.
    pub(crate) fn send_frame(self: &Arc<Self>, conn: ConnKey, frame: Vec<u8>) -> bool {
        // The lock must be released before the flush, which takes it. This happens at the end of
        // the statement.
        let is_queued = self.core().outbound.send_frame(conn, frame);
        self.flush_unless_in_callback();
        is_queued
    }

    /// Queues a frame that is not a session packet, and flushes; see
    /// [`Outbound::send_control`](crate::outbound::Outbound::send_control).
    pub(crate) fn send_control(self: &Arc<Self>, conn: ConnKey, frame: Vec<u8>) {
        self.core().outbound.send_control(conn, frame);
        self.flush_unless_in_callback();
    }

    /// Queues an acknowledgement, and flushes; see
    /// [`Outbound::send_ack`](crate::outbound::Outbound::send_ack).
    pub(crate) fn send_ack(self: &Arc<Self>, conn: ConnKey, frame: Vec<u8>) {
        self.core().outbound.send_ack(conn, frame);
        self.flush_unless_in_callback();
    }

    /// Runs a flush worker; see [`Server::run_flush_worker`](crate::Server::run_flush_worker).
    pub(crate) async fn run_flush_worker(self: &Arc<Self>) {
        let mut has_more = false;
        poll_fn(|cx| {
            // The worker that finishes a job flushes again, since messages may have been queued in
            // the meantime.
            has_more = (has_more || self.flush_pool.job().is_some()) && self.flush();
            // `park` checks again after registering the waker, since a job posted in between has
            // not woken this worker.
            if has_more || !self.flush_pool.park(cx) {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    }

    /// Writes the output without holding the lock. A large flush is written only in part. Returns
    /// true under the same condition as [`flush`](Self::flush).
    fn write(&self, mut work: FlushWork) -> bool {
        if let Some(link) = work.link.take() {
            link.wake();
        }
        for waker in std::mem::take(&mut work.wakers) {
            waker.wake();
        }
        let has_more = self.write_work(work);
        // Call `shed` in any case, since the budget must be checked after each flush, even after a
        // part of a large one.
        self.shed() || has_more
    }

    fn write_work(&self, mut work: FlushWork) -> bool {
        if work.writers.len() > self.options().flush.max_per_poll {
            let job = self.flush_pool.post(work);
            return self.work_on(&job);
        }
        let congested = write_to(&work.writers);
        keep_spare(std::mem::take(&mut work.writers));
        // Usually there is nothing to record, and the lock is not needed again.
        if congested.is_empty() && !work.has_rooms() {
            return false;
        }
        let mut core = self.core();
        core.outbound.congested.extend(congested);
        core.outbound.finish(&work)
    }

    /// Writes to as many connections of a large flush as one poll permits. Returns true under the
    /// same condition as [`flush`](Self::flush).
    fn work_on(&self, job: &FlushJob) -> bool {
        let mut congested = Vec::new();
        let mut left = self.options().flush.max_per_poll;
        while left > 0
            && let Some(chunk) = job.take()
        {
            // The last chunk may contain more connections than this poll should still write to,
            // since chunks are not divided.
            left = left.saturating_sub(chunk.len());
            congested.append(&mut write_to(&job.work.writers[chunk]));
        }
        // Other tasks may still be writing their chunks. The flush's rooms may nevertheless be
        // flushed again, since each writer writes newer bytes after older ones.
        let is_last = job.finish();
        let mut has_more = false;
        if is_last || !congested.is_empty() {
            let mut core = self.core();
            core.outbound.congested.extend(congested);
            has_more = is_last && core.outbound.finish(&job.work);
        }
        // A single-threaded runtime has no flush workers, so each task that flushes also works on
        // large flushes until none is left.
        has_more || self.flush_pool.job().is_some()
    }

    /// Closes the connections that hold the most memory if the total exceeds the budget. Returns
    /// true if the caller must flush again, to write the close frames.
    fn shed(&self) -> bool {
        let budget = &self.budget;
        // This runs after each flush, so the usual case must be cheap: it costs a single atomic
        // load. Only if the reported sum is above the limit may all outboxes be visited, to count
        // shared buffers once.
        if !budget.may_exceed() {
            return false;
        }
        // The lock must be released before the warning, whose hook may call the server. This
        // happens at the end of the statement.
        let Shed { closed, is_finished } =
            self.core().shed(self.now(), budget, self.options().retry_window);
        if closed > 0 {
            trace::shed(closed, budget.limit());
            let budget = budget.limit();
            self.warnings.give_to_hook(WarningReason::MemoryBudget { closed, budget });
        }
        is_finished
    }

    /// Returns a number that identifies this server within the process.
    pub(crate) fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

/// Writes to each connection. Returns the connections that have just exceeded the high-water mark.
fn write_to(writers: &[(ConnKey, Arc<SocketWriter>)]) -> Vec<ConnKey> {
    let congested = writers.iter().filter(|(_, writer)| writer.flush());
    congested.map(|(conn, _)| *conn).collect()
}

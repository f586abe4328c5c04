//! A model of a drain: the connections that it may close, and the time at which it must end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use roomer_engine::DrainReport;

use super::conn_model::{ConnModel, State};
use super::harness::Harness;
use super::marks::Mark;
use super::plan;
use crate::fault::{Fault, ensure};

/// The engine's interval between two rounds of closes in a drain.
const DRAIN_INTERVAL: Duration = Duration::from_millis(50);

/// The engine's `ABORT_GRACE`: how long aborted connections have to end.
const ABORT_GRACE: Duration = Duration::from_secs(1);

/// The default time by which a drain may exceed the close timeout, in milliseconds.
const DEFAULT_SLACK: u64 = 1000;

#[derive(Debug)]
pub struct Drain {
    since: Duration,
    deadline: Duration,
    per_second: usize,
    /// The number of connections when the drain began.
    there: usize,
    /// The number of connections that have ended before the deadline.
    ended: usize,
    /// The number of connections that the drain has closed.
    closed_by_drain: u64,
    /// True if the deadline has passed, so connections that are still open may have been aborted.
    may_be_cut: bool,
    /// True if all remaining connections have been closed. Connections that end after that count as
    /// aborted.
    is_cut: bool,
    cut: usize,
    waiters: Vec<Waiter>,
}

/// A task that waits for the drain, and the result that the task has received.
#[derive(Debug)]
struct Waiter {
    task: usize,
    is_checked: bool,
    result: Arc<Mutex<Option<DrainReport>>>,
}

impl Drain {
    /// Returns the maximum number of connections that the drain may have closed at this time.
    fn allowed(&self, now: Duration) -> u64 {
        // Add one interval, since the first connections are closed immediately.
        let millis = (now + DRAIN_INTERVAL - self.since).as_millis();
        let expected = (self.per_second as u128 * millis).div_ceil(1000);
        expected.try_into().unwrap_or(u64::MAX)
    }
}

impl Harness<'_> {
    /// Starts a drain, or waits for the one in progress.
    pub(super) fn begin_drain(&mut self) -> Result<(), Fault> {
        let (now, close) = (self.now(), self.plan.setup.close);
        let there = self.conns.iter().filter(|conn| is_in(conn)).count();
        let by_default = plan::Drain { deadline: close + DEFAULT_SLACK, per_second: usize::MAX };
        let plan::Drain { deadline, per_second } = self.plan.setup.drain.unwrap_or(by_default);
        let (server, result) = (self.server.clone(), Arc::new(Mutex::new(None)));
        let shared = result.clone();
        let task = self.tasks.spawn(async move {
            let drained = server.drain().await;
            *shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(drained);
        });
        // If a drain is already in progress, join it and keep its deadline.
        let drain = self.drain.get_or_insert(Drain {
            since: now,
            deadline: now + Duration::from_millis(deadline),
            per_second,
            there,
            ended: 0,
            closed_by_drain: 0,
            may_be_cut: false,
            is_cut: false,
            cut: 0,
            waiters: Vec::new(),
        });
        drain.waiters.push(Waiter { task, is_checked: false, result });
        // Poll the task immediately, as `await` does.
        self.tasks.poll(task);
        self.observe(Some(task))
    }

    /// Records how a poll has changed the state of the drain.
    pub(super) fn observe_drain(&mut self, task: Option<usize>) -> Result<(), Fault> {
        let (now, is_live) = (self.now(), self.server.is_live());
        let is_empty = !self.conns.iter().any(is_in);
        let sockets = self.conns.iter().filter(|conn| conn.state != State::Ended).count();
        self.is_drain_poll = false;
        let Some(drain) = &mut self.drain else { return Ok(()) };
        if let Some(waiter) = drain.waiters.iter_mut().find(|waiter| Some(waiter.task) == task) {
            self.is_drain_poll = true;
            drain.may_be_cut |= now >= drain.deadline && sockets > 0;
            // If a poll after the deadline closes no connection, all were closed earlier, and this
            // poll aborts them.
            drain.is_cut |= drain.may_be_cut && self.journal.is_empty();
            let result = *waiter.result.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(DrainReport { closed, aborted, .. }) = result
                && !std::mem::replace(&mut waiter.is_checked, true)
            {
                let is_late = now >= drain.deadline + ABORT_GRACE;
                ensure!(is_late || sockets == 0, "the drain has ended with {sockets} sockets left");
                let (there, ended) = (drain.there, drain.ended);
                // Each connection that was open when the drain began must be counted as either
                // closed or aborted.
                ensure!(
                    closed + aborted == there,
                    "drained {closed} and aborted {aborted} of {there}"
                );
                ensure!(closed >= ended, "drained {closed} of {ended}");
                ensure!(
                    aborted >= drain.cut,
                    "{aborted} are reported as aborted, {} were",
                    drain.cut
                );
                self.marks.mark(closed > 0 && aborted == 0, Mark::DrainReport);
                self.marks.mark(aborted > 0, Mark::DrainCuts);
            }
        }
        if !is_live && !self.is_stopping {
            let is_due = self.is_drain_poll && (is_empty || now >= drain.deadline);
            ensure!(is_due, "the drain ends the server at {now:?}, before {:?}", drain.deadline);
            self.mark_shutdown();
            self.is_stopping = true;
        }
        Ok(())
    }

    /// Checks that the drain may close another connection in this poll.
    pub(super) fn closed_by_drain(&mut self) -> Result<(), Fault> {
        let (now, is_stopping) = (self.now(), self.is_stopping);
        let Some(drain) = &mut self.drain else { return Ok(()) };
        drain.closed_by_drain += 1;
        let expected = drain.allowed(now);
        ensure!(
            is_stopping || drain.closed_by_drain <= expected,
            "the drain closes more than {expected}"
        );
        self.marks.mark(!is_stopping && drain.closed_by_drain == expected, Mark::DrainedAtPace);
        Ok(())
    }

    /// Returns true if the drain may have aborted the remaining connections.
    pub(super) fn may_be_cut(&self) -> bool {
        self.drain.as_ref().is_some_and(|drain| drain.may_be_cut)
    }

    /// Counts a connection that has ended during the drain.
    pub(super) fn ended(&mut self) {
        if let Some(drain) = &mut self.drain {
            drain.ended += usize::from(!drain.may_be_cut);
            drain.cut += usize::from(drain.is_cut);
        }
    }

    /// Checks the progress of the drain. Requires an idle server.
    pub(super) fn check_drain(&mut self) -> Result<(), Fault> {
        let (now, is_live) = (self.now(), self.server.is_live());
        let Some(drain) = &self.drain else { return Ok(()) };
        let sockets = self.conns.iter().filter(|conn| conn.state != State::Ended).count();
        let connections = self.conns.iter().filter(|conn| is_in(conn)).count();
        let open = self.conns.iter().filter(|conn| conn.state == State::Open).count();
        let is_over = now >= drain.deadline;
        let waits = |waiter: &Waiter| !self.tasks.is_done(waiter.task);
        let is_waited_for = drain.waiters.iter().any(waits);
        if is_waited_for {
            ensure!(!is_over, "the drain continues after its deadline");
            ensure!(sockets > 0, "the drain continues without sockets");
            ensure!(connections > 0 || !is_live, "the server continues without connections");
        }
        // The drain is polled at least once per interval. It must therefore have closed as many
        // connections as were due an interval ago.
        let expected = drain.allowed(now.saturating_sub(DRAIN_INTERVAL).max(drain.since));
        let is_slow = is_live && open > 0 && drain.closed_by_drain < expected;
        ensure!(!is_slow, "the drain has closed {} of {expected}", drain.closed_by_drain);
        self.marks.mark(is_waited_for && is_live && open > 0, Mark::Draining);
        self.marks.mark(drain.waiters.len() > 1 && is_waited_for, Mark::TwoDrains);
        Ok(())
    }

    /// Returns how long a drain may take at the end of the plan.
    pub(super) fn drain_wait(&self) -> Duration {
        let setup = &self.plan.setup;
        let deadline = setup.drain.map_or(setup.close + DEFAULT_SLACK, |drain| drain.deadline);
        Duration::from_millis(deadline)
    }
}

/// Returns true if the connection counts towards the limits.
pub(super) fn is_in(conn: &ConnModel) -> bool {
    conn.state != State::Ended && conn.client.is_some()
}

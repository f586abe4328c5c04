//! A server that is being drained: whom it may close, and when it has to be over.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use roomer_engine::DrainReport;

use super::conn_model::{ConnModel, State};
use super::harness::Harness;
use super::marks::Mark;
use super::plan;
use crate::fault::{Fault, ensure};

/// See the engine's `drain.rs`: how often a drain closes some.
const DRAIN_INTERVAL: Duration = Duration::from_millis(50);

/// See the engine's `drain.rs`: how long it waits for those that it has cut.
const ABORT_GRACE: Duration = Duration::from_secs(1);

/// How long a drain takes by default, beyond the time that a close has.
const DEFAULT_SLACK: u64 = 1000;

#[derive(Debug)]
pub struct Drain {
    since: Duration,
    deadline: Duration,
    per_second: usize,
    /// How many there were when it began.
    there: usize,
    /// How many of them have ended before the deadline.
    ended: usize,
    /// How many it has closed.
    closed_by_drain: u64,
    /// Whatever was left at the deadline may have been cut.
    may_be_cut: bool,
    /// Nobody was left to be closed before that, and who has ended since.
    is_cut: bool,
    cut: usize,
    waiters: Vec<Waiter>,
}

/// Somebody who waits for the drain.
#[derive(Debug)]
struct Waiter {
    task: usize,
    is_checked: bool,
    result: Arc<Mutex<Option<DrainReport>>>,
}

impl Drain {
    /// How many may have been closed at that time.
    fn allowed(&self, now: Duration) -> u64 {
        let millis = (now + DRAIN_INTERVAL - self.since).as_millis();
        let expected = (self.per_second as u128 * millis).div_ceil(1000);
        expected.try_into().unwrap_or(u64::MAX)
    }
}

impl Harness<'_> {
    /// One more waits for the end of the server.
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
        self.tasks.poll(task);
        self.observe(Some(task))
    }

    /// Follows what a turn has made of the drain.
    pub(super) fn observe_drain(&mut self, task: Option<usize>) -> Result<(), Fault> {
        let (now, is_live) = (self.now(), self.server.is_live());
        let is_empty = !self.conns.iter().any(is_in);
        let sockets = self.conns.iter().filter(|conn| conn.state != State::LogEntry).count();
        self.is_drain_poll = false;
        let Some(drain) = &mut self.drain else { return Ok(()) };
        if let Some(waiter) = drain.waiters.iter_mut().find(|waiter| Some(waiter.task) == task) {
            self.is_drain_poll = true;
            drain.may_be_cut |= now >= drain.deadline && sockets > 0;
            drain.is_cut |= drain.may_be_cut && self.journal.is_empty();
            let result = *waiter.result.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(DrainReport { closed, cut, .. }) = result
                && !std::mem::replace(&mut waiter.is_checked, true)
            {
                let is_late = now >= drain.deadline + ABORT_GRACE;
                ensure!(is_late || sockets == 0, "the drain is over, and {sockets} are there");
                let (there, ended) = (drain.there, drain.ended);
                ensure!(closed + cut == there, "drained {closed} and {cut} of {there}");
                ensure!(closed >= ended, "drained {closed} of {ended}");
                ensure!(cut >= drain.cut, "{cut} are told of, and {} cut", drain.cut);
                self.marks.mark(closed > 0 && cut == 0, Mark::DrainReport);
                self.marks.mark(cut > 0, Mark::DrainCuts);
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

    /// The drain closes one, in a turn of its own.
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

    /// Whether whatever is left may have been cut.
    pub(super) fn may_be_cut(&self) -> bool {
        self.drain.as_ref().is_some_and(|drain| drain.may_be_cut)
    }

    /// A connection has ended.
    pub(super) fn ended(&mut self) {
        if let Some(drain) = &mut self.drain {
            drain.ended += usize::from(!drain.may_be_cut);
            drain.cut += usize::from(drain.is_cut);
        }
    }

    /// Checks the drain when no task is woken.
    pub(super) fn check_drain(&mut self) -> Result<(), Fault> {
        let (now, is_live) = (self.now(), self.server.is_live());
        let Some(drain) = &self.drain else { return Ok(()) };
        let sockets = self.conns.iter().filter(|conn| conn.state != State::LogEntry).count();
        let connections = self.conns.iter().filter(|conn| is_in(conn)).count();
        let open = self.conns.iter().filter(|conn| conn.state == State::Open).count();
        let is_over = now >= drain.deadline;
        let waits = |waiter: &Waiter| !self.tasks.is_done(waiter.task);
        let is_waited_for = drain.waiters.iter().any(waits);
        if is_waited_for {
            ensure!(!is_over, "the drain goes on beyond its deadline");
            ensure!(sockets > 0, "nobody is left, and the drain goes on");
            ensure!(connections > 0 || !is_live, "no connection is left, and the server lives");
        }
        // Whoever waits has looked since then.
        let expected = drain.allowed(now.saturating_sub(DRAIN_INTERVAL).max(drain.since));
        let is_slow = is_live && open > 0 && drain.closed_by_drain < expected;
        ensure!(!is_slow, "the drain has closed {} of {expected}", drain.closed_by_drain);
        self.marks.mark(is_waited_for && is_live && open > 0, Mark::Draining);
        self.marks.mark(drain.waiters.len() > 1 && is_waited_for, Mark::TwoDrains);
        Ok(())
    }

    /// How long a drain takes, if there is to be one.
    pub(super) fn drain_wait(&self) -> Duration {
        let setup = &self.plan.setup;
        let deadline = setup.drain.map_or(setup.close + DEFAULT_SLACK, |drain| drain.deadline);
        Duration::from_millis(deadline)
    }
}

/// Whether one counts as a connection.
pub(super) fn is_in(conn: &ConnModel) -> bool {
    conn.state != State::LogEntry && conn.client.is_some()
}

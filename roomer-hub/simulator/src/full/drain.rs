//! A server that is being drained: whom it may close, and when it has to be over.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use roomer_engine::DrainReport;

use super::line::{Line, State};
use super::marks::Mark;
use super::plan;
use super::stage::Stage;
use crate::fault::{Fault, ensure};

/// See the engine's `drain.rs`: how often a drain closes some.
const TICK: Duration = Duration::from_millis(50);

/// See the engine's `drain.rs`: how long it waits for those that it has cut.
const NOTICE: Duration = Duration::from_secs(1);

/// How long a drain takes by default, beyond the time that a close has.
const SPARE: u64 = 1000;

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
    dismissed: u64,
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
    is_told: bool,
    result: Arc<Mutex<Option<DrainReport>>>,
}

impl Drain {
    /// How many may have been closed at that time.
    fn due(&self, now: Duration) -> u64 {
        let millis = (now + TICK - self.since).as_millis();
        let due = (self.per_second as u128 * millis).div_ceil(1000);
        due.try_into().unwrap_or(u64::MAX)
    }
}

impl Stage<'_> {
    /// One more waits for the end of the server.
    pub(super) fn begin_drain(&mut self) -> Result<(), Fault> {
        let (now, close) = (self.now(), self.plan.setup.close);
        let there = self.lines.iter().filter(|line| is_in(line)).count();
        let by_default = plan::Drain { deadline: close + SPARE, per_second: usize::MAX };
        let plan::Drain { deadline, per_second } = self.plan.setup.drain.unwrap_or(by_default);
        let (server, result) = (self.server.clone(), Arc::new(Mutex::new(None)));
        let told = result.clone();
        let task = self.tasks.spawn(async move {
            let drained = server.drain().await;
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(drained);
        });
        let drain = self.drain.get_or_insert(Drain {
            since: now,
            deadline: now + Duration::from_millis(deadline),
            per_second,
            there,
            ended: 0,
            dismissed: 0,
            may_be_cut: false,
            is_cut: false,
            cut: 0,
            waiters: Vec::new(),
        });
        drain.waiters.push(Waiter { task, is_told: false, result });
        self.tasks.poll(task);
        self.look(Some(task))
    }

    /// Follows what a turn has made of the drain.
    pub(super) fn look_at_drain(&mut self, task: Option<usize>) -> Result<(), Fault> {
        let (now, is_live) = (self.now(), self.server.is_live());
        let is_empty = !self.lines.iter().any(is_in);
        let sockets = self.lines.iter().filter(|line| line.state != State::Done).count();
        self.is_dismissing = false;
        let Some(drain) = &mut self.drain else { return Ok(()) };
        if let Some(waiter) = drain.waiters.iter_mut().find(|waiter| Some(waiter.task) == task) {
            self.is_dismissing = true;
            drain.may_be_cut |= now >= drain.deadline && sockets > 0;
            drain.is_cut |= drain.may_be_cut && self.journal.is_empty();
            let result = *waiter.result.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(DrainReport { closed, cut, .. }) = result
                && !std::mem::replace(&mut waiter.is_told, true)
            {
                let is_late = now >= drain.deadline + NOTICE;
                ensure!(is_late || sockets == 0, "the drain is over, and {sockets} are there");
                let (there, ended) = (drain.there, drain.ended);
                ensure!(closed + cut == there, "drained {closed} and {cut} of {there}");
                ensure!(closed >= ended, "drained {closed} of {ended}");
                ensure!(cut >= drain.cut, "{cut} are told of, and {} cut", drain.cut);
                self.seen.mark(closed > 0 && cut == 0, Mark::DrainReport);
                self.seen.mark(cut > 0, Mark::DrainCuts);
            }
        }
        if !is_live && !self.is_stopping {
            let is_due = self.is_dismissing && (is_empty || now >= drain.deadline);
            ensure!(is_due, "the drain ends the server at {now:?}, before {:?}", drain.deadline);
            self.mark_shutdown();
            self.is_stopping = true;
        }
        Ok(())
    }

    /// The drain closes one, in a turn of its own.
    pub(super) fn dismissed(&mut self) -> Result<(), Fault> {
        let (now, is_stopping) = (self.now(), self.is_stopping);
        let Some(drain) = &mut self.drain else { return Ok(()) };
        drain.dismissed += 1;
        let due = drain.due(now);
        ensure!(is_stopping || drain.dismissed <= due, "the drain closes more than {due}");
        self.seen.mark(!is_stopping && drain.dismissed == due, Mark::DrainedAtPace);
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
        let sockets = self.lines.iter().filter(|line| line.state != State::Done).count();
        let connections = self.lines.iter().filter(|line| is_in(line)).count();
        let open = self.lines.iter().filter(|line| line.state == State::Open).count();
        let is_over = now >= drain.deadline;
        let waits = |waiter: &Waiter| !self.tasks.is_done(waiter.task);
        let is_waited_for = drain.waiters.iter().any(waits);
        if is_waited_for {
            ensure!(!is_over, "the drain goes on beyond its deadline");
            ensure!(sockets > 0, "nobody is left, and the drain goes on");
            ensure!(connections > 0 || !is_live, "no connection is left, and the server lives");
        }
        // Whoever waits has looked since then.
        let due = drain.due(now.saturating_sub(TICK).max(drain.since));
        let is_slow = is_live && open > 0 && drain.dismissed < due;
        ensure!(!is_slow, "the drain has closed {} of {due}", drain.dismissed);
        self.seen.mark(is_waited_for && is_live && open > 0, Mark::Draining);
        self.seen.mark(drain.waiters.len() > 1 && is_waited_for, Mark::TwoDrain);
        Ok(())
    }

    /// How long a drain takes, if there is to be one.
    pub(super) fn drain_wait(&self) -> Duration {
        let setup = &self.plan.setup;
        let deadline = setup.drain.map_or(setup.close + SPARE, |drain| drain.deadline);
        Duration::from_millis(deadline)
    }
}

/// Whether one counts as a connection.
pub(super) fn is_in(line: &Line) -> bool {
    line.state != State::Done && line.who.is_some()
}

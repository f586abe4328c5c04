//! A server's lifecycle: its sockets, and the phases open → draining → closed.

pub(crate) mod admission;
pub(crate) mod drain;

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::StatusCode;

use crate::lifecycle::admission::{
    Address, AdmissionLimits, DescriptorLimit, EarlyRejection, Replaced, SocketCounts, SocketKind,
};
use crate::lifecycle::drain::DrainReport;
use crate::sync::{AtomicBool, Mutex, Ordering, lock};

#[derive(Debug, Default)]
pub(crate) struct Lifecycle {
    state: Mutex<State>,
    /// True once every remaining task must end at its next poll.
    is_aborted: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    counts: SocketCounts,
    phase: Phase,
    /// The time at which the first drain began.
    since: Option<Duration>,
    /// The number of connections that the drain has closed so far.
    closed_so_far: u64,
    /// The numbers of connections that have ended since the drain began.
    report: DrainReport,
    /// The number of futures waiting for the drain.
    drains: usize,
    /// The number of running broker links.
    links: usize,
    /// True while an on-demand timer task runs.
    has_timer_task: bool,
    /// Wakers of tasks waiting until no connection, no socket or no broker link is left.
    waiting: Vec<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    /// Existing connections are kept for now, and new ones are rejected.
    Draining,
    /// New connections are rejected, and pending handshakes end.
    Closed,
}

impl Lifecycle {
    /// Limits the number of sockets, whatever the options allow.
    pub(crate) fn limit_descriptors(&self, limit: DescriptorLimit) {
        lock(&self.state).counts.descriptors = Some(limit);
    }

    /// Counts a new socket. Returns its kind, and the reason if its handshake is not allowed.
    pub(crate) fn enter(
        &self,
        address: Option<Address>,
        admission: &AdmissionLimits,
    ) -> (SocketKind, Result<(), EarlyRejection>) {
        // Check and count under one lock: otherwise, too many sockets could be admitted if they
        // arrive at the same time.
        let mut state = lock(&self.state);
        let counts = &mut state.counts;
        let allowed = counts.check_accepted(SocketKind::Handshake, address, admission);
        let may_linger = || counts.check_accepted(SocketKind::Lingering, None, admission).is_ok();
        let kind = match allowed {
            Ok(()) => SocketKind::Handshake,
            Err(_) if may_linger() => SocketKind::Lingering,
            Err(_) => SocketKind::Outside,
        };
        if let Err(rejection) = allowed {
            counts.record_rejected(rejection.status());
        }
        counts.enter(kind, address);
        (kind, allowed)
    }

    /// Returns the status with which to reject a further connection, if it would exceed a limit.
    pub(crate) fn check(
        &self,
        address: Option<Address>,
        admission: &AdmissionLimits,
        replaced: Option<Replaced>,
    ) -> Result<(), StatusCode> {
        lock(&self.state).check(address, admission, replaced)
    }

    /// Counts a handshake as a connection, possibly for another address, if the limits permit this.
    pub(crate) fn promote(
        &self,
        from: Option<Address>,
        to: Option<Address>,
        admission: &AdmissionLimits,
        replaced: Option<Replaced>,
    ) -> Result<(), StatusCode> {
        let mut state = lock(&self.state);
        // Check and count under one lock so that two handshakes cannot both take the last place.
        state.check(to, admission, replaced)?;
        state.counts.leave(SocketKind::Handshake, from);
        state.counts.enter(SocketKind::Connection, to);
        Ok(())
    }

    /// Counts a connection that has lost its socket as a session without a socket.
    pub(crate) fn detach(&self, from: SocketKind, address: Option<Address>) {
        let mut state = lock(&self.state);
        state.counts.leave(from, address);
        // Do not count the session by address, since its client may return from another one.
        state.counts.enter(SocketKind::Detached, None);
    }

    /// Counts a handshake for another address, if that address is below its limit.
    pub(crate) fn reassign(
        &self,
        from: Option<Address>,
        to: Option<Address>,
        admission: &AdmissionLimits,
    ) -> Result<(), StatusCode> {
        let mut state = lock(&self.state);
        // Decrement the old count first so that the limits do not count the socket twice.
        state.counts.leave(SocketKind::Handshake, from);
        let allowed = state.counts.check(SocketKind::Handshake, to, admission, None);
        state.counts.enter(SocketKind::Handshake, if allowed.is_ok() { to } else { from });
        allowed
    }

    /// Counts a new connection whose handshake was performed by a framework, if the limits permit
    /// this.
    pub(crate) fn reserve(
        &self,
        address: Option<Address>,
        admission: &AdmissionLimits,
        replaced: Option<Replaced>,
    ) -> Result<(), StatusCode> {
        let mut state = lock(&self.state);
        state.check(address, admission, replaced)?;
        state.counts.enter(SocketKind::Connection, address);
        Ok(())
    }

    /// Removes a closed socket from the counts, and wakes the waiting tasks if it was the last.
    pub(crate) fn leave(&self, kind: SocketKind, address: Option<Address>) {
        let mut state = lock(&self.state);
        state.counts.leave(kind, address);
        if matches!(kind, SocketKind::Connection | SocketKind::Detached) && state.since.is_some() {
            match self.is_aborted() {
                true => state.report.aborted += 1,
                false => state.report.closed += 1,
            }
        }
        // A drain waits only for connections; pending handshakes end after them.
        let is_drained = state.since.is_some() && state.counts.to_drain() == 0;
        if is_drained || state.counts.tasks() == 0 {
            // Wake all waiting tasks, since each checks its own condition.
            let waiting = std::mem::take(&mut state.waiting);
            // Release the lock first, since a woken task takes it.
            drop(state);
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    /// Counts a rejected handshake.
    pub(crate) fn record_rejected(&self, status: StatusCode) {
        lock(&self.state).counts.record_rejected(status);
    }

    pub(crate) fn with_counts<T>(&self, read: impl FnOnce(&SocketCounts) -> T) -> T {
        read(&lock(&self.state).counts)
    }

    /// Starts a drain, during which new connections are rejected. Returns the time at which the first
    /// drain began.
    pub(crate) fn drain(&self, now: Duration) -> Duration {
        let mut state = lock(&self.state);
        // A server that has shut down must not return to the draining phase.
        if state.phase == Phase::Open {
            state.phase = Phase::Draining;
        }
        state.drains += 1;
        // Later callers share the first caller's start, and therefore its deadline.
        *state.since.get_or_insert(now)
    }

    /// Records that a future no longer waits for the drain.
    pub(crate) fn end_drain(&self) {
        lock(&self.state).drains -= 1;
    }

    /// Returns how many of the `available` connections the caller must close so that the drain has
    /// closed `due` in total.
    pub(crate) fn close_some(&self, due: u64, available: usize) -> usize {
        let mut state = lock(&self.state);
        let count = due.saturating_sub(state.closed_so_far).min(available as u64);
        state.closed_so_far += count;
        count as usize
    }

    /// Returns the drain's result. Connections that are still open count as aborted.
    pub(crate) fn drain_report(&self) -> DrainReport {
        let state = lock(&self.state);
        let aborted = state.report.aborted + state.counts.to_drain();
        DrainReport { aborted, ..state.report }
    }

    /// Enters the closed phase. Pending handshakes end at their next poll.
    pub(crate) fn close(&self) {
        lock(&self.state).phase = Phase::Closed;
    }

    /// Makes every task end at its next poll. A task sets its timer before it checks this flag, so
    /// the task either observes the flag or is woken through its timer.
    pub(crate) fn abort(&self) {
        self.is_aborted.store(true, Ordering::Release);
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.is_aborted.load(Ordering::Acquire)
    }

    pub(crate) fn is_open(&self) -> bool {
        lock(&self.state).phase == Phase::Open
    }

    pub(crate) fn is_closing(&self) -> bool {
        lock(&self.state).phase == Phase::Closed
    }

    /// Returns true if the caller must run the timers, since no task runs them yet.
    pub(crate) fn start_on_demand(&self) -> bool {
        !std::mem::replace(&mut lock(&self.state).has_timer_task, true)
    }

    pub(crate) fn stop_on_demand(&self) {
        lock(&self.state).has_timer_task = false;
    }

    /// Returns `Poll::Ready` when no socket is left. The on-demand timer task then counts as ended
    /// so that the next connection starts a new one.
    pub(crate) fn poll_idle(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        std::task::ready!(state.poll_empty(cx));
        // Reset the flag while still holding the lock of the check above: a connection that enters
        // later starts the timers again.
        state.has_timer_task = false;
        Poll::Ready(())
    }

    /// Returns `Poll::Ready` when no socket is left.
    pub(crate) fn poll_empty(&self, cx: &Context<'_>) -> Poll<()> {
        lock(&self.state).poll_empty(cx)
    }

    /// Returns `Poll::Ready` when no connection is left, ignoring handshakes. Use this only during
    /// a drain: at other times, the end of the last connection does not wake the task.
    pub(crate) fn poll_drained(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        match state.counts.to_drain() {
            0 => Poll::Ready(()),
            _ => state.wait(cx),
        }
    }

    /// Counts a broker link when it starts or ends.
    pub(crate) fn link(&self, starts: bool) {
        let mut state = lock(&self.state);
        if starts {
            state.links += 1;
            return;
        }
        state.links -= 1;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Returns `Poll::Ready` when no broker link is left.
    pub(crate) fn poll_unlinked(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        match state.links {
            0 => Poll::Ready(()),
            _ => state.wait(cx),
        }
    }

    /// Returns the maximum number of timers, which is also their exact number while the server is
    /// idle. See [`Server::audit`](crate::Server::audit).
    #[cfg(feature = "audit")]
    pub(crate) fn audit(&self) -> Result<usize, String> {
        let state = lock(&self.state);
        state.counts.audit()?;
        Ok(state.counts.tasks() + state.drains)
    }
}

impl State {
    fn check(
        &self,
        address: Option<Address>,
        admission: &AdmissionLimits,
        replaced: Option<Replaced>,
    ) -> Result<(), StatusCode> {
        match self.phase {
            Phase::Open => self.counts.check(SocketKind::Connection, address, admission, replaced),
            _ => Err(StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    fn poll_empty(&mut self, cx: &Context<'_>) -> Poll<()> {
        match self.counts.tasks() {
            0 => Poll::Ready(()),
            _ => self.wait(cx),
        }
    }

    fn wait(&mut self, cx: &Context<'_>) -> Poll<()> {
        // A task may poll several times before it is woken, so keep only one waker for it.
        if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::admission::AdmissionLimit;

    #[test]
    fn handshake_keeps_descriptor_when_address_changes() {
        let unlimited = AdmissionLimit { total: 9, per_address: 9 };
        let admission = AdmissionLimits { handshakes: unlimited, connections: unlimited };
        let lifecycle = Lifecycle::default();
        lifecycle.limit_descriptors(DescriptorLimit { served: 2, lingering: 4 });
        let enter = || lifecycle.enter(None, &admission).0;
        assert_eq!([(); 2].map(|()| enter()), [SocketKind::Handshake; 2]);
        assert_eq!([(); 2].map(|()| enter()), [SocketKind::Lingering; 2]);
        assert_eq!(enter(), SocketKind::Outside);
        let client = Some(Address::of("1.1.1.1".parse().unwrap()));
        assert_eq!(lifecycle.reassign(None, client, &admission), Ok(()));
    }
}

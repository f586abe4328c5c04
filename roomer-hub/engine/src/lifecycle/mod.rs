//! The life of a server: whom it has in its care, and whether it takes more.

pub(crate) mod admission;
pub(crate) mod drain;

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::StatusCode;

use crate::lifecycle::admission::{Address, AdmissionLimits, SocketCounts, SocketKind};
use crate::lifecycle::drain::DrainReport;
use crate::sync::{AtomicBool, Mutex, Ordering, lock};

#[derive(Debug, Default)]
pub(crate) struct Lifecycle {
    state: Mutex<State>,
    /// Whatever is left has to end with its next turn.
    is_aborted: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    counts: SocketCounts,
    phase: Phase,
    /// When the drain began.
    since: Option<Duration>,
    /// How many connections it has closed, and what became of them.
    closed_so_far: u64,
    drained: DrainReport,
    /// Futures that wait for the drain.
    drains: usize,
    /// Somebody keeps time while there are connections.
    has_timer_task: bool,
    waiting: Vec<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    /// Who is in stays for now; nobody comes in.
    Draining,
    /// Handshakes under way are over, too.
    Closed,
}

impl Lifecycle {
    /// A socket has come. A handshake may begin, or the status to refuse it with.
    pub(crate) fn enter(
        &self,
        address: Option<Address>,
        admission: &AdmissionLimits,
    ) -> (SocketKind, Result<(), StatusCode>) {
        let mut state = lock(&self.state);
        let allowed = state.counts.check(SocketKind::Handshake, address, admission);
        let place = match allowed {
            Ok(()) => SocketKind::Handshake,
            Err(_) if state.counts.check(SocketKind::Lingering, None, admission).is_ok() => {
                SocketKind::Lingering
            }
            Err(_) => SocketKind::Outside,
        };
        if let Err(status) = allowed {
            state.counts.record_rejected(status);
        }
        state.counts.enter(place, address);
        (place, allowed)
    }

    /// Whether one more connection may come in.
    pub(crate) fn check(
        &self,
        address: Option<Address>,
        admission: &AdmissionLimits,
    ) -> Result<(), StatusCode> {
        lock(&self.state).check(address, admission)
    }

    /// A handshake becomes a connection, if it may; it may count for another address from now on.
    pub(crate) fn promote(
        &self,
        from: Option<Address>,
        to: Option<Address>,
        admission: &AdmissionLimits,
    ) -> Result<(), StatusCode> {
        let mut state = lock(&self.state);
        state.check(to, admission)?;
        state.counts.leave(SocketKind::Handshake, from);
        state.counts.enter(SocketKind::Connection, to);
        Ok(())
    }

    /// A handshake counts for another address from now on, if that may have one more.
    pub(crate) fn reassign(
        &self,
        from: Option<Address>,
        to: Option<Address>,
        admission: &AdmissionLimits,
    ) -> Result<(), StatusCode> {
        let mut state = lock(&self.state);
        state.counts.leave(SocketKind::Handshake, from);
        let allowed = state.counts.check(SocketKind::Handshake, to, admission);
        state.counts.enter(SocketKind::Handshake, if allowed.is_ok() { to } else { from });
        allowed
    }

    /// A connection comes in, if it may, whose handshake was somebody else's care.
    pub(crate) fn reserve(
        &self,
        address: Option<Address>,
        admission: &AdmissionLimits,
    ) -> Result<(), StatusCode> {
        let mut state = lock(&self.state);
        state.check(address, admission)?;
        state.counts.enter(SocketKind::Connection, address);
        Ok(())
    }

    /// A socket has gone; whoever waits for the last hears of it.
    pub(crate) fn leave(&self, place: SocketKind, address: Option<Address>) {
        let mut state = lock(&self.state);
        state.counts.leave(place, address);
        if place == SocketKind::Connection && state.since.is_some() {
            match self.is_aborted() {
                true => state.drained.cut += 1,
                false => state.drained.closed += 1,
            }
        }
        let is_drained = state.since.is_some() && state.counts.connections == 0;
        if is_drained || state.counts.sockets() == 0 {
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    /// A handshake was refused.
    pub(crate) fn record_rejected(&self, status: StatusCode) {
        lock(&self.state).counts.record_rejected(status);
    }

    pub(crate) fn with_counts<T>(&self, look: impl FnOnce(&SocketCounts) -> T) -> T {
        look(&lock(&self.state).counts)
    }

    /// Nobody comes in from now on. Since when that is so, by a drain.
    pub(crate) fn drain(&self, now: Duration) -> Duration {
        let mut state = lock(&self.state);
        if state.phase == Phase::Open {
            state.phase = Phase::Draining;
        }
        state.drains += 1;
        *state.since.get_or_insert(now)
    }

    /// Who began to wait for the drain does not any more.
    pub(crate) fn end_drain(&self) {
        lock(&self.state).drains -= 1;
    }

    /// How many more connections to close, of those that are there, to make it so many in all
    /// since the drain began. The caller closes them.
    pub(crate) fn close_some(&self, due: u64, there: usize) -> usize {
        let mut state = lock(&self.state);
        let count = due.saturating_sub(state.closed_so_far).min(there as u64);
        state.closed_so_far += count;
        count as usize
    }

    /// What the drain has come to; who is still there counts as cut.
    pub(crate) fn drained(&self) -> DrainReport {
        let state = lock(&self.state);
        DrainReport { cut: state.drained.cut + state.counts.connections, ..state.drained }
    }

    /// Handshakes end, too, once they look.
    pub(crate) fn close(&self) {
        lock(&self.state).phase = Phase::Closed;
    }

    /// Everything ends with its next turn. Before it rests, each looks here once it has set its
    /// alarm: so either it sees this, or its alarm rings.
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

    /// True for one who is to keep time from now on.
    pub(crate) fn start_on_demand(&self) -> bool {
        !std::mem::replace(&mut lock(&self.state).has_timer_task, true)
    }

    pub(crate) fn stop_on_demand(&self) {
        lock(&self.state).has_timer_task = false;
    }

    /// Ready once no socket is left to keep time for, and the shift is over: whoever comes in now
    /// begins the next.
    pub(crate) fn poll_idle(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        std::task::ready!(state.poll_empty(cx));
        state.has_timer_task = false;
        Poll::Ready(())
    }

    /// Ready once no socket is left.
    pub(crate) fn poll_empty(&self, cx: &Context<'_>) -> Poll<()> {
        lock(&self.state).poll_empty(cx)
    }

    /// Ready once no connection is left, handshakes or not. For the time of a drain.
    pub(crate) fn poll_drained(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        match state.counts.connections {
            0 => Poll::Ready(()),
            _ => state.wait(cx),
        }
    }

    /// See [`Server::audit`](crate::Server::audit): how many alarms there may be, and at rest are.
    #[cfg(feature = "audit")]
    pub(crate) fn audit(&self) -> Result<usize, String> {
        let state = lock(&self.state);
        state.counts.audit()?;
        Ok(state.counts.sockets() + state.drains)
    }
}

impl State {
    fn check(
        &self,
        address: Option<Address>,
        admission: &AdmissionLimits,
    ) -> Result<(), StatusCode> {
        match self.phase {
            Phase::Open => self.counts.check(SocketKind::Connection, address, admission),
            _ => Err(StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    fn poll_empty(&mut self, cx: &Context<'_>) -> Poll<()> {
        match self.counts.sockets() {
            0 => Poll::Ready(()),
            _ => self.wait(cx),
        }
    }

    fn wait(&mut self, cx: &Context<'_>) -> Poll<()> {
        if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

//! Checks the invariants of an idle server, in which no task is woken.

use std::time::Duration;

use super::conn_model::State;
use super::expected::{ExpectedItem, Order};
use super::harness::Harness;
use super::marks::Mark;
use crate::fault::{Fault, ensure};

/// The engine's pause of a sender after each [`READ_QUANTUM`], while a receiver is congested.
const BACKPRESSURE_PAUSE: Duration = Duration::from_millis(20);

/// The number of bytes that the engine reads from a sender between two pauses
/// ([`BACKPRESSURE_PAUSE`]).
const READ_QUANTUM: u64 = 64 * 1024;

/// The engine's `CLOSE_SCAN_LIMIT`: in an incomplete message that is longer, the engine does not
/// look for a close frame. A decoder may buffer up to twice this many bytes.
const CLOSE_SCAN_LIMIT: usize = 32 * 1024;

/// The engine's limit on the number of bytes that it reads after it has closed a connection.
const MAX_READ_AFTER_CLOSE: u64 = 256 * 1024;

impl Harness<'_> {
    /// Checks all invariants. No task may be woken.
    pub(super) fn check_idle(&mut self) -> Result<(), Fault> {
        // Run the engine's own checks first, since they report a fault closer to its cause.
        self.server.audit(true).map_err(Fault::new)?;
        self.check_counts()?;
        self.marks.mark(self.model.rejected_packets.no_shared_room > 0, Mark::NoSharedRoom);
        ensure!(self.pending_hooks.is_empty(), "no hook was called for {:?}", self.pending_hooks);
        let waiting = self.conns.iter().filter(|conn| conn.waiting.is_some()).count();
        let running = self.application.state().running;
        ensure!(running == waiting, "{running} handlers are running, expected {waiting}");
        let pending_auth = self.conns.iter().filter(|conn| conn.pending_auth.is_some()).count();
        let auth_in_progress = self.application.state().auth_in_progress;
        ensure!(
            auth_in_progress == pending_auth,
            "{auth_in_progress} authorize hooks are running, expected {pending_auth}"
        );
        let state = self.application.state();
        let unasked = state.auth_calls.len() + state.auth_decided.len();
        // Release the lock, since the checks below need it.
        drop(state);
        ensure!(unasked == 0, "authorize was called, or has decided, {unasked} times too often");
        let is_ready = !self.is_stopping && self.drain.is_none() && !self.is_full();
        let found = (self.server.is_ready(), self.server.is_live());
        let expected = (is_ready, !self.is_stopping);
        ensure!(found == expected, "ready and live: {found:?}, expected {expected:?}");
        self.check_drain()?;
        for at in 0..self.conns.len() {
            self.check_conn(at)
                .map_err(|Fault(what)| Fault::new(format!("idle, connection {at}: {what}")))?;
        }
        Ok(())
    }

    fn check_conn(&mut self, at: usize) -> Result<(), Fault> {
        let (now, coalesce) = (self.now(), Duration::from_millis(self.plan.setup.coalesce));
        let conn = &self.conns[at];
        if let Some(waiting) = conn.waiting {
            ensure!(conn.state == State::Open, "it is closed, and its handler is pending");
            let is_waiting = waiting.until.is_some_and(|until| now < until);
            ensure!(is_waiting, "its handler waits until {:?}", waiting.until);
        }
        // An aborted task can neither write nor close, so its connection must have ended with it.
        ensure!(conn.state == State::Ended || !conn.is_aborted, "its task was dropped");
        match conn.state {
            State::Handshake => self.check_handshake(at)?,
            State::Open => self.check_open(at)?,
            State::Closing => self.check_closing(at)?,
            State::Ended => return self.check_ended(at),
        }
        let conn = &mut self.conns[at];
        // A message to a room may be queued only after the room's delay.
        let is_queued = |item: &ExpectedItem| {
            !matches!(item.order, Order::Room(_)) || now >= item.at + coalesce
        };
        let is_blocked = !conn.peer.has_space() && conn.expected.items.iter().any(is_queued);
        conn.is_blocked_since(is_blocked.then_some(now));
        Ok(())
    }

    fn check_ended(&self, at: usize) -> Result<(), Fault> {
        let conn = &self.conns[at];
        ensure!(conn.peer.is_dropped(), "its task has ended, its socket is not dropped");
        let is_missing = conn.expected.is_required_missing() && !conn.expected.is_finished;
        // After a clean close, all output must have arrived. After any other end, some may be
        // missing.
        let is_lost = conn.has_closed_cleanly && is_missing;
        ensure!(!is_lost, "its last output is lost: {}", conn.expected.describe());
        Ok(())
    }

    fn check_handshake(&mut self, at: usize) -> Result<(), Fault> {
        let (now, conn) = (self.now(), &self.conns[at]);
        ensure!(!self.is_stopping, "a handshake continues after the shutdown");
        let limit = Duration::from_millis(self.plan.setup.handshake);
        ensure!(now < conn.created + limit, "a handshake does not time out");
        let is_waiting = conn.pending_auth.is_none_or(|pending_auth| now < pending_auth.until);
        ensure!(is_waiting, "authorize has decided, without an effect");
        let is_limited = conn.pending_auth.is_none_or(|pending_auth| conn.read <= pending_auth.max);
        ensure!(is_limited, "too much is read during authorize");
        // If the buffer is full, the server does not read until the hook has decided.
        let may_wait = conn.is_buffer_full();
        let is_read = conn.peer.unread() == 0 && !conn.is_fully_read();
        ensure!(may_wait || is_read, "a handshake that is not read");
        self.marks.mark(may_wait && conn.peer.unread() > 0, Mark::UnreadDuringAuth);
        Ok(())
    }

    fn check_open(&mut self, at: usize) -> Result<(), Fault> {
        let (now, setup) = (self.now(), &self.plan.setup);
        let millis = Duration::from_millis;
        let conn = &mut self.conns[at];
        ensure!(!self.is_stopping, "it is open after the shutdown");
        // When the server is idle, the queue is within its limit. With delayed room messages, it
        // may still exceed the limit later.
        conn.expected.may_exceed_limit &= setup.coalesce > 0;
        let is_late = now >= conn.last_ping + millis(setup.ping);
        ensure!(!is_late, "no ping since {:?}", conn.last_ping);
        let (pong, pong_margin) = (millis(setup.pong), millis(setup.pong - setup.ping));
        let received = conn.last_received.max(conn.writable.1);
        let silent =
            conn.unanswered_ping.map(|pinged_at| (received + pong).max(pinged_at + pong_margin));
        let is_silent = silent.is_some_and(|at| now >= at) && !conn.is_ping_order_unknown;
        ensure!(!is_silent || conn.waiting.is_some(), "silent since {received:?}");
        self.check_reading(at)?;
        self.check_sending(at)
    }

    /// Checks that an open connection reads, unless senders are paused.
    fn check_reading(&mut self, at: usize) -> Result<(), Fault> {
        let (now, may_pause_senders) = (self.now(), self.may_pause_senders());
        let may_be_congested = self.may_be_congested(at);
        let conn = &mut self.conns[at];
        let unread = conn.peer.unread();
        if conn.waiting.is_some() {
            self.check_reads_ahead(at)?;
        } else if unread > 0 || conn.is_fully_read() {
            self.marks.mark(may_pause_senders, Mark::SenderPaused);
            conn.was_unread = true;
            ensure!(may_pause_senders, "bytes have arrived and are not read");
            // From time to time, the server reads a quantum even from a paused sender.
            let quanta = conn.last_read.div_ceil(READ_QUANTUM).max(1) as u32;
            let (read, since) = *conn.paused.get_or_insert((conn.read, now));
            if read != conn.read {
                conn.paused = Some((conn.read, now));
                return Ok(());
            }
            let is_late = now >= since + BACKPRESSURE_PAUSE * quanta;
            ensure!(!is_late || may_be_congested, "bytes have arrived long ago and are not read");
            return Ok(());
        } else if std::mem::take(&mut conn.was_unread) {
            self.marks.mark(true, Mark::SenderResumed);
        }
        self.conns[at].paused = None;
        Ok(())
    }

    /// Checks that an open connection has sent all of its output, unless its socket is full.
    fn check_sending(&mut self, at: usize) -> Result<(), Fault> {
        let (now, setup) = (self.now(), &self.plan.setup);
        let coalesce = Duration::from_millis(setup.coalesce);
        let conn = &mut self.conns[at];
        let expected = &mut conn.expected;
        if conn.peer.has_space() {
            let is_delayed = |item: &ExpectedItem| {
                matches!(item.order, Order::Room(_)) && now < item.at + coalesce
            };
            let is_missing = expected.items.iter().any(|i| !i.is_optional && !is_delayed(i));
            let is_sent = !is_missing && expected.pings == 0;
            ensure!(is_sent, "not sent: {}", expected.describe());
            if !expected.items.iter().any(is_delayed) {
                // The items that are left are optional. Since the socket has space, they would have
                // been sent if they had not been dropped.
                expected.items.clear();
                expected.may_exceed_limit = false;
                expected.optional_pings = 0;
                expected.bytes = expected.received_bytes;
                conn.congested_since = None;
            }
            ensure!(!conn.expected.is_mid_frame(), "a frame is cut short");
        } else if expected.outstanding() > 0 {
            let limit = Duration::from_millis(setup.write);
            let is_missing = expected.is_required_missing();
            let is_late = conn.blocked_since().is_some_and(|since| now >= since + limit);
            let is_slow = is_late && is_missing;
            ensure!(!is_slow, "its socket has accepted nothing since {:?}", conn.taken.1);
        }
        Ok(())
    }

    fn check_closing(&mut self, at: usize) -> Result<(), Fault> {
        let (now, close_timeout) = (self.now(), self.close_timeout(at));
        let conn = &mut self.conns[at];
        // The task of the closing connection has been polled by now.
        let polled = *conn.closed.get_or_insert((now, None)).1.get_or_insert(now);
        let is_late = now >= polled.max(conn.writable.1) + close_timeout;
        ensure!(!is_late, "it takes too long to close");
        let has_read = conn.peer.bytes_read() - conn.read_at_close;
        let is_enough = has_read >= MAX_READ_AFTER_CLOSE;
        let is_read = conn.peer.unread() == 0 && !conn.is_fully_read();
        ensure!(is_enough || is_read, "it is closing, and does not read");
        // The engine does not count the bytes that it read in the poll that closed the connection.
        let is_limited = has_read < 6 * MAX_READ_AFTER_CLOSE;
        ensure!(is_limited, "it is closing, and does not stop reading");
        if conn.peer.has_space() {
            let is_sent = !conn.expected.is_required_missing() || conn.expected.is_finished;
            ensure!(is_sent, "last output not sent: {}", conn.expected.describe());
            let is_shut_down = conn.peer.is_shut_down();
            ensure!(is_shut_down, "its last bytes are sent, but the socket is not shut down");
            let has_close = conn.closes_at.is_some_and(|at| conn.peer.bytes_read() >= at);
            let ignores_input = conn.ignores_input || conn.traffic.largest > CLOSE_SCAN_LIMIT;
            ensure!(!has_close || ignores_input, "both have closed");
        }
        Ok(())
    }
}

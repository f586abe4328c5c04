//! Checks a connection's state after its task was polled, given its input and the time.

use std::time::Duration;

use super::conn_model::State;
use super::harness::Harness;
use super::marks::Mark;
use crate::fault::{Fault, ensure};

/// The engine's `SLOW_LIMITS`: how long a reader must have made no progress, or too little
/// progress, before it may be closed.
const SLOW_LIMITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));
/// The engine's `FLOOD_LIMITS`: the same limits for a connection with a very long queue.
const FLOOD_LIMITS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

impl Harness<'_> {
    /// Checks a connection's state after its poll.
    pub(super) fn after_poll(&mut self, at: usize, has_read: bool) -> Result<(), Fault> {
        let is_done = self.tasks.is_done(self.conns[at].task);
        if self.conns[at].state == State::Handshake {
            self.after_handshake_poll(at, is_done)?;
        }
        if self.conns[at].state == State::Open && !is_done {
            self.settle_pings(at);
            self.settle_overtaking_pings(at, false);
            let is_late = self.is_late(at);
            let conn = &mut self.conns[at];
            // The input that was buffered while a handler was pending has been handled by now.
            if conn.waiting.is_none() && conn.traffic.pending.is_empty() {
                conn.buffered_from = None;
            }
            if let Some(what) = conn.next()
                && !is_late
            {
                return Err(Fault::new(format!(
                    "connection {at} has read {what:?} and not handled it"
                )));
            }
            self.check_read_ahead(at)?;
            self.after_open_poll(at, has_read)?;
        }
        let (may_end, may_be_cut) = (self.may_end(at), self.may_be_cut());
        let wait = self.close_timeout(at);
        let conn = &mut self.conns[at];
        if is_done && conn.state != State::Ended {
            ensure!(may_end, "connection {at} ends too early ({:?})", conn.state);
            let cut_short = conn.expected.outstanding() > 0 && conn.state == State::Closing;
            self.marks.mark(cut_short, Mark::CloseTimeout);
            let is_cut_off = conn.is_broken || conn.is_aborted || conn.is_shed;
            let is_cut_off = is_cut_off || may_be_cut || conn.is_fully_read();
            let is_late = conn.closed.is_some_and(|(since, _)| self.clock.now() >= since + wait);
            conn.has_closed_cleanly = conn.state == State::Closing && !is_cut_off && !is_late;
            conn.state = State::Ended;
            if conn.client.is_some() {
                self.ended();
            }
        }
        Ok(())
    }

    fn after_open_poll(&mut self, at: usize, has_read: bool) -> Result<(), Fault> {
        let now = self.now();
        let setup = &self.plan.setup;
        let (ping, pong) = (Duration::from_millis(setup.ping), Duration::from_millis(setup.pong));
        let may_be_congested = self.may_be_congested(at);
        let conn = &mut self.conns[at];
        if now >= conn.last_ping + ping {
            self.marks.mark(conn.waiting.is_some(), Mark::PingWhileWaiting);
            conn.last_ping = now;
            // The deadline belongs to the first unanswered ping. Later pings do not extend it.
            conn.unanswered_ping.get_or_insert(now);
            conn.is_ping_order_unknown |= has_read;
            // If the queue is above the high-water mark, the engine drops pings.
            match may_be_congested {
                true => conn.expected.optional_pings += 1,
                false => conn.expected.pings += 1,
            }
            self.marks.mark(true, Mark::Ping);
        }
        let received = conn.last_received.max(conn.writable.1);
        // As in the engine's `KeepAlive`: even if the client had long been silent, it had
        // some time to answer the ping.
        let silent =
            conn.unanswered_ping.map(|pinged_at| (received + pong).max(pinged_at + pong - ping));
        let is_silent = silent.is_some_and(|at| now >= at) && !conn.is_ping_order_unknown;
        let says_nothing = conn.unanswered_ping.is_some_and(|_| now >= conn.last_received + pong);
        self.marks.mark(says_nothing && now < conn.writable.0 + pong, Mark::ProgressCountsAsAlive);
        self.marks.mark(is_silent && conn.waiting.is_some(), Mark::SilentWhileWaiting);
        let may_stay = !is_silent || conn.waiting.is_some();
        ensure!(may_stay, "connection {at} has been silent since {received:?}");
        Ok(())
    }

    /// Returns true if a connection's task may have completed.
    fn may_end(&self, at: usize) -> bool {
        let conn = &self.conns[at];
        let is_cut_off = conn.is_broken || conn.is_aborted || conn.is_shed;
        if is_cut_off || self.may_be_cut() || conn.is_end_visible() {
            return true;
        }
        let wait = self.close_timeout(at);
        match (conn.state, conn.closed) {
            (State::Handshake, _) => self.is_stopping,
            (State::Closing, Some((since, _))) => {
                let is_late = self.now() >= since + wait;
                // The server has received the client's close frame, so the close handshake is
                // complete.
                let hears_close = conn.closes_at.is_some_and(|at| conn.peer.bytes_read() >= at);
                is_late || hears_close
            }
            _ => false,
        }
    }

    /// Returns true if the server may close a connection because the client is silent.
    pub(super) fn may_time_out(&self, at: usize) -> bool {
        let (conn, setup) = (&self.conns[at], &self.plan.setup);
        let pong = Duration::from_millis(setup.pong);
        let pong_margin = Duration::from_millis(setup.pong - setup.ping);
        // The server may have read the last bytes after it decided to close.
        let is_silent =
            [(conn.last_received, conn.unanswered_ping), conn.before_read].iter().any(|silence| {
                let (received, Some(pinged_at)) = *silence else { return false };
                self.now() >= (received.max(conn.writable.0) + pong).max(pinged_at + pong_margin)
            });
        conn.waiting.is_none() && is_silent
    }

    /// Checks that a connection that was closed for being slow was in fact slow.
    pub(super) fn check_slow(&mut self, at: usize) -> Result<(), Fault> {
        let now = self.now();
        let setup = &self.plan.setup;
        let conn = &self.conns[at];
        // Before the engine decided, it may have queued a ping, which has two bytes.
        let may_ping = now >= conn.last_ping + Duration::from_millis(setup.ping);
        let (soft, outstanding) =
            (setup.max_backlog as u64, conn.expected.outstanding() + 2 * u64::from(may_ping));
        let hard = setup.hard_limit() as u64;
        if conn.expected.may_exceed_limit || (may_ping && conn.expected.outstanding() > hard) {
            self.marks.mark(true, Mark::HardLimit);
            return Ok(());
        }
        let conn = &self.conns[at];
        ensure!(
            !conn.peer.has_space() || conn.peer.is_full(),
            "{at} is too slow with room, {outstanding} queued of {soft}, {hard}"
        );
        let write = Duration::from_millis(setup.write);
        let (stall, trickle) = if outstanding > 3 * soft { FLOOD_LIMITS } else { SLOW_LIMITS };
        let stood = now - conn.taken.1;
        // The engine does not count the newest message. Its size is not known here, so subtract
        // that of the shortest one: the check must not be stricter than the engine.
        let newest = match may_ping || conn.expected.pings + conn.expected.optional_pings > 0 {
            true => 0,
            false => conn.expected.items.iter().map(|item| item.output.len()).min().unwrap_or(0),
        };
        let counted = outstanding.saturating_sub(newest);
        let behind = conn.congested_since.map_or(Duration::ZERO, |since| now - since);
        self.marks.mark(stood >= write, Mark::WriteTimeout);
        let may = stood >= write || (counted > soft / 2 && (stood >= stall || behind >= trickle));
        ensure!(
            may,
            "{at} is too slow after {stood:?} and {behind:?}, {outstanding} queued of {soft}"
        );
        Ok(())
    }
}

//! Detection of slow consumers, and the deadlines for closing them.
//!
//! The time and the outbox's status are arguments.
//!
//! A socket may be full for a moment. Its connection is closed if the socket accepts nothing for
//! `write_timeout`. The connection is closed sooner if more than the high-water mark is queued,
//! since other senders pause for it, and soonest if it is flooded ([`FLOOD_LIMITS`]).

use std::time::Duration;

use crate::outbound::socket_writer::{Pressure, Status};

/// The limits for a connection with more than half of `max_backlog` queued: how long its socket may
/// accept nothing, and how long it may accept less than half of `max_backlog`.
const SLOW_LIMITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));

/// The same limits for a connection with more than [`FLOOD_FACTOR`] times `max_backlog` queued.
/// They bound the memory that such a connection takes.
const FLOOD_LIMITS: (Duration, Duration) = (STALL_AFTER, Duration::from_millis(500));

/// The multiple of `max_backlog` above which the queue counts as flooded ([`FLOOD_LIMITS`]).
const FLOOD_FACTOR: usize = 3;

/// The time for which a socket may accept no bytes before senders stop pausing for a connection
/// above the high-water mark: they wait for a slow reader, but not for a stalled one.
const STALL_AFTER: Duration = Duration::from_millis(50);

/// A full socket's progress.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlowConsumer {
    /// The time at which the socket last accepted bytes.
    moved: Duration,
    /// The number of bytes that the socket had accepted by that time.
    written: u64,
    /// The time at which the queue exceeded the limit, and the number of bytes that the socket had
    /// accepted by that time.
    behind_since: Option<(Duration, u64)>,
}

/// The limits set by the application.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The number of bytes that may be queued.
    pub(crate) max_backlog: usize,
    /// The maximum time for which a full socket may accept nothing.
    pub(crate) write_timeout: Duration,
}

/// The deadlines for a connection whose socket is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The time at which to close the connection if its socket accepts no more bytes.
    pub(crate) close_at: Duration,
    /// The time at which to poll again, even if the socket has accepted nothing.
    pub(crate) poll_at: Duration,
    /// True if senders should no longer pause for this connection.
    pub(crate) is_stalled: bool,
}

impl SlowConsumer {
    /// Starts observing a socket that has become full.
    pub(crate) fn new(now: Duration, written: u64) -> Self {
        SlowConsumer { moved: now, written, behind_since: None }
    }

    pub(crate) fn poll(&mut self, now: Duration, status: &Status, limits: Limits) -> Verdict {
        let Limits { max_backlog, write_timeout } = limits;
        if self.written != status.written {
            (self.moved, self.written) = (now, status.written);
        }
        let stalls_now = status.is_above() && now >= self.moved + STALL_AFTER;
        let is_stalled = stalls_now || status.pressure == Pressure::Stalled;
        // Do not count a large message: on a slow connection it may take a long time, regardless of
        // the small messages queued behind it.
        let counted = status.queued.saturating_sub(status.large_message_left);
        if !status.is_above() || counted.saturating_sub(status.newest) <= max_backlog / 2 {
            self.behind_since = None;
            let close_at = self.moved + write_timeout;
            // Poll sooner while senders pause for this connection, since they are released after
            // `STALL_AFTER`.
            let poll_at = match status.is_above() && !is_stalled {
                true => close_at.min(now + STALL_AFTER),
                false => close_at,
            };
            return Verdict { close_at, poll_at, is_stalled };
        }
        let (since, written_then) = *self.behind_since.get_or_insert((now, status.written));
        // Writing half of `max_backlog` in time is enough, and starts a new period. A writer's
        // count never decreases, so the subtraction cannot underflow.
        if status.written - written_then >= max_backlog as u64 / 2 {
            self.behind_since = Some((now, status.written));
        }
        // Saturate, since the option has no upper limit.
        let is_flooded = counted > max_backlog.saturating_mul(FLOOD_FACTOR);
        let (no_progress, little_progress) = if is_flooded { FLOOD_LIMITS } else { SLOW_LIMITS };
        let close_at = (self.moved + no_progress.min(write_timeout)).min(since + little_progress);
        Verdict { close_at, poll_at: close_at.min(now + STALL_AFTER), is_stalled }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::outbox::OutboxPhase;

    const LIMITS: Limits = Limits { max_backlog: 1000, write_timeout: Duration::from_secs(10) };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Returns the status of a full socket with `queued` bytes.
    fn full(queued: usize, written: u64, pressure: Pressure) -> Status {
        Status {
            phase: OutboxPhase::Open,
            is_blocked: true,
            queued,
            newest: 0,
            large_message_left: 0,
            written,
            unblock_count: 0,
            pressure,
        }
    }

    #[test]
    fn small_queue_gets_full_write_timeout() {
        let mut slow = SlowConsumer::new(ms(0), 0);
        let verdict = slow.poll(ms(5), &full(100, 0, Pressure::Normal), LIMITS);
        assert_eq!(
            verdict,
            Verdict { close_at: ms(10_000), poll_at: ms(10_000), is_stalled: false }
        );
    }

    #[test]
    fn large_queue_is_closed_after_stalled_second() {
        let mut slow = SlowConsumer::new(ms(0), 0);
        let verdict = slow.poll(ms(10), &full(900, 0, Pressure::Above), LIMITS);
        assert_eq!((verdict.close_at, verdict.poll_at), (ms(1000), ms(60)));
        assert!(!verdict.is_stalled);
        let verdict = slow.poll(ms(60), &full(900, 0, Pressure::Above), LIMITS);
        assert!(verdict.is_stalled, "senders no longer wait");
    }

    #[test]
    fn trickle_does_not_keep_large_queue_open() {
        let mut slow = SlowConsumer::new(ms(0), 0);
        slow.poll(ms(0), &full(900, 0, Pressure::Above), LIMITS);
        // Ten bytes every half second are less than half of max_backlog in four seconds.
        for step in 1..8 {
            let verdict = slow.poll(ms(500 * step), &full(900, 10 * step, Pressure::Above), LIMITS);
            assert_eq!(verdict.close_at, ms(500 * step + 1000).min(ms(4000)));
        }
        // Accepting half of max_backlog starts a new period.
        slow.poll(ms(3900), &full(900, 600, Pressure::Above), LIMITS);
        let verdict = slow.poll(ms(3950), &full(900, 610, Pressure::Above), LIMITS);
        assert_eq!(verdict.close_at, ms(4950));
    }

    #[test]
    fn flood_is_cut_off_early() {
        let mut slow = SlowConsumer::new(ms(0), 0);
        let verdict = slow.poll(ms(0), &full(3001, 0, Pressure::Above), LIMITS);
        assert_eq!(verdict.close_at, STALL_AFTER);
    }

    #[test]
    fn large_message_in_progress_is_not_counted() {
        let mut slow = SlowConsumer::new(ms(0), 0);
        let status = Status { large_message_left: 90_000, ..full(90_400, 0, Pressure::Above) };
        assert_eq!(slow.poll(ms(0), &status, LIMITS).close_at, ms(10_000));
    }
}

//! Pings, and the timeout for a silent client. Does not read a clock: the time is an argument.

use std::time::Duration;

use crate::timer::moment::Moment;

/// The times of a client's last activity, and of the last ping to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepAlive {
    /// The last time at which bytes were received, or a full socket accepted some.
    last_received: Moment,
    /// The last observed value of the writer's `unblock_count` counter.
    unblock_count: u8,
    last_ping: Moment,
    /// The time at which the first unanswered ping was sent.
    unanswered_since: Option<Moment>,
}

impl KeepAlive {
    pub(crate) fn new(now: Duration) -> Self {
        let now = Moment::from(now);
        KeepAlive { last_received: now, unblock_count: 0, last_ping: now, unanswered_since: None }
    }

    /// Records that bytes were received. Any bytes count as the answer to a ping.
    pub(crate) fn received(&mut self, now: Duration) {
        (self.last_received, self.unanswered_since) = (now.into(), None);
    }

    /// Records how many times a full socket has accepted bytes again. A ping queued behind a large
    /// message is delivered only after it, so accepting bytes counts as activity.
    pub(crate) fn unblocked(&mut self, now: Duration, count: u8) {
        if self.unblock_count != count {
            (self.unblock_count, self.last_received) = (count, now.into());
        }
    }

    /// Returns the time at which the client counts as dead unless bytes arrive earlier. Returns
    /// `None` if no ping is unanswered.
    pub(crate) fn timeout_at(&self, interval: Duration, timeout: Duration) -> Option<Duration> {
        let unanswered = Duration::from(self.unanswered_since?);
        // Silence counts only after a ping has been unanswered for `timeout - interval`, which the
        // builder has checked to be positive. Otherwise, a suspended process would mistake its own
        // pause for the client's silence.
        Some((Duration::from(self.last_received) + timeout).max(unanswered + timeout - interval))
    }

    /// Returns the time since bytes were last received, or a full socket last accepted some.
    pub(crate) fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(self.last_received.into())
    }

    /// Returns the time at which the next ping is due.
    pub(crate) fn ping_at(&self, interval: Duration) -> Duration {
        Duration::from(self.last_ping) + interval
    }

    /// Records that a ping was sent.
    pub(crate) fn pinged(&mut self, now: Duration) {
        self.last_ping = now.into();
        // Keep the time of the first unanswered ping, so that further pings do not give a silent
        // client more time.
        self.unanswered_since.get_or_insert(self.last_ping);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(54);
    const TIMEOUT: Duration = Duration::from_secs(60);

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn client_without_unanswered_ping_does_not_time_out() {
        let mut keep_alive = KeepAlive::new(secs(0));
        assert_eq!(keep_alive.timeout_at(INTERVAL, TIMEOUT), None);
        assert_eq!(keep_alive.ping_at(INTERVAL), secs(54));
        keep_alive.pinged(secs(54));
        assert_eq!(keep_alive.timeout_at(INTERVAL, TIMEOUT), Some(secs(60)));
        keep_alive.received(secs(55));
        assert_eq!(keep_alive.timeout_at(INTERVAL, TIMEOUT), None);
        assert_eq!(keep_alive.ping_at(INTERVAL), secs(108));
    }

    #[test]
    fn late_ping_leaves_client_time_to_answer() {
        let mut keep_alive = KeepAlive::new(secs(0));
        // The ping is late, as when the server process was suspended for ten minutes.
        keep_alive.pinged(secs(600));
        assert_eq!(keep_alive.timeout_at(INTERVAL, TIMEOUT), Some(secs(606)));
    }

    #[test]
    fn further_pings_do_not_extend_timeout() {
        let mut keep_alive = KeepAlive::new(secs(0));
        keep_alive.pinged(secs(54));
        keep_alive.pinged(secs(58));
        assert_eq!(keep_alive.timeout_at(INTERVAL, TIMEOUT), Some(secs(60)));
    }

    #[test]
    fn progress_on_full_socket_prevents_timeout() {
        let mut keep_alive = KeepAlive::new(secs(0));
        keep_alive.pinged(secs(54));
        keep_alive.unblocked(secs(59), 1);
        assert_eq!(keep_alive.timeout_at(INTERVAL, TIMEOUT), Some(secs(119)));
        keep_alive.unblocked(secs(100), 1);
        assert_eq!(keep_alive.timeout_at(INTERVAL, TIMEOUT), Some(secs(119)));
    }
}

//! The minimum rate at which a message must arrive. Does not read a clock: the time is an argument.

use std::time::Duration;

use crate::timer::moment::Moment;

/// The number of message bytes that must arrive within each `message_timeout`: about 17 kbit/s with
/// the default timeout.
const MIN_PROGRESS: usize = 64 * 1024;

/// The progress of a partly received message, if there is one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MessageProgress {
    /// The time at which progress was last counted, and the number of message bytes received by
    /// that time.
    unfinished: Option<(Moment, usize)>,
}

impl MessageProgress {
    /// Records that `bytes` of an unfinished message are buffered. `is_new` is true if another
    /// message was completed since the last call, so that the unfinished one began after that call.
    pub(crate) fn record(&mut self, now: Duration, bytes: usize, is_new: bool) {
        self.unfinished = match self.unfinished {
            _ if bytes == 0 => None,
            // Do not count so few bytes as progress: a client that sends one byte at a time must
            // not extend the time limit.
            Some(earlier) if !is_new && bytes < earlier.1 + MIN_PROGRESS => Some(earlier),
            _ => Some((now.into(), bytes)),
        };
    }

    /// Returns true if no message is partly received.
    pub(crate) fn is_none(&self) -> bool {
        self.unfinished.is_none()
    }

    /// Restarts the time limit, since the client cannot make progress while the server does not read.
    pub(crate) fn restart(&mut self, now: Duration) {
        if let Some((since, _)) = &mut self.unfinished {
            *since = now.into();
        }
    }

    /// Returns the time at which the message times out.
    pub(crate) fn timeout_at(&self, timeout: Duration) -> Option<Duration> {
        self.unfinished.map(|(since, _)| Duration::from(since) + timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn timeout_is_extended_by_sufficient_progress_only() {
        let mut progress = MessageProgress::default();
        assert_eq!(progress.timeout_at(secs(30)), None);
        progress.record(secs(1), 10, false);
        progress.record(secs(20), 10 + MIN_PROGRESS - 1, false);
        assert_eq!(progress.timeout_at(secs(30)), Some(secs(31)));
        progress.record(secs(25), 10 + MIN_PROGRESS, false);
        assert_eq!(progress.timeout_at(secs(30)), Some(secs(55)));
        progress.record(secs(26), 0, false);
        assert_eq!(progress.timeout_at(secs(30)), None);
    }

    #[test]
    fn each_message_has_own_timeout() {
        let mut progress = MessageProgress::default();
        progress.record(secs(1), 10, false);
        progress.record(secs(20), 10, true);
        assert_eq!(progress.timeout_at(secs(30)), Some(secs(50)));
    }

    #[test]
    fn paused_reading_does_not_count_towards_timeout() {
        let mut progress = MessageProgress::default();
        progress.restart(secs(5));
        assert_eq!(progress.timeout_at(secs(30)), None);
        progress.record(secs(1), 10, false);
        progress.restart(secs(20));
        assert_eq!(progress.timeout_at(secs(30)), Some(secs(50)));
    }
}

//! How long a broker may be silent. Pure: time comes in as an argument.

use std::time::Duration;

/// The longest time until the subscriptions are confirmed.
pub(in crate::cluster) const GREETING_TIMEOUT: Duration = Duration::from_secs(2);

/// The silence after which the broker is pinged, and the time that it has to answer. So a link whose
/// other end has vanished is down after 4 s, before the other nodes count this one as dead.
pub(in crate::cluster) const PING_AFTER: Duration = Duration::from_secs(2);

/// Tracks how long a session has waited for its broker.
#[derive(Debug)]
pub(in crate::cluster) struct KeepAlive {
    /// The time at which the wait for the greeting started.
    started: Duration,
    last_received: Duration,
    /// The time of a ping that is not answered yet.
    pinged: Option<Duration>,
}

/// The result of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cluster) enum Due {
    Nothing,
    /// The broker is silent, and has to be pinged.
    Ping,
    /// The broker has not confirmed the subscriptions in time.
    NoGreeting,
    /// The broker has not answered a ping in time.
    NoAnswer,
}

impl KeepAlive {
    /// Starts the wait for the greeting.
    pub(in crate::cluster) fn start(now: Duration) -> Self {
        KeepAlive { started: now, last_received: now, pinged: None }
    }

    pub(in crate::cluster) fn received(&mut self, now: Duration) {
        self.last_received = now;
        // Any bytes answer a ping.
        self.pinged = None;
    }

    /// Returns the end of the current wait.
    pub(in crate::cluster) fn deadline(&self, is_up: bool) -> Duration {
        match is_up {
            false => self.started + GREETING_TIMEOUT,
            true => self.pinged.unwrap_or(self.last_received) + PING_AFTER,
        }
    }

    pub(in crate::cluster) fn poll(&mut self, now: Duration, is_up: bool) -> Due {
        if now < self.deadline(is_up) {
            return Due::Nothing;
        }
        match (is_up, self.pinged) {
            (false, _) => Due::NoGreeting,
            (true, Some(_)) => Due::NoAnswer,
            (true, None) => {
                self.pinged = Some(now);
                Due::Ping
            }
        }
    }
}

//! Timeouts for a silent broker. Does not read a clock: the time is an argument.

use std::time::Duration;

/// The timeout from the start of the greeting until the subscriptions are confirmed.
pub(in crate::cluster) const HELLO_TIMEOUT: Duration = Duration::from_secs(2);

/// The time for which the broker may be silent before it is pinged, and also the time limit for its
/// answer. A link whose other end has vanished is therefore down after 4 s, before the other nodes
/// count this node as dead.
pub(in crate::cluster) const PING_AFTER: Duration = Duration::from_secs(2);

/// Tracks how long a connection has been waiting for the broker.
#[derive(Debug)]
pub(in crate::cluster) struct KeepAlive {
    /// The time at which the wait for the greeting started.
    started: Duration,
    last_received: Duration,
    /// The time at which the unanswered ping was sent, if there is one.
    pinged: Option<Duration>,
}

/// The action that is due when a wait has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cluster) enum Due {
    Nothing,
    /// Ping the broker, which has been silent.
    Ping,
    /// End the connection, since the broker has not confirmed the subscriptions in time.
    NoGreeting,
    /// End the connection, since the broker has not answered a ping in time.
    NoAnswer,
}

impl KeepAlive {
    /// Starts the wait for the greeting.
    pub(in crate::cluster) fn start(now: Duration) -> Self {
        KeepAlive { started: now, last_received: now, pinged: None }
    }

    pub(in crate::cluster) fn received(&mut self, now: Duration) {
        self.last_received = now;
        // Any received bytes count as the answer to a ping.
        self.pinged = None;
    }

    /// Returns the time at which the current wait expires.
    pub(in crate::cluster) fn deadline(&self, is_up: bool) -> Duration {
        match is_up {
            false => self.started + HELLO_TIMEOUT,
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

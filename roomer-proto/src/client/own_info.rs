//! The client's own info.
//!
//! The server limits how often a client may change its info. Above that rate the client sends only
//! the newest info, as soon as the server accepts it.

use core::time::Duration;

use super::limits::{LONGEST_PAUSE, MAX_CHANGES, SHORTEST_PAUSE};
use super::pace::Pace;
use crate::extended::Info;

/// The info that the application has set.
#[derive(Debug)]
pub(super) struct OwnInfo {
    /// The newest info; `None` if it was removed.
    newest: Option<Info>,
    /// True if the newest info must be sent.
    is_due: bool,
    pace: Pace,
    /// The delay after the latest rejection because of the rate, and its end.
    pause: Duration,
    paused_until: Duration,
}

impl OwnInfo {
    pub(super) fn new(newest: Option<Info>) -> Self {
        let (pause, paused_until) = (Duration::ZERO, Duration::ZERO);
        OwnInfo { newest, is_due: true, pace: Pace::new(MAX_CHANGES), pause, paused_until }
    }

    pub(super) fn set(&mut self, newest: Option<Info>) {
        (self.newest, self.is_due) = (newest, true);
    }

    /// Starts again with a new session, which has no info yet.
    pub(super) fn renew(&mut self) {
        *self = OwnInfo::new(self.newest.take());
    }

    /// Returns the payload to send, if the info is due and the rate permits it.
    pub(super) fn take(&mut self, now: Duration) -> Option<&str> {
        if !self.is_due || now < self.paused_until || !self.pace.take(now) {
            return None;
        }
        self.is_due = false;
        // On the wire, `null` means "no info": an empty payload is not valid JSON.
        Some(self.newest.as_ref().map_or("null", Info::as_str))
    }

    /// Returns the time at which the info must be sent.
    pub(super) fn due_at(&self) -> Option<Duration> {
        self.is_due.then(|| self.paused_until.max(self.pace.due_at()))
    }

    /// Handles an error that may report a rejection of the info.
    pub(super) fn maybe_rejected(&mut self, now: Duration) {
        self.is_due = true;
        self.paused_until = self.paused_until.max(now + SHORTEST_PAUSE);
    }

    /// Handles a rejection because of the rate. The server's rate may be lower than the client's.
    pub(super) fn too_fast(&mut self, now: Duration) {
        self.is_due = true;
        // Count only the first rejection in a burst.
        if now < self.paused_until {
            return;
        }
        // Double the pause only if the repeated info was rejected too.
        let is_repeated = now.saturating_sub(self.paused_until) <= LONGEST_PAUSE;
        let doubled = if is_repeated { 2 * self.pause } else { SHORTEST_PAUSE };
        self.pause = doubled.clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        self.paused_until = now + self.pause;
    }
}

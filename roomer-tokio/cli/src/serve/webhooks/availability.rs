//! Whether a webhook is down, so that clients do not wait for it in vain.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The time between two requests to a webhook that is down.
const PROBE_INTERVAL: Duration = Duration::from_secs(3);

/// Whether a webhook is down. It is once a question has remained without an answer for as long as a
/// client may wait, and no other question was answered in that time.
#[derive(Default)]
pub(super) struct Availability(Mutex<State>);

#[derive(Default)]
struct State {
    /// The time of the last answer.
    answered_at: Option<Instant>,
    /// If the webhook is down, the time from which one question may be sent to it.
    probe_at: Option<Instant>,
}

/// How often a question may be sent to the webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempts {
    /// Until it is answered.
    Repeated,
    /// Once: the webhook is down, and this request shows whether it still is.
    Single,
    /// The webhook is down, and was asked a short time ago.
    None,
}

impl Availability {
    /// Returns how often a new question may be sent.
    pub(super) fn attempts(&self, now: Instant) -> Attempts {
        let mut state = self.state();
        match state.probe_at {
            None => Attempts::Repeated,
            Some(at) if now < at => Attempts::None,
            Some(_) => {
                state.probe_at = Some(now + PROBE_INTERVAL);
                Attempts::Single
            }
        }
    }

    /// Records an answer. Returns true if the webhook was down.
    pub(super) fn answered(&self, now: Instant) -> bool {
        let mut state = self.state();
        state.answered_at = Some(now);
        state.probe_at.take().is_some()
    }

    /// Records that a question from the time `since` has remained without an answer. Returns true if
    /// the webhook is down from now on.
    pub(super) fn failed(&self, since: Instant, now: Instant) -> bool {
        let mut state = self.state();
        // The question may only have waited for many others, which were answered.
        if state.answered_at.is_some_and(|at| at >= since) {
            return false;
        }
        state.probe_at.replace(now + PROBE_INTERVAL).is_none()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn webhook_that_is_down_is_probed_until_it_answers() {
        let (webhook, start) = (Availability::default(), Instant::now());
        let at = |seconds| second(start, seconds);
        assert_eq!(webhook.attempts(at(0)), Attempts::Repeated);
        assert!(webhook.failed(at(0), at(10)));
        assert_eq!(webhook.attempts(at(12)), Attempts::None);
        assert_eq!(webhook.attempts(at(13)), Attempts::Single);
        assert_eq!(webhook.attempts(at(13)), Attempts::None);
        // It was down before, so this is not logged again.
        assert!(!webhook.failed(at(13), at(18)));
        assert_eq!(webhook.attempts(at(20)), Attempts::None);
        assert_eq!(webhook.attempts(at(21)), Attempts::Single);
        assert!(webhook.answered(at(22)));
        assert!(!webhook.answered(at(22)));
        assert_eq!(webhook.attempts(at(22)), Attempts::Repeated);
    }

    #[test]
    fn webhook_that_answers_other_questions_is_up() {
        let (webhook, start) = (Availability::default(), Instant::now());
        let at = |seconds| second(start, seconds);
        webhook.answered(at(5));
        assert!(!webhook.failed(at(0), at(10)));
        assert_eq!(webhook.attempts(at(10)), Attempts::Repeated);
        assert!(webhook.failed(at(6), at(16)));
    }
}

//! Detects that a webhook is down, so that clients do not wait for its answers.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// The time between two requests to a webhook that is down. It is short: if the webhook fails only
/// for the request about one client, that about another client soon shows that the webhook is up.
const PROBE_INTERVAL: Duration = Duration::from_millis(300);

/// The time without requests to a webhook after which it is no longer considered down.
const MEMORY: Duration = Duration::from_secs(30);

/// The time for which requests wait for the answer to another request, which is sent first.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// Tracks whether a webhook is down. The webhook is considered down once a request has remained
/// unanswered for as long as a client may wait, and no other request was answered in that time.
#[derive(Default)]
pub(super) struct Availability {
    state: Mutex<State>,
    /// Wakes the requests that wait for an answer to another one.
    recovery: Notify,
}

#[derive(Default)]
struct State {
    /// The time of the last answer.
    answered_at: Option<Instant>,
    /// If the webhook is down, the time from which one request may be sent to it.
    probe_at: Option<Instant>,
}

/// The number of times that a request may be sent to the webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempts {
    /// The request is repeated until it is answered.
    Repeated,
    /// The request is sent once: the webhook is down, and the answer shows whether it still is.
    Single,
    /// The webhook is down, and the next request may not be sent yet.
    None,
}

impl Availability {
    /// Returns how often a new request may be sent.
    pub(super) fn attempts(&self, now: Instant) -> Attempts {
        let mut state = self.state();
        match state.probe_at {
            None => Attempts::Repeated,
            Some(at) if now < at => Attempts::None,
            Some(at) if now < at + MEMORY => {
                state.probe_at = Some(now + PROBE_INTERVAL);
                Attempts::Single
            }
            Some(_) => {
                state.probe_at = None;
                Attempts::Repeated
            }
        }
    }

    /// Records an answer. Returns true if the webhook was down.
    pub(super) fn answered(&self, now: Instant) -> bool {
        let mut state = self.state();
        state.answered_at = Some(now);
        let was_down = state.probe_at.take().is_some();
        drop(state);
        self.recovery.notify_waiters();
        was_down
    }

    /// Records that a request made at the time `since` has remained unanswered. Returns true if
    /// this makes the webhook count as down.
    pub(super) fn failed(&self, since: Instant, now: Instant) -> bool {
        let mut state = self.state();
        // The request may merely have waited for many others that were answered. If the webhook was
        // down before, this must not delay the next request to it.
        if state.answered_at.is_some_and(|at| at >= since) || state.probe_at.is_some() {
            return false;
        }
        state.probe_at = Some(now + PROBE_INTERVAL);
        true
    }

    /// Waits a short time for a webhook that is down. Returns true if it is up again.
    pub(super) async fn recovers(&self) -> bool {
        // Register before reading the state, so that an answer in between is not missed.
        let recovery = self.recovery.notified();
        self.state().probe_at.is_none() || timeout(MAX_WAIT, recovery).await.is_ok()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the time that is this many tenths of a second after `start`.
    fn tenth(start: Instant, tenths: u64) -> Instant {
        start + Duration::from_millis(100 * tenths)
    }

    #[test]
    fn webhook_that_is_down_is_probed_until_it_answers() {
        let (webhook, start) = (Availability::default(), Instant::now());
        let at = |tenths| tenth(start, tenths);
        assert_eq!(webhook.attempts(at(0)), Attempts::Repeated);
        assert!(webhook.failed(at(0), at(100)));
        assert_eq!(webhook.attempts(at(102)), Attempts::None);
        assert_eq!(webhook.attempts(at(103)), Attempts::Single);
        assert_eq!(webhook.attempts(at(103)), Attempts::None);
        // The first request is still pending when the next is sent.
        assert_eq!(webhook.attempts(at(106)), Attempts::Single);
        // It was down before, so this is not logged again, and delays no other request.
        assert!(!webhook.failed(at(103), at(153)));
        assert_eq!(webhook.attempts(at(153)), Attempts::Single);
        assert!(webhook.answered(at(154)));
        assert!(!webhook.answered(at(154)));
        assert_eq!(webhook.attempts(at(154)), Attempts::Repeated);
    }

    #[test]
    fn webhook_that_answers_other_requests_is_up() {
        let (webhook, start) = (Availability::default(), Instant::now());
        let at = |tenths| tenth(start, tenths);
        webhook.answered(at(50));
        assert!(!webhook.failed(at(0), at(100)));
        assert_eq!(webhook.attempts(at(100)), Attempts::Repeated);
        assert!(webhook.failed(at(60), at(160)));
    }

    #[test]
    fn failure_is_forgotten_if_no_request_follows() {
        let (webhook, start) = (Availability::default(), Instant::now());
        let at = |tenths| tenth(start, tenths);
        assert!(webhook.failed(at(0), at(100)));
        assert_eq!(webhook.attempts(at(400)), Attempts::Single);
        assert_eq!(webhook.attempts(at(703)), Attempts::Repeated);
        assert_eq!(webhook.attempts(at(703)), Attempts::Repeated);
        // It is still down, so this is logged again.
        assert!(webhook.failed(at(703), at(803)));
    }

    #[tokio::test]
    async fn requests_wait_for_answer_to_another() {
        let (webhook, start) = (Availability::default(), Instant::now());
        assert!(webhook.recovers().await);
        assert!(webhook.failed(start, start));
        let answer = async { webhook.answered(start) };
        assert_eq!(
            tokio::join!(webhook.recovers(), webhook.recovers(), answer),
            (true, true, true)
        );
    }
}

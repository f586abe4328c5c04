//! Renewing the login when the server requests a new token.

use std::sync::Arc;
use std::time::Duration;

use super::builder::TokenSource;
use super::runtime::Runtime;
use super::shared::Shared;

/// The minimum time between two calls of the application's function for tokens, however often the
/// server requests one.
const PAUSE: Duration = Duration::from_secs(2);

/// The pace of a client's renewals.
#[derive(Default)]
pub(super) struct Renewals {
    /// The earliest time of the next one.
    next_at: Duration,
}

impl Renewals {
    /// Obtains a new token and sends it, in a separate task.
    pub(super) fn start<R: Runtime>(
        &mut self,
        now: Duration,
        shared: &Arc<Shared>,
        token: Option<TokenSource>,
    ) {
        let Some(token) = token else { return };
        let Some(delay) = self.delay(now) else { return };
        let shared = shared.clone();
        R::spawn(async move {
            if !delay.is_zero() {
                R::sleep(delay).await;
            }
            // Without a token, the server closes the connection when the login expires, and the
            // next attempt requests a token. The same applies if the connection has been lost in
            // the meantime.
            if let Ok(token) = token().await {
                let _ = shared.call(|inner, now| inner.machine.renew(now, &token));
            }
        });
    }

    /// Returns how long a renewal that is requested now has to wait, or `None` if an earlier one
    /// waits and answers this request too.
    fn delay(&mut self, now: Duration) -> Option<Duration> {
        let delay = self.next_at.saturating_sub(now);
        if delay > PAUSE {
            return None;
        }
        self.next_at = now + delay + PAUSE;
        Some(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_asks_without_a_pause_gets_a_token_every_two_seconds() {
        let mut renewals = Renewals::default();
        let mut started = Vec::new();
        for milliseconds in 0..5_000 {
            let now = Duration::from_millis(milliseconds);
            started.extend(renewals.delay(now).map(|delay| (now + delay).as_secs_f32()));
        }
        assert_eq!(started, [0.0, 2.0, 4.0, 6.0]);
        assert_eq!(renewals.delay(Duration::from_secs(60)), Some(Duration::ZERO));
    }
}

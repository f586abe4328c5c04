//! A drain: its pace, its deadline and its result.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::env::Environment;
use crate::lifecycle::Lifecycle;
use crate::timer::{Timer, TimerQueue};

/// The interval between a drain's steps, each of which closes some connections.
pub(crate) const DRAIN_STEP: Duration = Duration::from_millis(50);

/// The result of a drain: the numbers of connections closed in time and aborted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// The number of connections that ended in time, closed by the server or by the client.
    pub closed: usize,
    /// The number of connections still open at the deadline, which were aborted.
    pub aborted: usize,
}

/// A drain's pace and deadline. See [`Builder::drain`](crate::Builder::drain).
#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainPolicy {
    pub(crate) deadline: Duration,
    pub(crate) per_second: usize,
}

impl DrainPolicy {
    /// Returns how many connections must have been closed once `elapsed` has passed.
    pub(crate) fn due(self, elapsed: Duration) -> u64 {
        // Connections due before the next step are closed in this step, so the first connections
        // are closed immediately.
        let millis = (elapsed + DRAIN_STEP).as_millis();
        let due = (self.per_second as u128).saturating_mul(millis).div_ceil(1000);
        due.try_into().unwrap_or(u64::MAX)
    }
}

/// A drain in progress. May be dropped at any point.
pub(crate) struct DrainWait<'s> {
    lifecycle: &'s Lifecycle,
    timers: &'s TimerQueue,
    env: &'s dyn Environment,
    timer: Timer,
}

impl<'s> DrainWait<'s> {
    pub(crate) fn new(
        lifecycle: &'s Lifecycle,
        timers: &'s TimerQueue,
        env: &'s dyn Environment,
    ) -> Self {
        DrainWait { lifecycle, timers, env, timer: Timer::default() }
    }

    /// Waits until `at`, or until `ready` returns `Poll::Ready`.
    pub(crate) async fn until(
        &mut self,
        at: Duration,
        ready: fn(&Lifecycle, &Context<'_>) -> Poll<()>,
    ) {
        poll_fn(|cx| {
            // Set the timer again at each poll, since another task may be polling this future.
            self.timer.cancel(self.timers);
            if ready(self.lifecycle, cx).is_ready() || self.env.now() >= at {
                return Poll::Ready(());
            }
            self.timer.set(self.timers, at, cx.waker());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for DrainWait<'_> {
    fn drop(&mut self) {
        self.timer.cancel(self.timers);
        self.lifecycle.end_drain();
    }
}

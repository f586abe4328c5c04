//! Runs the timer task only while there are connections.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Poll, ready};
use std::time::Duration;

use crate::Server;

impl Server {
    /// Runs the timers like [`run_timers`](Self::run_timers), but only while there are connections.
    /// Meant for connections that do not come from an adapter's accept loop: call it after each new
    /// connection and spawn the returned future. Returns `None` while such a future exists already.
    #[must_use]
    pub fn run_timers_on_demand<F, S>(
        &self,
        sleep: F,
    ) -> Option<impl Future<Output = ()> + use<F, S>>
    where
        F: Fn(Duration) -> S,
        S: Future,
    {
        let must_run = self.0.lifecycle.start_on_demand();
        let mut guard = must_run.then(|| TimerGuard { server: self.clone(), is_over: false })?;
        Some(async move {
            let server = guard.server.clone();
            let mut time = pin!(server.run_timers(sleep));
            poll_fn(|cx| {
                let _ = time.as_mut().poll(cx);
                ready!(server.0.lifecycle.poll_idle(cx));
                guard.is_over = true;
                Poll::Ready(())
            })
            .await;
        })
    }
}

/// Marks the timers as run on demand. When a runtime ends and drops the future early, the mark is
/// removed, so that the next connection starts a new one.
struct TimerGuard {
    server: Server,
    is_over: bool,
}

impl Drop for TimerGuard {
    fn drop(&mut self) {
        if !self.is_over {
            self.server.0.lifecycle.stop_on_demand();
        }
    }
}

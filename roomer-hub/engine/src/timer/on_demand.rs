//! Keeping time only while there is somebody to keep it for.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Poll, ready};
use std::time::Duration;

use crate::Server;

impl Server {
    /// As [`run_timers`](Self::run_timers), but for as long as there are connections, and only where
    /// nobody does it yet in this way: for connections that no accept loop of an adapter has
    /// brought. Ask after each that is taken into care, and spawn the future that comes back.
    #[must_use]
    pub fn run_timers_on_demand<F, S>(
        &self,
        sleep: F,
    ) -> Option<impl Future<Output = ()> + use<F, S>>
    where
        F: Fn(Duration) -> S,
        S: Future,
    {
        let begun = self.0.lifecycle.start_on_demand();
        let mut guard = begun.then(|| TimerGuard { server: self.clone(), is_over: false })?;
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

/// Somebody's time at it. A runtime may end in its midst; the next connection then finds somebody
/// else.
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

//! The task that runs the timers: for the server's lifetime, or only while there are connections.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use std::time::Duration;

use crate::{Connection, Server};

impl Connection {
    /// Serves the connection. At the first poll, also starts the server's timers if they are not
    /// running. For connections that do not come from an adapter's accept loop.
    ///
    /// `sleep` is the runtime's sleep function. `spawn` receives the server and a future to spawn,
    /// which runs the timers until the server has no connections.
    pub fn with_timer<F, S>(
        mut self,
        sleep: F,
        spawn: impl FnOnce(Server, Pin<Box<dyn Future<Output = ()> + Send>>),
    ) -> impl Future<Output = ()>
    where
        F: Fn(Duration) -> S + Send + 'static,
        S: Future + Send + 'static,
    {
        let mut unstarted = Some((sleep, spawn));
        poll_fn(move |cx| {
            // Start the timers at the first poll: a future that is never polled then leaves no task
            // behind, and a runtime's `spawn` works only within the runtime.
            if let Some((sleep, spawn)) = unstarted.take() {
                let server = Server(self.shared.clone());
                if let Some(timers) = server.run_timers_on_demand(sleep) {
                    spawn(server, Box::pin(timers));
                }
            }
            Pin::new(&mut self).poll(cx)
        })
    }
}

impl Server {
    /// Runs the timers of all connections, with the runtime's `sleep`. Spawn the future once; it never
    /// completes.
    pub async fn run_timers<S: Future>(&self, sleep: impl Fn(Duration) -> S) {
        self.0.timers.run(|| self.0.now(), sleep, || self.0.flush()).await;
    }

    /// Returns a future that [runs the timers](Self::run_timers) while there are connections, or
    /// `None` if an earlier one is still running. [`Connection::with_timer`] calls this for each
    /// connection that does not come from an adapter's accept loop.
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
        let mut guard =
            must_run.then(|| TimerGuard { server: self.clone(), is_finished: false })?;
        Some(async move {
            let server = guard.server.clone();
            let mut time = pin!(server.run_timers(sleep));
            poll_fn(|cx| {
                // This poll never returns `Poll::Ready`: the timers run until this future ends.
                let _ = time.as_mut().poll(cx);
                ready!(server.0.lifecycle.poll_idle(cx));
                guard.is_finished = true;
                Poll::Ready(())
            })
            .await;
        })
    }
}

/// Marks the on-demand timers as running. If the future is dropped early, for example because its
/// runtime ends, the mark is removed so that the next connection starts the timers again.
struct TimerGuard {
    server: Server,
    is_finished: bool,
}

impl Drop for TimerGuard {
    fn drop(&mut self) {
        if !self.is_finished {
            self.server.0.lifecycle.stop_on_demand();
        }
    }
}

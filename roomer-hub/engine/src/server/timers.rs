//! The task that runs the timers: for the server's lifetime, or only while there are connections.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use std::time::Duration;

use crate::Server;

/// A future that runs the timers on demand.
pub(crate) type Timers = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Server {
    /// Runs the timers of all connections, with the runtime's `sleep`. Spawn the future once; it never
    /// completes.
    pub async fn run_timers<S: Future>(&self, sleep: impl Fn(Duration) -> S) {
        self.0.timers.run(|| self.0.now(), sleep, || self.0.flush()).await;
    }

    /// Returns a future that [runs the timers](Self::run_timers) while there are connections, or
    /// `None` if an earlier one is still running.
    /// [`Connection::with_timer`](crate::Connection::with_timer) calls this for each connection that
    /// does not come from an adapter's accept loop.
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
        let mut mark =
            must_run.then(|| RunningMark { server: self.clone(), is_finished: false })?;
        Some(async move {
            let server = mark.server.clone();
            let mut time = pin!(server.run_timers(sleep));
            poll_fn(|cx| {
                // This poll never returns `Poll::Ready`: the timers run until this future ends.
                let _ = time.as_mut().poll(cx);
                ready!(server.0.lifecycle.poll_idle(cx));
                mark.is_finished = true;
                Poll::Ready(())
            })
            .await;
        })
    }

    /// Returns a guard for an accept loop that [runs the timers](Self::run_timers). If it is
    /// dropped before [`TimersGuard::finish`] is called, because the loop's future is dropped, it
    /// starts the timers on demand for the connections that remain. `sleep` and `spawn` are those
    /// of [`Connection::with_timer`](crate::Connection::with_timer).
    pub fn guard_timers<F, S, P>(
        &self,
        sleep: F,
        spawn: P,
    ) -> TimersGuard<impl FnOnce(Server) + use<F, S, P>>
    where
        F: Fn(Duration) -> S + Send + 'static,
        S: Future + Send + 'static,
        P: FnOnce(Server, Timers),
    {
        let restart = move |server| spawn_timers(server, sleep, spawn);
        TimersGuard { unfinished: Some((self.clone(), restart)) }
    }
}

/// Starts the timers on demand when it is dropped. Returned by [`Server::guard_timers`].
#[must_use]
pub struct TimersGuard<R: FnOnce(Server)> {
    unfinished: Option<(Server, R)>,
}

impl<R: FnOnce(Server)> TimersGuard<R> {
    /// Drops the guard without starting the timers: no connection remains that needs them.
    pub fn finish(mut self) {
        self.unfinished = None;
    }
}

impl<R: FnOnce(Server)> fmt::Debug for TimersGuard<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimersGuard").finish_non_exhaustive()
    }
}

impl<R: FnOnce(Server)> Drop for TimersGuard<R> {
    fn drop(&mut self) {
        if let Some((server, restart)) = self.unfinished.take() {
            restart(server);
        }
    }
}

pub(crate) fn spawn_timers<F, S>(server: Server, sleep: F, spawn: impl FnOnce(Server, Timers))
where
    F: Fn(Duration) -> S + Send + 'static,
    S: Future + Send + 'static,
{
    if let Some(timers) = server.run_timers_on_demand(sleep) {
        spawn(server, Box::pin(timers));
    }
}

/// Marks the on-demand timers as running. If the future is dropped early, for example because its
/// runtime ends, the mark is removed so that the next connection starts the timers again.
struct RunningMark {
    server: Server,
    is_finished: bool,
}

impl Drop for RunningMark {
    fn drop(&mut self) {
        if !self.is_finished {
            self.server.0.lifecycle.stop_on_demand();
        }
    }
}

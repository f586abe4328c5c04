//! The end of a server, one connection after the other.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use roomer_proto::close;

use crate::Server;
use crate::lifecycle::Lifecycle;
use crate::metrics::trace;
use crate::timer::{Timer, yield_once};
use roomer_hub::ConnKey;
use roomer_hub::{Command, Input};

/// How often a drain closes some.
const DRAIN_STEP: Duration = Duration::from_millis(50);

/// How long tasks may take to notice that their connection was cut.
const ABORT_GRACE: Duration = Duration::from_secs(1);

/// What became of the connections of a server that was drained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Connections that ended in time: closed by the server, or gone by themselves meanwhile.
    pub closed: usize,
    /// Connections that were left at the deadline, and cut.
    pub cut: usize,
}

/// How to drain a server. See [`Builder::drain`](crate::Builder::drain).
#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainPolicy {
    pub(crate) deadline: Duration,
    pub(crate) per_second: usize,
}

impl DrainPolicy {
    /// How many connections are to be closed by then.
    fn due(self, elapsed: Duration) -> u64 {
        let millis = (elapsed + DRAIN_STEP).as_millis();
        let due = (self.per_second as u128).saturating_mul(millis).div_ceil(1000);
        due.try_into().unwrap_or(u64::MAX)
    }
}

impl Server {
    /// Ends the server gently. From now on requests for an upgrade are answered 503; connections
    /// work on until it is their turn to be closed with 1001, after what they are still owed, at
    /// the pace of [`Builder::drain`](crate::Builder::drain), in the order of their places in the
    /// server's table. At the deadline whatever is left is cut. Returns what became of them.
    ///
    /// Adapters' `serve_until` does this, and goes on accepting meanwhile, so that a load balancer
    /// hears 503 instead of nothing. Awaited again, also after it, this tells the same result.
    /// Whoever joins a drain under way waits for the same deadline; whoever stops waiting leaves
    /// a server that still takes nobody, whose connections stay until somebody drains on or calls
    /// [`shutdown`](Self::shutdown).
    ///
    /// The waits need somebody who keeps time ([`run_timers`](Self::run_timers)), as connections do.
    pub async fn drain(&self) -> DrainReport {
        let lifecycle = &self.0.lifecycle;
        let drain_policy = self.options().drain_policy();
        let since = lifecycle.drain(self.now());
        trace::draining(lifecycle.with_counts(|counts| counts.connections));
        let deadline = since + drain_policy.deadline;
        let mut sleeper = DrainWait { server: self, timer: Timer::default() };
        while lifecycle.with_counts(|counts| counts.connections) > 0 {
            let now = self.now();
            if now >= deadline {
                break;
            }
            while self.close_some(drain_policy.due(now - since)) {
                yield_once().await;
            }
            sleeper.until(deadline.min(now + DRAIN_STEP), Lifecycle::poll_drained).await;
        }
        // Handshakes under way see that they are over.
        lifecycle.close();
        self.0.timers.fire_all();
        sleeper.until(deadline, Lifecycle::poll_empty).await;
        if lifecycle.with_counts(|counts| counts.sockets()) > 0 {
            // Their tasks are over with the next turn; what still fits into their sockets goes.
            while self.close_some(u64::MAX) {
                yield_once().await;
            }
            lifecycle.abort();
            self.0.timers.fire_all();
            sleeper.until(deadline + ABORT_GRACE, Lifecycle::poll_empty).await;
        }
        let drained = lifecycle.drained();
        trace::drained(drained.closed, drained.cut);
        drained
    }

    /// Whether the server takes newcomers: it is neither being drained or shut down, nor full
    /// ([`max_connections`](crate::Builder::max_connections)). What a load balancer wants to know
    /// before it sends somebody here.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let most = self.options().admission.connections.total;
        self.0.lifecycle.is_open()
            && self.0.lifecycle.with_counts(|counts| counts.connections < most)
    }

    /// Whether the server lives: also when it is full, or being drained; not once that is over,
    /// nor after a [`shutdown`](Self::shutdown). What a supervisor wants to know that restarts
    /// what is dead.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !self.is_closing()
    }

    /// Closes some more connections, until there were so many since the drain began. False when
    /// there is none to close.
    fn close_some(&self, due: u64) -> bool {
        let mut core = self.core();
        let most = self.options().flush.max_per_poll;
        let count = self.0.lifecycle.close_some(due, core.outbound.writers.len().min(most));
        let keys: Vec<ConnKey> = core.outbound.writers.keys().take(count).collect();
        for conn in keys {
            let close = Command::close(conn, &close::SHUTDOWN);
            core.apply(self.now(), Input::Command(close), None);
        }
        drop(core);
        self.flush_unless_in_callback();
        count > 0
    }
}

/// A drain at rest. It can be dropped at any point.
struct DrainWait<'s> {
    server: &'s Server,
    timer: Timer,
}

impl DrainWait<'_> {
    /// Waits until then, or until there is nothing to wait for.
    async fn until(&mut self, at: Duration, ready: fn(&Lifecycle, &Context<'_>) -> Poll<()>) {
        let inner = &self.server.0;
        poll_fn(|cx| {
            // Always anew: the task that waits may be another one than before.
            self.timer.cancel(&inner.timers);
            if ready(&inner.lifecycle, cx).is_ready() || self.server.now() >= at {
                return Poll::Ready(());
            }
            self.timer.set(&inner.timers, at, cx.waker());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for DrainWait<'_> {
    fn drop(&mut self) {
        self.timer.cancel(&self.server.0.timers);
        self.server.0.lifecycle.end_drain();
    }
}

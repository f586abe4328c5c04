//! The end of a server, one connection after the other.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use roomer_proto::close;

use crate::Server;
use crate::lifecycle::Life;
use crate::metrics::trace;
use crate::timer::{Alarm, yield_once};
use roomer_hub::ConnKey;
use roomer_hub::{Command, Input};

/// How often a drain closes some.
const TICK: Duration = Duration::from_millis(50);

/// How long tasks may take to notice that their connection was cut.
const NOTICE: Duration = Duration::from_secs(1);

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
pub(crate) struct Pace {
    pub(crate) deadline: Duration,
    pub(crate) per_second: usize,
}

impl Pace {
    /// How many connections are to be closed by then.
    fn due(self, elapsed: Duration) -> u64 {
        let millis = (elapsed + TICK).as_millis();
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
        let life = &self.0.life;
        let pace = self.options().pace();
        let since = life.drain(self.now());
        trace::draining(life.with_census(|census| census.connections));
        let deadline = since + pace.deadline;
        let mut sleeper = Sleeper { server: self, alarm: Alarm::default() };
        while life.with_census(|census| census.connections) > 0 {
            let now = self.now();
            if now >= deadline {
                break;
            }
            while self.dismiss(pace.due(now - since)) {
                yield_once().await;
            }
            sleeper.until(deadline.min(now + TICK), Life::poll_drained).await;
        }
        // Handshakes under way see that they are over.
        life.close();
        self.0.alarms.ring_all();
        sleeper.until(deadline, Life::poll_empty).await;
        if life.with_census(|census| census.sockets()) > 0 {
            // Their tasks are over with the next turn; what still fits into their sockets goes.
            while self.dismiss(u64::MAX) {
                yield_once().await;
            }
            life.cut();
            self.0.alarms.ring_all();
            sleeper.until(deadline + NOTICE, Life::poll_empty).await;
        }
        let drained = life.drained();
        trace::drained(drained.closed, drained.cut);
        drained
    }

    /// Whether the server takes newcomers: it is neither being drained or shut down, nor full
    /// ([`max_connections`](crate::Builder::max_connections)). What a load balancer wants to know
    /// before it sends somebody here.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let most = self.options().caps.connections.total;
        self.0.life.is_open() && self.0.life.with_census(|census| census.connections < most)
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
    fn dismiss(&self, due: u64) -> bool {
        let mut core = self.core();
        let most = self.options().flush.turn;
        let count = self.0.life.dismiss(due, core.links.len().min(most));
        let keys: Vec<ConnKey> = core.links.keys().take(count).collect();
        for conn in keys {
            let close = Command::close(conn, &close::SHUTDOWN);
            core.apply(self.now(), Input::Command(close), None);
        }
        drop(core);
        self.flush_outside_turn();
        count > 0
    }
}

/// A drain at rest. It can be dropped at any point.
struct Sleeper<'s> {
    server: &'s Server,
    alarm: Alarm,
}

impl Sleeper<'_> {
    /// Waits until then, or until there is nothing to wait for.
    async fn until(&mut self, at: Duration, ready: fn(&Life, &Context<'_>) -> Poll<()>) {
        let inner = &self.server.0;
        poll_fn(|cx| {
            // Always anew: the task that waits may be another one than before.
            self.alarm.cancel(&inner.alarms);
            if ready(&inner.life, cx).is_ready() || self.server.now() >= at {
                return Poll::Ready(());
            }
            self.alarm.set(&inner.alarms, at, cx.waker());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.alarm.cancel(&self.server.0.alarms);
        self.server.0.life.end_drain();
    }
}

//! [`Server::drain`](crate::Server::drain): closes a server's connections gradually.

use std::task::Waker;
use std::time::Duration;

use roomer_hub::ConnKey;

use crate::Server;
use crate::core::Core;
use crate::lifecycle::Lifecycle;
use crate::lifecycle::admission::SocketCounts;
use crate::lifecycle::drain::{DRAIN_STEP, DrainReport, DrainWait};
use crate::metrics::trace;
use crate::timer::yield_once;
use crate::tunnel::Tunnels;

/// The time within which tasks must end after an abort.
const ABORT_GRACE: Duration = Duration::from_secs(1);

/// The time within which the broker link must end. Usually it ends earlier.
const LINK_GRACE: Duration = Duration::from_secs(2);

impl Server {
    /// Closes the server gradually. From this call on, upgrade requests are answered with 503.
    /// Existing connections keep working until they are closed with 1001 (extended clients with
    /// 1012 and a delay, see [`Builder::retry_window`](crate::Builder::retry_window)). They are
    /// closed at the rate set by [`Builder::drain`](crate::Builder::drain), in table order, each
    /// after its queued messages have been sent. Connections that are still open at the deadline
    /// are aborted. Returns how the connections ended.
    ///
    /// The adapters' `serve_until` calls this method and keeps accepting sockets during the drain, so
    /// that a load balancer receives 503 instead of a refused connection. Further calls, during the
    /// drain or after it, wait for the same deadline and return the same result. If the future is
    /// dropped, the server keeps rejecting new connections and serving existing ones until `drain` or
    /// [`shutdown`](Self::shutdown) is called.
    ///
    /// Like connections, a drain requires a running timer task ([`run_timers`](Self::run_timers)).
    pub async fn drain(&self) -> DrainReport {
        let lifecycle = &self.0.lifecycle;
        let drain_policy = self.0.options().drain_policy();
        let since = lifecycle.drain(self.0.now());
        trace::draining(lifecycle.with_counts(SocketCounts::to_drain));
        let deadline = since + drain_policy.deadline;
        let mut wait = DrainWait::new(lifecycle, &self.0.timers, &*self.0.env);
        while lifecycle.with_counts(SocketCounts::to_drain) > 0 {
            let now = self.0.now();
            if now >= deadline {
                break;
            }
            // Compute the number of due connections from the drain's start instead of per step, so
            // that a late timer does not lower the rate.
            while self.close_due(drain_policy.due(now - since)) {
                yield_once().await;
            }
            wait.until(deadline.min(now + DRAIN_STEP), Lifecycle::poll_drained).await;
        }
        // Wake pending handshakes, which then observe that the server is closing.
        lifecycle.close();
        self.0.timers.fire_all();
        wait.until(deadline, Lifecycle::poll_empty).await;
        if lifecycle.with_counts(SocketCounts::tasks) > 0 {
            // Queue close frames before the abort, after which the tasks end at their next poll.
            // Those close frames that still fit into the sockets are sent.
            while self.close_due(u64::MAX) {
                yield_once().await;
            }
            lifecycle.abort();
            self.0.timers.fire_all();
            wait.until(deadline + ABORT_GRACE, Lifecycle::poll_empty).await;
        }
        // The other nodes receive the leaves of all connections first, and then this node's
        // departure.
        self.0.wake_link();
        wait.until(self.0.now() + LINK_GRACE, Lifecycle::poll_unlinked).await;
        let report = lifecycle.drain_report();
        trace::drained(report.closed, report.aborted);
        report
    }

    /// Returns true if the server accepts new connections: it is not draining or shut down, has not
    /// reached [`max_connections`](crate::Builder::max_connections), and in a cluster has waited
    /// for the other nodes ([`Cluster::formation_timeout`](crate::cluster::Cluster::formation_timeout)). Intended for
    /// the readiness probe of a load balancer.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.is_ready()
    }

    /// Returns true until a drain ends or [`shutdown`](Self::shutdown) is called. A full or draining
    /// server is live. Intended for the liveness probe of a supervisor that restarts failed
    /// processes.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !self.0.is_closing()
    }

    /// Closes the connections that are due, and flushes. Returns false if there were none.
    fn close_due(&self, due: u64) -> bool {
        let options = self.0.options();
        let (max, window) = (options.flush.max_per_poll, options.retry_window);
        let (count, cut) =
            close_some(&self.0.lifecycle, &mut self.0.core(), self.0.now(), due, max, window);
        cut.into_iter().for_each(Waker::wake);
        // Flush after releasing the lock, since the flush takes it.
        self.0.flush_unless_in_callback();
        count > 0
    }
}

/// Closes at most `max` connections, up to a total of `due` since the drain began. Returns their
/// number, and wakers for the sockets that must leave their tunnels to sessions on other nodes. The
/// clients of these sockets keep their sessions, and reach them through another node.
fn close_some(
    lifecycle: &Lifecycle,
    core: &mut Core,
    now: Duration,
    due: u64,
    max: usize,
    retry_window: Duration,
) -> (usize, Vec<Waker>) {
    let tunnels = core.cluster.as_ref().map(|state| &state.tunnels);
    let open = core.outbound.writers.len() + tunnels.map_or(0, Tunnels::uncut);
    let count = lifecycle.close_some(due, open.min(max));
    // Each close removes its connection from the table, so the next call finds other ones.
    let keys: Vec<ConnKey> = core.outbound.writers.keys().take(count).collect();
    let left = count - keys.len();
    let cut = core.cluster.as_ref().map(|state| state.tunnels.cut(left)).unwrap_or_default();
    for conn in keys {
        core.close_for_shutdown(now, conn, retry_window);
    }
    (count, cut)
}

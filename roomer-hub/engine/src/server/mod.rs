//! The public handle to a server.

#[cfg(feature = "audit")]
mod audit;
mod cluster;
pub(crate) mod conn;
mod control;
mod drain;
pub(crate) mod history;
mod hooks;
pub(crate) mod info;
#[cfg(feature = "json")]
mod json;
pub(crate) mod request;
mod start;
mod stats;
pub(crate) mod timers;
pub(crate) mod user;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use roomer_hub::ConnKey;

use crate::metrics::trace;
use crate::metrics::warning::WarningReason;
use crate::shared::Shared;

/// A room server. The handle is cheap to clone and shared between tasks. The server serves no
/// connections until an adapter connects sockets to it. Several servers can run in one process, since
/// there is no global state.
///
/// The server kicks a connection from a room, and disconnects it, by its id or by its user. Through
/// a handle to it, the connection leaves the room, and closes:
///
/// | what ends | [`Server`], [`User`](crate::User) | [`Conn`](crate::Conn) |
/// |---|---|---|
/// | the membership in one room | [`kick`](Self::kick) | [`leave`](crate::Conn::leave) |
/// | the connection, with its memberships | [`disconnect`](Self::disconnect) | [`close`](crate::Conn::close) |
/// | all connections | [`shutdown`](Self::shutdown), [`drain`](Self::drain) | |
///
/// The hooks [`on_leave`](crate::Builder::on_leave) and
/// [`on_disconnect`](crate::Builder::on_disconnect) are called for every end, also if the client
/// caused it.
#[derive(Clone)]
pub struct Server(pub(crate) Arc<Shared>);

impl Server {
    /// Runs a flush worker, which never completes. On a multi-threaded runtime, spawn one per
    /// thread. A single-threaded runtime needs none.
    pub async fn run_flush_worker(&self) {
        self.0.run_flush_worker().await
    }

    /// Closes all connections immediately with 1001 (extended clients with 1012 and a delay, see
    /// [`crate::Builder::retry_window`]), each after its queued messages have been sent, and rejects new
    /// ones. [`drain`](Self::drain) closes them gradually.
    pub fn shutdown(&self) {
        // Enter the closed phase first: a connection that opens now either observes it, or is in
        // the table that is read below.
        self.0.lifecycle.close();
        let keys: Vec<ConnKey> = self.0.core().outbound.writers.keys().collect();
        trace::closing(keys.len());
        // Take the lock once per connection so that other tasks can run in between. The key of a
        // connection that has ended in the meantime is stale, and closing it has no effect.
        for conn in keys {
            self.0.core().close_for_shutdown(self.0.now(), conn, self.0.options().retry_window);
            self.0.flush_unless_in_callback();
        }
        // Wake pending handshakes, which then observe that the server is closing.
        self.0.timers.fire_all();
    }

    /// Records that the system could not accept a connection, for example because too many files are
    /// open. The adapter then waits briefly and accepts again.
    pub fn record_accept_error(&self, error: &io::Error) {
        self.0.core().counts.accept_errors += 1;
        // Adapters retry ten times a second.
        let reason = WarningReason::AcceptFailed { error: error.to_string() };
        self.0.warnings.give_with(reason, |suppressed| {
            trace::record_accept_error(error, suppressed);
        });
    }

    /// Waits until no connections are left.
    pub async fn drained(&self) {
        poll_fn(|cx| self.0.lifecycle.poll_empty(cx)).await;
    }

    /// Returns the maximum time that [`drained`](Self::drained) can take after
    /// [`shutdown`](Self::shutdown).
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        self.0.options().close_timeout + Duration::from_secs(1)
    }

    /// Returns the handshake timeout ([`handshake_timeout`](crate::Builder::handshake_timeout)), for
    /// callers that await [`upgrade_async`](Self::upgrade_async).
    #[must_use]
    pub fn handshake_timeout(&self) -> Duration {
        self.0.options().handshake_timeout
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("stats", &self.stats()).finish()
    }
}

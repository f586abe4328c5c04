//! The public handle of a server.

#[cfg(feature = "audit")]
mod audit;
mod cluster;
pub(crate) mod conn;
mod control;
mod drain;
pub(crate) mod history;
pub(crate) mod info;
#[cfg(feature = "json")]
mod json;
pub(crate) mod request;
mod start;
mod stats;
mod timers;
pub(crate) mod user;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use roomer_hub::ConnKey;

use crate::builder::Builder;
use crate::connection::Connection;
use crate::metrics::trace;
use crate::metrics::warning::WarningCause;
use crate::shared::Shared;
use crate::transport::Transport;

/// A room server: a cheap handle to share between tasks. It serves no connections until an adapter
/// connects sockets to it. Several can run in one process; there is no global state.
#[derive(Clone)]
pub struct Server(pub(crate) Arc<Shared>);

impl Server {
    /// Returns a builder with roomer's defaults.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Starts serving a connection. Spawn the returned future; it ends when the connection does, and
    /// dropping it ends the connection.
    pub fn connect(&self, transport: impl Transport, peer: Option<SocketAddr>) -> Connection {
        Connection::new(self.0.clone(), transport, peer)
    }

    /// Runs a flush worker; never returns. On a runtime with several threads, spawn one per thread;
    /// on a single thread it has nothing to do.
    pub async fn run_flush_worker(&self) {
        self.0.run_flush_worker().await
    }

    /// Closes all connections at once with 1001 (extended clients with 1012 and a hint,
    /// [`Builder::retry_window`]), each after the messages queued for it, and rejects
    /// new ones. [`drain`](Self::drain) closes them gradually.
    pub fn shutdown(&self) {
        // First: a connection that opens now either sees this or is in the table that is read
        // below.
        self.0.lifecycle.close();
        let keys: Vec<ConnKey> = self.0.core().outbound.writers.keys().collect();
        trace::closing(keys.len());
        // Under a lock of its own for each, so that other tasks get their turn. The key of a
        // connection that ends meanwhile is stale, and nothing happens for it.
        for conn in keys {
            self.0.core().close_for_shutdown(self.0.now(), conn, self.0.options().retry_window);
            self.0.flush_unless_in_callback();
        }
        // Wakes pending handshakes, which then see that the server is closing.
        self.0.timers.fire_all();
    }

    /// Records that the system could not accept the next connection, for example because too many
    /// files are open. An adapter then waits briefly and accepts again.
    pub fn record_accept_error(&self, error: &io::Error) {
        self.0.core().counts.accept_errors += 1;
        trace::record_accept_error(error);
        self.0.warnings.give_to_hook(WarningCause::AcceptFailed { error: error.to_string() });
    }

    /// Waits until no connection is left.
    pub async fn drained(&self) {
        poll_fn(|cx| self.0.lifecycle.poll_empty(cx)).await;
    }

    /// Returns how long [`drained`](Self::drained) can take after [`shutdown`](Self::shutdown).
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        self.0.options().close_timeout + Duration::from_secs(1)
    }

    /// Returns how long a handshake may take ([`handshake_timeout`](Builder::handshake_timeout)), for
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

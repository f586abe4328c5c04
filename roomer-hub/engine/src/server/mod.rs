//! The public handle of a server.

mod control;
pub(crate) mod history;
mod start;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use roomer_hub::{ConnKey, HandlerKey, Hub};

use crate::app::handler::{Handler, RequestHandler};
use crate::builder::Builder;
use crate::builder::options::Options;
use crate::cluster::ClusterState;
use crate::connection::Connection;
use crate::core::Core;
use crate::env::Environment;
use crate::lifecycle::Lifecycle;
use crate::metrics::trace;
use crate::metrics::warning::{WarningCause, Warnings};
use crate::outbound::budget::MemoryBudget;
use crate::outbound::compressed::CompressionRules;
use crate::outbound::flush_pool::FlushPool;
use crate::sync::{Mutex, MutexGuard, lock};
use crate::timer::TimerQueue;
use crate::transport::Transport;

/// A room server: a cheap handle to share between tasks. It serves no connections until an adapter
/// connects sockets to it. Several can run in one process; there is no global state.
#[derive(Clone)]
pub struct Server(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) core: Mutex<Core>,
    pub(crate) options: Options,
    pub(crate) handlers: Vec<Handler>,
    pub(crate) request_handlers: Vec<RequestHandler>,
    pub(crate) env: Arc<dyn Environment>,
    pub(crate) timers: TimerQueue,
    pub(crate) flush_pool: FlushPool,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) budget: Arc<MemoryBudget>,
    pub(crate) warnings: Warnings,
}

impl Server {
    /// Returns a builder with roomer's defaults.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn new(
        hub: Hub,
        cluster: Option<ClusterState>,
        options: Options,
        (handlers, request_handlers): (Vec<Handler>, Vec<RequestHandler>),
        env: Arc<dyn Environment>,
    ) -> Self {
        // Not negative: the builder requires a budget above that of the history.
        let budget = options.memory_budget - options.history_budget;
        let budget = Arc::new(MemoryBudget::new(budget, options.water_marks()));
        let flush_pool = FlushPool::new(options.flush.chunk);
        let mut core = Core::new(hub, !options.hooks.is_empty(), cluster);
        core.outbound.compression = CompressionRules::new(&options.compression);
        Server(Arc::new(Inner {
            core: Mutex::new(core),
            options,
            handlers,
            request_handlers,
            env,
            timers: TimerQueue::default(),
            flush_pool,
            lifecycle: Lifecycle::default(),
            budget,
            warnings: Warnings::default(),
        }))
    }

    /// Starts serving a connection. Spawn the returned future; it ends when the connection does, and
    /// dropping it ends the connection.
    pub fn connect(&self, transport: impl Transport, peer: Option<SocketAddr>) -> Connection {
        Connection::new(self.clone(), transport, peer)
    }

    /// Runs the timers of all connections, with the runtime's `sleep`. Spawn it once; it never
    /// returns.
    pub async fn run_timers<S: Future>(&self, sleep: impl Fn(Duration) -> S) {
        self.0.timers.run(|| self.now(), sleep, || self.flush()).await;
    }

    /// Closes all connections at once with 1001 (extended clients with 1012 and a hint,
    /// [`Builder::retry_window`]), each after the messages queued for it, and rejects
    /// new ones. [`drain`](Self::drain) closes them gradually.
    pub fn shutdown(&self) {
        // First: a connection that opens now either sees this or is in the table that is read
        // below.
        self.0.lifecycle.close();
        let keys: Vec<ConnKey> = self.core().outbound.writers.keys().collect();
        trace::closing(keys.len());
        // Under a lock of its own for each, so that other tasks get their turn. The key of a
        // connection that ends meanwhile is stale, and nothing happens for it.
        for conn in keys {
            self.core().close_for_shutdown(self.now(), conn, self.options().retry_window);
            self.flush_unless_in_callback();
        }
        // Wakes pending handshakes, which then see that the server is closing.
        self.0.timers.fire_all();
    }

    /// Records that the system could not accept the next connection, for example because too many
    /// files are open. An adapter then waits briefly and accepts again.
    pub fn record_accept_error(&self, error: &io::Error) {
        self.core().counts.accept_errors += 1;
        trace::record_accept_error(error);
        self.warn_hook(WarningCause::AcceptFailed { error: error.to_string() });
    }

    /// Waits until no connection is left.
    pub async fn drained(&self) {
        poll_fn(|cx| self.0.lifecycle.poll_empty(cx)).await;
    }

    /// Returns how long [`drained`](Self::drained) can take after [`shutdown`](Self::shutdown).
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        self.options().close_timeout + Duration::from_secs(1)
    }

    /// Returns how long a handshake may take ([`handshake_timeout`](Builder::handshake_timeout)), for
    /// callers that await [`upgrade_async`](Self::upgrade_async).
    #[must_use]
    pub fn handshake_timeout(&self) -> Duration {
        self.options().handshake_timeout
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(crate) fn now(&self) -> Duration {
        self.0.env.now()
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.0.lifecycle.is_closing()
    }

    pub(crate) fn handler(&self, key: HandlerKey) -> Option<&Handler> {
        self.0.handlers.get(key.index())
    }

    pub(crate) fn request_handler(&self, key: HandlerKey) -> Option<&RequestHandler> {
        self.0.request_handlers.get(key.index())
    }

    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        lock(&self.0.core)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("stats", &self.stats()).finish()
    }
}

//! State shared by one server's tasks and handles.
//!
//! After a task has changed this state, [`flush`](crate::outbound::flush) writes the queued output,
//! and [`run_hooks`](Shared::run_hooks) calls the application.

mod submit_command;

use std::sync::Arc;
use std::time::Duration;

use roomer_hub::{HandlerKey, Hub};

use crate::app::monitor::Monitor;
use crate::callbacks::handler::{Handler, RequestHandler};
use crate::cluster::ClusterState;
use crate::core::Core;
use crate::env::Environment;
use crate::handshake::ServerHandshake;
use crate::lifecycle::Lifecycle;
use crate::metrics::warning::Warnings;
use crate::options::Options;
use crate::outbound::budget::MemoryBudget;
use crate::outbound::compressed::CompressionRules;
use crate::outbound::flush_pool::FlushPool;
use crate::sync::{Mutex, MutexGuard, lock};
use crate::timer::TimerQueue;

pub(crate) struct Shared {
    core: Mutex<Core>,
    options: Options,
    handlers: Vec<Handler>,
    request_handlers: Vec<RequestHandler>,
    pub(crate) env: Arc<dyn Environment>,
    pub(crate) timers: TimerQueue,
    pub(crate) flush_pool: FlushPool,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) budget: Arc<MemoryBudget>,
    pub(crate) warnings: Warnings,
}

impl Shared {
    pub(crate) fn new(
        hub: Hub,
        cluster: Option<ClusterState>,
        mut options: Options,
        (handlers, request_handlers): (Vec<Handler>, Vec<RequestHandler>),
        env: Arc<dyn Environment>,
    ) -> Self {
        // This cannot underflow: the builder requires the memory budget to exceed the histories'
        // part.
        let budget = options.memory_budget - options.history_budget;
        let budget = Arc::new(MemoryBudget::new(budget, options.water_marks()));
        let flush_pool = FlushPool::new(options.flush.chunk);
        let mut core = Core::new(hub, !options.hooks.is_empty(), cluster);
        core.outbound.compression = CompressionRules::new(&options.handshake.compression);
        core.sessions.window = options.resume_window;
        let hook = options.on_warning.take();
        let warnings = Warnings::new(hook, options.monitor.clone(), env.clone());
        Shared {
            core: Mutex::new(core),
            options,
            handlers,
            request_handlers,
            env,
            timers: TimerQueue::default(),
            flush_pool,
            lifecycle: Lifecycle::default(),
            budget,
            warnings,
        }
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn now(&self) -> Duration {
        self.env.now()
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.lifecycle.is_closing()
    }

    pub(crate) fn handler(&self, key: HandlerKey) -> Option<&Handler> {
        self.handlers.get(key.index())
    }

    pub(crate) fn request_handler(&self, key: HandlerKey) -> Option<&RequestHandler> {
        self.request_handlers.get(key.index())
    }

    pub(crate) fn monitor(&self) -> &Monitor {
        &self.options.monitor
    }

    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        lock(&self.core)
    }

    /// Returns the parts needed to accept or reject requests.
    pub(crate) fn handshake(&self) -> ServerHandshake<'_> {
        ServerHandshake {
            options: &self.options.handshake,
            has_sessions: self.options.extended && !self.options.echo,
            monitor: &self.options.monitor,
            lifecycle: &self.lifecycle,
            warnings: &self.warnings,
            core: &self.core,
            env: &*self.env,
        }
    }

    /// Returns true if the server accepts new connections; see
    /// [`Server::is_ready`](crate::Server::is_ready).
    pub(crate) fn is_ready(&self) -> bool {
        let max = self.options.handshake.admission.connections.total;
        self.lifecycle.is_open()
            && self.is_formed()
            && self.lifecycle.with_counts(|counts| counts.connections < max)
    }

    /// Returns false while the server waits for its cluster before it serves clients.
    fn is_formed(&self) -> bool {
        let Some(options) = &self.options.cluster else { return true };
        let core = self.core();
        let machine = core.cluster.as_ref().map(|state| &state.machine);
        machine.is_none_or(|machine| {
            machine.is_formed(self.now()) && (machine.is_up() || !options.ready_needs_broker)
        })
    }
}

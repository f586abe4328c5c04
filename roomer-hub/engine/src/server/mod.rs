//! The public handle of a server.

mod control;
mod start;

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use roomer_hub::{Command, ConnKey, HandlerKey, Hub};
use roomer_proto::close;

use crate::app::handler::Handler;
use crate::builder::Builder;
use crate::builder::options::Options;
use crate::connection::Connection;
use crate::core::{Core, Work};
use crate::env::Environment;
use crate::lifecycle::Life;
use crate::metrics::trace;
use crate::metrics::warning::{WarningCause, Warnings};
use crate::outbound::budget::Budget;
use crate::outbound::flush_pool::{Crew, Job};
use crate::outbound::outbox::Link;
use crate::sync::{Mutex, MutexGuard, lock};
use crate::timer::Alarms;
use crate::transport::{Reader, Writer};

/// A room server: a cheap handle to share between tasks. It serves nobody until an adapter
/// connects sockets to it. Several can live in one process; nothing is global.
#[derive(Clone)]
pub struct Server(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) core: Mutex<Core>,
    pub(crate) options: Options,
    pub(crate) handlers: Vec<Handler>,
    pub(crate) env: Arc<dyn Environment>,
    pub(crate) alarms: Alarms,
    pub(crate) crew: Crew,
    pub(crate) life: Life,
    pub(crate) budget: Arc<Budget>,
    pub(crate) warnings: Warnings,
}

impl Server {
    /// Starts with roomer's defaults.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn new(
        hub: Hub,
        options: Options,
        handlers: Vec<Handler>,
        env: Arc<dyn Environment>,
    ) -> Self {
        let budget = Arc::new(Budget::new(options.memory_budget));
        let crew = Crew::new(options.flush.handful);
        Server(Arc::new(Inner {
            core: Mutex::new(Core::new(hub, !options.hooks.is_empty())),
            options,
            handlers,
            env,
            alarms: Alarms::default(),
            crew,
            life: Life::default(),
            budget,
            warnings: Warnings::default(),
        }))
    }

    /// Takes a connection into care. Spawn the future that this returns; it ends when the
    /// connection does, and dropping it ends the connection.
    pub fn connect<R: Reader>(
        &self,
        reader: R,
        writer: impl Writer,
        peer: Option<SocketAddr>,
    ) -> Connection<R> {
        Connection::new(self.clone(), reader, writer, peer)
    }

    /// Keeps time for all connections, with the runtime's way to sleep. Spawn it once; it never
    /// ends.
    pub async fn run_timers<S: Future>(&self, sleep: impl Fn(Duration) -> S) {
        self.0.alarms.keep(|| self.now(), sleep, || self.flush()).await;
    }

    /// Takes part in large broadcasts for ever. On a runtime with several threads, spawn it once
    /// per thread; elsewhere it has nothing to do.
    pub async fn run_flush_worker(&self) {
        // Whoever settles a job comes back for what has been said meanwhile.
        let mut owes = false;
        poll_fn(|cx| {
            owes = (owes || self.0.crew.job().is_some()) && self.flush();
            if owes || !self.0.crew.rest(cx) {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    }

    /// Closes every connection with 1001, after what it is still owed, all at once, and takes no
    /// new ones. [`drain`](Self::drain) does it gently.
    pub fn shutdown(&self) {
        self.0.life.close();
        let keys: Vec<ConnKey> = self.core().links.keys().collect();
        trace::closing(keys.len());
        for conn in keys {
            self.command(Command::close(conn, &close::SHUTDOWN));
        }
        // Handshakes under way look at their clock, and find that they are over.
        self.0.alarms.ring_all();
    }

    /// Takes note that the system refused to give an adapter the next connection: too many open
    /// files, say. An adapter waits a little then, and asks again.
    pub fn record_accept_error(&self, error: &io::Error) {
        self.core().counts.accept_errors += 1;
        trace::record_accept_error(error);
        self.warn_beside_trace(WarningCause::AcceptFailed { error: error.to_string() });
    }

    /// Waits until no connection is left.
    pub async fn drained(&self) {
        poll_fn(|cx| self.0.life.poll_empty(cx)).await;
    }

    /// How long [`drained`](Self::drained) can take after [`shutdown`](Self::shutdown).
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        self.options().close_timeout + Duration::from_secs(1)
    }

    /// How long a handshake may take ([`handshake_timeout`](Builder::handshake_timeout)), for those
    /// who await [`upgrade_async`](Self::upgrade_async).
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
        self.0.life.is_closing()
    }

    pub(crate) fn handler(&self, key: HandlerKey) -> Option<&Handler> {
        self.0.handlers.get(key.index())
    }

    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        lock(&self.0.core)
    }

    pub(crate) fn send_frame(&self, conn: ConnKey, frame: Vec<u8>) -> bool {
        let taken = self.core().send(conn, frame);
        self.flush_outside_turn();
        taken
    }

    pub(crate) fn flush_outside_turn(&self) {
        if TURN.get() != self.token() && self.flush() {
            self.0.alarms.call_keepers();
        }
    }

    /// Writes what waits to be written, as much as one turn may, and tells the application what
    /// has happened. True when the caller has to come back for more once others have had their
    /// turn.
    pub(crate) fn flush(&self) -> bool {
        // A large flush under way comes first; what the caller wants written is not in it.
        if let Some(job) = self.0.crew.job()
            && self.toil(&job)
        {
            return true;
        }
        let mut more = false;
        loop {
            let mut core = self.core();
            let work = core.take(true);
            let is_news = core.wire.begin();
            drop(core);
            more |= self.write(work);
            if !is_news {
                return more;
            }
            self.tell();
        }
    }

    /// Writes, with no lock held; a large flush only in part. True as for [`flush`](Self::flush).
    pub(crate) fn write(&self, work: Work) -> bool {
        let more = self.write_work(work);
        self.shed() || more
    }

    pub(crate) fn write_work(&self, work: Work) -> bool {
        if work.links.len() > self.options().flush.turn {
            let job = self.0.crew.post(work);
            return self.toil(&job);
        }
        let jams = write_to(&work.links);
        if jams.is_empty() && !work.has_rooms() {
            return false;
        }
        let mut core = self.core();
        core.jams.extend(jams);
        core.settle_up(&work)
    }

    /// Does a turn's share of a large flush. True as for [`flush`](Self::flush).
    pub(crate) fn toil(&self, job: &Job) -> bool {
        let mut jams = Vec::new();
        let mut left = self.options().flush.turn;
        while left > 0
            && let Some(handful) = job.take()
        {
            left = left.saturating_sub(handful.len());
            jams.append(&mut write_to(&job.work.links[handful]));
        }
        let settles = job.settle();
        let mut more = false;
        if settles || !jams.is_empty() {
            let mut core = self.core();
            core.jams.extend(jams);
            more = settles && core.settle_up(&job.work);
        }
        more || self.0.crew.job().is_some()
    }

    /// Runs code of the application's as part of a turn: what it has sent is left to the turn to
    /// flush.
    pub(crate) fn in_turn<T>(&self, run: impl FnOnce() -> T) -> T {
        let outer = TURN.replace(self.token());
        let result = run();
        TURN.set(outer);
        result
    }

    /// What tells this server from others in this process.
    pub(crate) fn token(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

/// Writes to each connection and returns those that have come to be owed too much.
fn write_to(links: &[(ConnKey, Arc<Link>)]) -> Vec<ConnKey> {
    let jammed = links.iter().filter(|(_, link)| link.flush());
    jammed.map(|(conn, _)| *conn).collect()
}

thread_local! {
    /// The server in one of whose connections' turns this thread is running a handler.
    static TURN: Cell<usize> = const { Cell::new(0) };
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("stats", &self.stats()).finish()
    }
}

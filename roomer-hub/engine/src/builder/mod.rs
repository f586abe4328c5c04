//! The builder: collects handlers and options, checks them, and creates the server.

mod admission;
mod application;
mod check;
mod cluster;
#[cfg(feature = "deflate")]
mod deflate;
mod error;
mod history;
mod info;
mod limits;
mod rates;
mod requests;
mod session;
#[cfg(test)]
mod tests;
mod timeouts;

use std::fmt;
use std::marker::PhantomData;
use std::mem::discriminant;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roomer_hub::{Config, HashKey, History, Hub, Presence};

pub use self::error::BuildError;
use crate::Server;
use crate::app::call::HandlerError;
#[cfg(feature = "audit")]
use crate::app::monitor::HandlerMonitor;
use crate::callbacks::handler::{Callback, Handler, RequestHandler};
use crate::cluster::{Cluster, ClusterState};
use crate::env::available_memory;
use crate::env::{Environment, SystemEnvironment};
use crate::handshake::options::Page;
use crate::handshake::origin::Origins;
use crate::handshake::pages::encoded;
use crate::lifecycle::admission::AdmissionLimits;
use crate::options::{LONGEST, Options};
#[cfg(feature = "audit")]
use crate::outbound::flush_pool::Flush;
use crate::shared::Shared;

/// Collects handlers and options; [`build`](Builder::build) checks them and creates the server.
///
/// ```
/// # use roomer_engine as roomer_tokio;
/// use roomer_tokio::Server; // or roomer_smol
///
/// let server = Server::builder()
///     .on("chat", |conn, message| {
///         conn.send_to_room(message.room, "chat", message.payload);
///         Ok(())
///     })
///     .max_message(64 * 1024)
///     .build()?;
/// # Ok::<(), roomer_engine::BuildError>(())
/// ```
///
/// `Duration::MAX` means no limit; times above a century are reduced to a century.
#[must_use = "a builder does nothing until `build` is called"]
pub struct Builder<E = HandlerError> {
    config: Config,
    options: Options,
    handlers: Vec<(String, Handler)>,
    request_handlers: Vec<(String, RequestHandler)>,
    presences: Vec<(String, Presence)>,
    away_rooms: Vec<String>,
    histories: Vec<(String, History)>,
    max_history: Option<usize>,
    /// The first invalid argument passed to a method, returned by [`build`](Builder::build).
    error: Option<BuildError>,
    // Options whose defaults depend on other options: `None` until they are set.
    ping_interval: Option<Duration>,
    max_handshakes_per_address: Option<usize>,
    max_connections_per_address: Option<usize>,
    memory_budget: Option<usize>,
    extended: Option<bool>,
    compat: bool,
    env: Option<Box<dyn Environment>>,
    error_type: PhantomData<fn(E)>,
}

impl Server {
    /// Returns a builder with roomer's defaults.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl Default for Builder {
    fn default() -> Self {
        Builder::new()
    }
}

impl Builder {
    /// Creates a builder with roomer's defaults: the Go original's protocol with its security holes
    /// closed.
    pub fn new() -> Self {
        Builder {
            config: Config::default(),
            options: Options::default(),
            handlers: Vec::new(),
            request_handlers: Vec::new(),
            presences: Vec::new(),
            away_rooms: Vec::new(),
            histories: Vec::new(),
            max_history: None,
            error: None,
            ping_interval: None,
            max_handshakes_per_address: None,
            max_connections_per_address: None,
            memory_budget: None,
            extended: None,
            compat: false,
            env: None,
            error_type: PhantomData,
        }
    }
}

impl<E> Builder<E> {
    /// Changes the rules to the Go original's: clients may send to rooms that they are not in, a
    /// repeated join is announced again, text messages are accepted as packets, pages from any
    /// origin may connect unless [`allow_origin`](Self::allow_origin) is also called, and the
    /// extended protocol is off unless [`extended`](Self::extended) is called. Regardless of this
    /// option, the six reserved events are never forwarded, names must be UTF-8, and a malformed
    /// packet is answered with a close frame.
    pub fn compat(mut self) -> Self {
        // `build` applies these settings, so the order of calls does not matter.
        self.compat = true;
        self
    }

    /// Sets which presence events a room's members receive. `pattern` is a room's name, or a name
    /// prefix followed by `*`; the first matching pattern applies. Default: [`Presence::Full`], as
    /// in the Go original, which sends a notice for each pair of members. With more than a few
    /// thousand connections, choose another value for `root`.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::{Presence, Server}; // or roomer_smol
    ///
    /// let server = Server::builder()
    ///     .presence("root", Presence::Off)
    ///     .presence("stadium:*", Presence::Count)
    ///     .build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    pub fn presence(mut self, pattern: impl Into<String>, presence: Presence) -> Self {
        self.presences.push((pattern.into(), presence));
        self
    }

    /// Makes the server a node in a cluster whose rooms span all nodes. Run the link to the broker
    /// with the adapter's `cluster` or with [`Server::run_cluster`]; the server serves its own
    /// clients whether or not the link is up.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::{Cluster, Server}; // or roomer_smol
    ///
    /// let server = Server::builder().cluster(Cluster::named("chat")).build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    pub fn cluster(mut self, cluster: Cluster) -> Self {
        self.options.cluster = Some(cluster);
        self
    }

    /// Sets the WebSocket's path. Default `/ws`. Characters that browsers percent-encode may be written
    /// as they are: `/é` is also `/%C3%A9`.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.options.handshake.path = encoded(&path.into());
        self.options.handshake.chosen.path = true;
        self
    }

    /// Serves a page over HTTP, for servers that deliver their own front end. If `path` ends with a
    /// slash, requests for the path without the slash are redirected.
    pub fn page(
        mut self,
        path: impl Into<String>,
        content_type: impl Into<String>,
        body: impl Into<Bytes>,
    ) -> Self {
        let page = Page { content_type: content_type.into(), body: body.into() };
        self.options.handshake.pages.insert(encoded(&path.into()), page);
        self
    }

    /// Creates a WebSocket echo server instead of a room server: each message, including text, is
    /// returned unchanged. For WebSocket conformance tests.
    #[doc(hidden)]
    pub fn echo(mut self) -> Self {
        self.options.echo = true;
        self
    }

    /// Sets the source of time and randomness, for simulations. Default: [`SystemEnvironment`].
    pub fn environment(mut self, env: impl Environment) -> Self {
        self.env = Some(Box::new(env));
        self
    }

    /// Sets the maximum number of connections that a task writes to in one poll, and the number
    /// that a worker takes from a larger flush at a time. Default 256 and 32. Simulations lower
    /// both to reach these paths with few connections.
    #[cfg(feature = "audit")]
    pub fn flush_sizes(mut self, max_per_poll: usize, chunk: usize) -> Self {
        self.options.flush = Flush { max_per_poll: max_per_poll.max(1), chunk: chunk.max(1) };
        self
    }

    /// Reports panics, errors and pending futures in application code to `monitor`. For tests.
    #[cfg(feature = "audit")]
    pub fn monitor(mut self, monitor: HandlerMonitor) -> Self {
        self.options.monitor = monitor.into();
        self
    }

    /// Sets a rule or a hook of the application. Records an error if the other form, synchronous or
    /// asynchronous, is already set, since one of the two would be silently ignored.
    fn set<T>(
        &mut self,
        slot: impl FnOnce(&mut Options) -> &mut Option<Callback<T>>,
        callback: Callback<T>,
        methods: (&'static str, &'static str),
    ) {
        let slot = slot(&mut self.options);
        let is_same = slot.as_ref().is_none_or(|old| discriminant(old) == discriminant(&callback));
        *slot = Some(callback);
        if !is_same {
            self.fail(BuildError::Exclusive(methods.0, methods.1));
        }
    }

    /// Records an invalid argument, unless one has been recorded already.
    fn fail(&mut self, error: BuildError) {
        self.error.get_or_insert(error);
    }

    fn with_error_type<N>(self) -> Builder<N> {
        Builder {
            // Move field by field, since the type parameter changes.
            config: self.config,
            options: self.options,
            handlers: self.handlers,
            request_handlers: self.request_handlers,
            presences: self.presences,
            away_rooms: self.away_rooms,
            histories: self.histories,
            max_history: self.max_history,
            error: self.error,
            ping_interval: self.ping_interval,
            max_handshakes_per_address: self.max_handshakes_per_address,
            max_connections_per_address: self.max_connections_per_address,
            memory_budget: self.memory_budget,
            extended: self.extended,
            compat: self.compat,
            env: self.env,
            error_type: PhantomData,
        }
    }

    /// Checks all options and creates the server.
    ///
    /// # Errors
    ///
    /// Returns a [`BuildError`] if an option is invalid, or contradicts another one. Its text names
    /// the builder method to change.
    pub fn build(mut self) -> Result<Server, BuildError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        check::room_patterns(&self)?;
        let env = self.env.take().unwrap_or_else(|| Box::new(SystemEnvironment::new()));
        self.resolve_defaults(&*env);
        let Builder { mut config, mut options, handlers, request_handlers, .. } = self;
        let (presences, histories) = (self.presences, self.histories);
        let hub_limits = &mut options.hub_limits;
        (hub_limits.name, hub_limits.rooms) = (config.max_name, config.max_rooms);
        (hub_limits.info, hub_limits.requests) = (config.max_info, config.max_requests);
        check::check(&options, &config)?;
        // Without a rule, the hub does not request permission, which saves a lookup for each
        // packet.
        config.authorize_join = options.rules.join.is_some();
        config.authorize_publish = options.rules.publish.is_some();
        config.authorize_direct = options.rules.direct.is_some();
        config.authorize_info = options.rules.info.is_some();
        // Keep the order of these draws: it determines which run a simulation's seed produces.
        let key = HashKey(env.random());
        if !histories.is_empty() {
            config.first_epoch = u128::from_le_bytes(env.random()) as u64;
            config.max_history = options.history_budget;
        }
        let mut hub = Hub::new(config, key);
        // A message to an ordered room is numbered when it is sent, but its position in the room's
        // order is decided later, so it cannot be kept. Add the ordered rooms' patterns before the
        // histories' patterns, since the first pattern that matches a name applies.
        let ordered = options.cluster.iter().flat_map(Cluster::ordered_rooms);
        for pattern in ordered.filter(|_| !histories.is_empty()) {
            hub.add_history(pattern, History::last(0));
        }
        for (pattern, history) in &histories {
            hub.add_history(pattern, *history);
        }
        for (pattern, presence) in &presences {
            hub.set_presence(pattern, *presence);
        }
        self.away_rooms.iter().for_each(|pattern| hub.announce_away(pattern));
        // The hub numbers events from zero in order of registration, so a handler's index is its key.
        let mut callbacks = Vec::with_capacity(handlers.len());
        for (event, handler) in handlers {
            hub.register(&event)?;
            callbacks.push(handler);
        }
        let mut request_callbacks = Vec::with_capacity(request_handlers.len());
        for (event, handler) in request_handlers {
            hub.register_request(&event)?;
            request_callbacks.push(handler);
        }
        let callbacks = (callbacks, request_callbacks);
        let cluster = match &options.cluster {
            Some(cluster) => Some(ClusterState::new(self::cluster::machine(
                cluster, &options, &config, &presences, &*env,
            )?)),
            None => None,
        };
        Ok(Server(Arc::new(Shared::new(hub, cluster, options, callbacks, Arc::from(env)))))
    }

    /// Applies `compat`, `extended` and `echo`, each of which changes several options. Calls to
    /// `allow_origin` and `extended` take precedence over `compat`.
    fn apply_modes(&mut self) {
        let options = &mut self.options;
        if self.compat {
            let compat = Config::compat();
            self.config.members_only = compat.members_only;
            self.config.announce_rejoin = compat.announce_rejoin;
            if matches!(options.handshake.origins, Origins::SameHost) {
                options.handshake.origins = Origins::Any;
            }
        }
        let extended = self.extended.unwrap_or(!self.compat);
        (self.config.extended, options.extended) = (extended, extended);
        options.accept_text = self.compat || options.echo;
        if options.echo {
            // The Autobahn test suite splits 4 MiB into fragments of 64 bytes.
            options.limits.max_fragments = u32::MAX;
            if cfg!(feature = "deflate") {
                options.handshake.compression.push(("*".into(), 0));
            }
        }
    }

    /// Fills in the defaults that depend on other options.
    fn resolve_defaults(&mut self, env: &dyn Environment) {
        self.apply_modes();
        let options = &mut self.options;
        options.bound_times();
        let ping_interval = self.ping_interval.unwrap_or(options.pong_timeout / 10 * 9);
        options.ping_interval = ping_interval.min(LONGEST);
        // Lower a default limit per address to the total. A limit set by the caller is checked
        // against the total instead.
        let AdmissionLimits { handshakes, connections } = &mut options.handshake.admission;
        for (limit, chosen) in [
            (handshakes, self.max_handshakes_per_address),
            (connections, self.max_connections_per_address),
        ] {
            limit.per_address = chosen.unwrap_or(limit.per_address.min(limit.total));
        }
        options.handshake.chosen.max_handshakes_per_address =
            self.max_handshakes_per_address.is_some();
        options.handshake.chosen.max_connections_per_address =
            self.max_connections_per_address.is_some();
        options.memory_budget = self.memory_budget.unwrap_or_else(|| {
            available_memory::budget(env.available_memory(), options.water_marks().max)
        });
        // Set the history budget last, since it depends on the memory budget.
        self.options.history_budget = self.history_budget();
    }
}

impl<E> fmt::Debug for Builder<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events: Vec<_> = self.handlers.iter().map(|(event, _)| event).collect();
        f.debug_struct("Builder").field("events", &events).finish_non_exhaustive()
    }
}

//! How a server is put together.

mod admission;
mod application;
mod error;
pub(crate) mod options;
mod rates;

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use self::error::BuildError;
use crate::Server;
use crate::app::handler::{Handler, HandlerError};
#[cfg(feature = "audit")]
use crate::app::monitor::HandlerMonitor;
use crate::builder::options::{Options, Page};
use crate::env::{Environment, System};
use crate::handshake::origin::Origins;
use crate::lifecycle::admission::AdmissionLimits;
use crate::outbound::available_memory;
#[cfg(feature = "audit")]
use crate::outbound::flush_pool::Flush;
use roomer_hub::HashKey;
use roomer_hub::Hub;
use roomer_hub::{Config, Presence};

/// Collects handlers and options; [`build`](Builder::build) checks them all at once.
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
#[must_use]
pub struct Builder<E = HandlerError> {
    config: Config,
    options: Options,
    handlers: Vec<(String, Handler)>,
    ping_interval: Option<Duration>,
    bad_origin: Option<String>,
    memberships: Vec<(String, Presence)>,
    bad_proxy: Option<String>,
    bad_subprotocol: Option<String>,
    /// The method that was given a rate of zero.
    bad_rate: Option<&'static str>,
    max_handshakes_per_address: Option<usize>,
    max_connections_per_address: Option<usize>,
    /// The first of two options that exclude each other, and the second.
    exclusive: Option<(&'static str, &'static str)>,
    memory_budget: Option<usize>,
    env: Option<Box<dyn Environment>>,
    error: PhantomData<fn(E)>,
}

impl Default for Builder {
    fn default() -> Self {
        Builder::new()
    }
}

impl Builder {
    /// roomer's defaults: the wire of the Go original with its holes closed.
    pub fn new() -> Self {
        Builder {
            config: Config::default(),
            options: Options::default(),
            handlers: Vec::new(),
            ping_interval: None,
            bad_origin: None,
            memberships: Vec::new(),
            bad_proxy: None,
            bad_subprotocol: None,
            bad_rate: None,
            max_handshakes_per_address: None,
            max_connections_per_address: None,
            exclusive: None,
            memory_budget: None,
            env: None,
            error: PhantomData,
        }
    }
}

impl<E> Builder<E> {
    /// Changes the rules to the Go original's: strangers may send into a room, a repeated join is
    /// announced again, text messages are taken as packets, pages of any origin may connect.
    /// Still the six reserved events never pass, names must be UTF-8, and a malformed packet gets
    /// a close frame.
    pub fn compat(mut self) -> Self {
        let compat = Config::compat();
        self.config.members_only = compat.members_only;
        self.config.announce_rejoin = compat.announce_rejoin;
        self.options.accept_text = true;
        self.options.origins = Origins::Any;
        self
    }

    /// Decides what the members of a room hear of each other. `pattern` is a room's name, or the
    /// beginning of names with a `*` behind; the first pattern that fits counts. Default: all of
    /// it, as in the original, which costs bytes for each pair of members; a `root` of more than
    /// some thousand connections wants another.
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
        self.memberships.push((pattern.into(), presence));
        self
    }

    /// The path of the WebSocket. Default `/ws`.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.options.path = path.into();
        self.options.chosen.path = true;
        self
    }

    /// Serves a page over plain HTTP, for servers that bring their own front end. Without the
    /// slash at its end, the path of such a page is redirected to it.
    pub fn page(
        mut self,
        path: impl Into<String>,
        content_type: impl Into<String>,
        body: impl Into<Bytes>,
    ) -> Self {
        let page = Page { content_type: content_type.into(), body: body.into() };
        self.options.pages.insert(path.into(), page);
        self
    }

    /// The most bytes of one message from a client, inclusive. Default 16 MiB. Above it the
    /// connection is closed with 1009 as soon as the length is announced.
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.options.limits.max_message = bytes;
        self
    }

    /// The most fragments that one message from a client may come in: `count`, and one more for each
    /// `mean` bytes of it. Default 1,024 and 256, so that clients that cut messages into pieces of a
    /// kilobyte may send large ones, and floods of tiny or empty fragments end. Above it the
    /// connection is closed with 1009. A `mean` of 0 allows `count` alone.
    pub fn max_fragments(mut self, count: u32, mean: usize) -> Self {
        self.options.limits.max_fragments = count;
        self.options.limits.mean_fragment = mean;
        self
    }

    /// The most bytes that may wait for one connection, the newest message not counted, before
    /// connections that send to it are held back for moments. Default 1 MiB. A connection that is
    /// over it and takes nothing for a second, or less than half of it in four, is closed with 1013;
    /// in a flood, at three times the backlog, much sooner, so that no sender waits for it. A message
    /// above 64 KiB that is on its way is not counted here: it may take a slow link as long as it
    /// takes, if it moves ([`write_timeout`](Self::write_timeout)). Above four
    /// times the backlog, or the backlog and [`max_message`](Self::max_message) if that is more, it
    /// is closed at once.
    pub fn max_backlog(mut self, bytes: usize) -> Self {
        self.options.max_backlog = bytes;
        self
    }

    /// The most bytes that all connections together may hold in memory: what waits to be written,
    /// and messages that have not come in whole. A buffer that many wait for counts once. Default
    /// a quarter of the memory that there is for the process, by the machine and the process's
    /// control groups ([`Environment::memory`]), at most 1 GiB; the rest is for the connections
    /// themselves, the system's buffers and the application.
    /// [`Server::memory_budget`](crate::Server::memory_budget) tells it. Above it those who hold most are closed with 1013, the worst first, until an eighth
    /// of it is free; one that cannot even take its close frame is cut.
    ///
    /// What the system buffers for sockets comes on top of it, as does what one turn queues before
    /// it writes.
    pub fn memory_budget(mut self, bytes: usize) -> Self {
        self.memory_budget = Some(bytes);
        self
    }

    /// The most rooms that one connection may be in, `root` included. Default 1,100. A join above
    /// it is answered with `leave_ack`.
    pub fn max_rooms(mut self, rooms: usize) -> Self {
        self.config.max_rooms = rooms;
        self
    }

    /// The most bytes of a room's or an event's name. Default 4,096.
    pub fn max_name(mut self, bytes: usize) -> Self {
        self.config.max_name = bytes;
        self
    }

    /// How often clients are pinged. Default nine tenths of the [`pong_timeout`](Self::pong_timeout),
    /// 54 s.
    pub fn ping_interval(mut self, period: Duration) -> Self {
        self.ping_interval = Some(period);
        self
    }

    /// How long a client may be silent before it is closed with 1013: the network is gone, or the
    /// client's machine sleeps. Any traffic is a sign of life: a byte that comes in, be it of a
    /// message that is not complete, and bytes that a full socket takes again. Default 60 s.
    pub fn pong_timeout(mut self, wait: Duration) -> Self {
        self.options.pong_timeout = wait;
        self
    }

    /// How long a client may take nothing of what waits for it. Default 10 s.
    pub fn write_timeout(mut self, wait: Duration) -> Self {
        self.options.write_timeout = wait;
        self
    }

    /// How long a handshake may take as a whole. Default 10 s.
    pub fn handshake_timeout(mut self, wait: Duration) -> Self {
        self.options.handshake_timeout = wait;
        self
    }

    /// How long a message that has begun to come in may take for each 64 KiB of it, or for the rest.
    /// Default 30 s: a link of 17 kbit/s is fast enough, and a client that sends a byte now and then
    /// does not hold on to memory. A client that is slower is closed with 1013.
    pub fn message_timeout(mut self, wait: Duration) -> Self {
        self.options.message_wait = wait;
        self
    }

    /// How long a connection that is being closed may take nothing of its last bytes, or leave the
    /// server's close frame unanswered. Default 5 s. A slow link that takes them bit by bit has twelve
    /// times as long, a [`drain`](Self::drain) permitting.
    pub fn close_timeout(mut self, wait: Duration) -> Self {
        self.options.close_timeout = wait;
        self
    }

    /// How long messages for a room of more than eight members are collected before they are
    /// written. Default 0: they are written as soon as those who are ready have spoken. A busy
    /// room's messages then share fewer writes, one or a few milliseconds later: CPU time against
    /// latency.
    pub fn coalesce(mut self, delay: Duration) -> Self {
        self.options.coalesce = delay;
        self
    }

    /// Makes a WebSocket echo server instead of a room server: each message goes back as it came,
    /// text included. For conformance tests of the WebSocket layer.
    #[doc(hidden)]
    pub fn echo(mut self) -> Self {
        self.options.echo = true;
        self.options.accept_text = true;
        // Autobahn's suite cuts 4 MiB into pieces of 64 bytes.
        self.options.limits.max_fragments = u32::MAX;
        self
    }

    /// Where time and randomness come from. Default: the system's. For simulations.
    pub fn environment(mut self, env: impl Environment) -> Self {
        self.env = Some(Box::new(env));
        self
    }

    /// How many connections a turn writes to before others have theirs, and how many of a larger
    /// flush a hand takes at a time. Default 256 and 32. For simulations of few connections.
    #[cfg(feature = "audit")]
    pub fn flush_sizes(mut self, max_per_poll: usize, chunk: usize) -> Self {
        self.options.flush = Flush { max_per_poll: max_per_poll.max(1), chunk: chunk.max(1) };
        self
    }

    /// Has a test see what becomes of the application's code: panics, errors, what does not end.
    #[cfg(feature = "audit")]
    pub fn monitor(mut self, monitor: HandlerMonitor) -> Self {
        self.options.monitor = Some(monitor);
        self
    }

    fn with_error_type<N>(self) -> Builder<N> {
        Builder {
            config: self.config,
            options: self.options,
            handlers: self.handlers,
            ping_interval: self.ping_interval,
            bad_origin: self.bad_origin,
            memberships: self.memberships,
            bad_proxy: self.bad_proxy,
            bad_rate: self.bad_rate,
            bad_subprotocol: self.bad_subprotocol,
            max_handshakes_per_address: self.max_handshakes_per_address,
            max_connections_per_address: self.max_connections_per_address,
            exclusive: self.exclusive,
            memory_budget: self.memory_budget,
            env: self.env,
            error: PhantomData,
        }
    }

    /// Checks everything and makes the server.
    ///
    /// # Errors
    ///
    /// [`BuildError`] says what to change.
    pub fn build(self) -> Result<Server, BuildError> {
        let mut options = self.options;
        options.ping_interval = self.ping_interval.unwrap_or(options.pong_timeout / 10 * 9);
        if let Some((first, second)) = self.exclusive {
            return Err(BuildError::Exclusive(first, second));
        }
        // A default gives way to a cap in all that is lower, a choice does not.
        let AdmissionLimits { handshakes, connections } = &mut options.admission;
        for (cap, chosen) in [
            (handshakes, self.max_handshakes_per_address),
            (connections, self.max_connections_per_address),
        ] {
            cap.per_address = chosen.unwrap_or(cap.per_address.min(cap.total));
        }
        options.chosen.max_handshakes_per_address = self.max_handshakes_per_address.is_some();
        options.chosen.max_connections_per_address = self.max_connections_per_address.is_some();
        let env = self.env.unwrap_or_else(|| Box::new(System::new()));
        options.memory_budget = self
            .memory_budget
            .unwrap_or_else(|| available_memory::budget(env.memory(), options.water_marks().max));
        check(&options, &self.config)?;
        rates::check(&self.config, self.bad_rate, options.limits.max_message)?;
        if let Some(origin) = self.bad_origin {
            return Err(BuildError::Origin(origin));
        }
        if let Some(proxy) = self.bad_proxy {
            return Err(BuildError::Proxy(proxy));
        }
        if options.proxy_protocol && options.proxies.is_empty() {
            return Err(BuildError::ProxyProtocol);
        }
        if let Some(name) = self.bad_subprotocol {
            return Err(BuildError::Subprotocol(name));
        }
        let mut config = self.config;
        config.authorize_join = options.rules.join.is_some();
        config.authorize_publish = options.rules.publish.is_some();
        config.authorize_direct = options.rules.direct.is_some();
        let mut hub = Hub::new(config, HashKey(env.random()));
        for (pattern, presence) in &self.memberships {
            hub.set_presence(pattern, *presence);
        }
        let mut handlers = Vec::new();
        for (event, handler) in self.handlers {
            hub.register(&event)?;
            handlers.push(handler);
        }
        Ok(Server::new(hub, options, handlers, Arc::from(env)))
    }
}

fn check(options: &Options, config: &Config) -> Result<(), BuildError> {
    let (ping, pong) = (options.ping_interval, options.pong_timeout);
    let AdmissionLimits { handshakes, connections } = options.admission;
    for (option, is_zero) in [
        ("max_message", options.limits.max_message == 0),
        ("max_fragments", options.limits.max_fragments == 0),
        ("max_backlog", options.max_backlog == 0),
        ("max_rooms", config.max_rooms == 0),
        ("max_name", config.max_name == 0),
        ("max_handshakes", handshakes.total == 0),
        ("max_handshakes_per_address", handshakes.per_address == 0),
        ("max_connections", connections.total == 0),
        ("max_connections_per_address", connections.per_address == 0),
        ("max_connections_per_user", options.max_connections_per_user == 0),
        (
            "drain",
            options.drain_policy().deadline.is_zero() || options.drain_policy().per_second == 0,
        ),
        ("ping_interval", ping.is_zero()),
        ("pong_timeout", pong.is_zero()),
        ("write_timeout", options.write_timeout.is_zero()),
        ("message_timeout", options.message_wait.is_zero()),
        ("handshake_timeout", options.handshake_timeout.is_zero()),
        ("close_timeout", options.close_timeout.is_zero()),
    ] {
        if is_zero {
            return Err(BuildError::Zero { option });
        }
    }
    let (budget, least) = (options.memory_budget, options.water_marks().max);
    if budget < least {
        return Err(BuildError::MemoryBudget { budget, least });
    }
    if ping >= pong {
        return Err(BuildError::PingPeriod { ping, pong });
    }
    for (option, cap) in [("max_handshakes", handshakes), ("max_connections", connections)] {
        let (per_address, total) = (cap.per_address, cap.total);
        if per_address > total {
            return Err(BuildError::PerAddress { option, per_address, total });
        }
    }
    let health = options.health.iter().flat_map(|health| [&health.live, &health.ready]);
    let mut seen = BTreeSet::new();
    for path in options.pages.keys().chain([&options.path]).chain(health) {
        if !path.starts_with('/') {
            return Err(BuildError::Path(path.clone()));
        }
        if !seen.insert(path) {
            return Err(BuildError::SamePath(path.clone()));
        }
    }
    Ok(())
}

impl<E> fmt::Debug for Builder<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events: Vec<_> = self.handlers.iter().map(|(event, _)| event).collect();
        f.debug_struct("Builder").field("events", &events).finish_non_exhaustive()
    }
}

//! What a server was built with.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use roomer_proto::websocket::Limits;

use crate::app::conn::Conn;
use crate::app::handler::{BoxFuture, HandlerError, Rule};
use crate::app::hooks::Hooks;
use crate::app::message::Message;
use crate::handshake::origin::Origins;
use crate::handshake::proxy::Proxies;
use crate::handshake::request::{AuthResult, Request};
use crate::handshake::subprotocol::Subprotocols;
use crate::lifecycle::admission::{Address, AdmissionLimit, AdmissionLimits};
use crate::lifecycle::drain::DrainPolicy;
use crate::metrics::warning::Warning;
use crate::outbound::flush_pool::Flush;
use crate::outbound::outbox::WaterMarks;
use roomer_hub::Permission;

/// How many times the backlog may wait on top of it, if no single message is larger.
const SPARE: usize = 3;

type OnWarning = Box<dyn Fn(&Warning) + Send + Sync>;
type OnError = Box<dyn Fn(&Conn, &Message<'_>, HandlerError) + Send + Sync>;

/// The builder's choices, checked. Each is explained at its method of
/// [`Builder`](crate::Builder).
pub(crate) struct Options {
    pub(crate) path: String,
    pub(crate) pages: BTreeMap<String, Page>,
    pub(crate) health: Option<Health>,
    pub(crate) admission: AdmissionLimits,
    pub(crate) max_connections_per_user: usize,
    pub(crate) drain_policy: Option<DrainPolicy>,
    pub(crate) origins: Origins,
    pub(crate) proxies: Proxies,
    pub(crate) proxy_protocol: bool,
    pub(crate) authorize: Option<Authorize>,
    pub(crate) subprotocols: Subprotocols,
    pub(crate) chosen: Chosen,
    pub(crate) on_warning: Option<OnWarning>,
    pub(crate) on_error: Option<OnError>,
    pub(crate) state: Vec<Box<dyn Any + Send + Sync>>,
    pub(crate) rules: Rules,
    pub(crate) hooks: Hooks,
    pub(crate) limits: Limits,
    pub(crate) accept_text: bool,
    pub(crate) max_backlog: usize,
    pub(crate) memory_budget: usize,
    pub(crate) max_head: usize,
    pub(crate) max_headers: usize,
    pub(crate) ping_interval: Duration,
    pub(crate) pong_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) message_wait: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) coalesce: Duration,
    pub(crate) flush: Flush,
    pub(crate) echo: bool,
    #[cfg(feature = "audit")]
    pub(crate) monitor: Option<crate::HandlerMonitor>,
}

/// Options that were set by the application, and not left at their defaults. What was asked for
/// must hold, or the server says that it does not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chosen {
    pub(crate) path: bool,
    pub(crate) max_handshakes: bool,
    pub(crate) max_handshakes_per_address: bool,
    pub(crate) max_connections_per_address: bool,
}

/// What is asked before a client's packet passes.
#[derive(Default)]
pub(crate) struct Rules {
    pub(crate) join: Option<Rule>,
    pub(crate) publish: Option<Rule>,
    pub(crate) direct: Option<Rule>,
}

impl Rules {
    pub(crate) fn rule(&self, about: Permission) -> Option<&Rule> {
        match about {
            Permission::Join => self.join.as_ref(),
            Permission::Publish => self.publish.as_ref(),
            Permission::Direct => self.direct.as_ref(),
        }
    }
}

/// Who decides about a handshake.
pub(crate) enum Authorize {
    Sync(Box<dyn Fn(&Request) -> AuthResult + Send + Sync>),
    Async(Box<dyn Fn(Request) -> BoxFuture<AuthResult> + Send + Sync>),
}

/// The paths of the health checks.
#[derive(Debug)]
pub(crate) struct Health {
    pub(crate) live: String,
    pub(crate) ready: String,
}

/// Something served over plain HTTP.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) content_type: String,
    pub(crate) body: Bytes,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            path: "/ws".into(),
            pages: BTreeMap::new(),
            health: None,
            admission: AdmissionLimits {
                handshakes: AdmissionLimit { total: 16_384, per_address: 8_192 },
                connections: AdmissionLimit { total: 100_000, per_address: 20_000 },
            },
            max_connections_per_user: usize::MAX,
            drain_policy: None,
            origins: Origins::default(),
            proxies: Proxies::default(),
            proxy_protocol: false,
            authorize: None,
            subprotocols: Subprotocols::default(),
            chosen: Chosen::default(),
            on_warning: None,
            on_error: None,
            state: Vec::new(),
            rules: Rules::default(),
            hooks: Hooks::default(),
            limits: Limits::default(),
            accept_text: false,
            max_backlog: 1024 * 1024,
            memory_budget: 1024 * 1024 * 1024,
            max_head: 16 * 1024,
            max_headers: 100,
            ping_interval: Duration::from_secs(54),
            pong_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            message_wait: Duration::from_secs(30),
            close_timeout: Duration::from_secs(5),
            coalesce: Duration::ZERO,
            flush: Flush::default(),
            echo: false,
            #[cfg(feature = "audit")]
            monitor: None,
        }
    }
}

impl Options {
    /// Whom a socket counts for; nobody where it has no address, or speaks for others.
    pub(crate) fn address(&self, peer: Option<SocketAddr>) -> Option<Address> {
        peer.filter(|peer| !self.proxies.trusts(Some(*peer))).map(|peer| Address::of(peer.ip()))
    }

    /// The option that was chosen and needs the address of each client, if there is one. A
    /// framework that reads the requests itself counts unfinished ones in its own way.
    pub(crate) fn needs_address(&self, is_mounted: bool) -> Option<&'static str> {
        [
            ("max_connections_per_address", self.chosen.max_connections_per_address),
            ("max_handshakes_per_address", self.chosen.max_handshakes_per_address && !is_mounted),
            ("trust_proxy", self.proxies.has_networks()),
        ]
        .into_iter()
        .find_map(|(option, is_chosen)| is_chosen.then_some(option))
    }

    /// Whether a connection begins with a header of the PROXY protocol.
    pub(crate) fn expects_proxy_header(&self, peer: Option<SocketAddr>) -> bool {
        self.proxy_protocol && self.proxies.trusts(peer)
    }

    /// The options that were chosen and have no effect where a framework reads the requests.
    pub(crate) fn not_for_frameworks(&self) -> Vec<&'static str> {
        [
            ("path", self.chosen.path),
            ("page", !self.pages.is_empty()),
            ("health", self.health.is_some()),
            ("proxy_protocol", self.proxy_protocol),
            ("max_handshakes", self.chosen.max_handshakes),
            ("max_handshakes_per_address", self.chosen.max_handshakes_per_address),
        ]
        .into_iter()
        .filter_map(|(option, is_chosen)| is_chosen.then_some(option))
        .collect()
    }

    /// How to drain: by default all at once.
    pub(crate) fn drain_policy(&self) -> DrainPolicy {
        let deadline = self.close_timeout + Duration::from_secs(1);
        self.drain_policy.unwrap_or(DrainPolicy { deadline, per_second: usize::MAX })
    }

    /// What may wait for one connection. Above the hard limit it is closed at once, so there must be
    /// room for what senders bring along before they are held back: the largest message, and
    /// reads full of small ones.
    pub(crate) fn water_marks(&self) -> WaterMarks {
        let high = self.max_backlog;
        let spare = self.limits.max_message.max(high.saturating_mul(SPARE));
        WaterMarks { high, max: high.saturating_add(spare) }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("path", &self.path).finish_non_exhaustive()
    }
}

//! What a server was built with.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use roomer_proto::websocket::Limits;

use super::admission::{Address, Cap, Caps};
use super::conn::Conn;
use super::crew::Flush;
use super::drain::Pace;
use super::handler::{HandlerError, Rule, Run};
use super::hooks::Hooks;
use super::link::Limit;
use super::message::Message;
use super::origin::Origins;
use super::proxy::Proxies;
use super::request::{Request, Verdict};
use super::subprotocol::Subprotocols;
use super::warning::Warning;
use crate::action::Question;

/// How many times the backlog may wait on top of it, if no single message is larger.
const SPARE: usize = 3;

type OnWarning = Box<dyn Fn(&Warning) + Send + Sync>;
type OnError = Box<dyn Fn(&Conn, &Message<'_>, HandlerError) + Send + Sync>;

/// The builder's choices, checked. Each is explained at its method of
/// [`Builder`](super::Builder).
pub(super) struct Options {
    pub(super) path: String,
    pub(super) pages: BTreeMap<String, Page>,
    pub(super) health: Option<Health>,
    pub(super) caps: Caps,
    pub(super) max_connections_per_user: usize,
    pub(super) pace: Option<Pace>,
    pub(super) origins: Origins,
    pub(super) proxies: Proxies,
    pub(super) proxy_protocol: bool,
    pub(super) authorize: Option<Authorize>,
    pub(super) subprotocols: Subprotocols,
    pub(super) chosen: Chosen,
    pub(super) on_warning: Option<OnWarning>,
    pub(super) on_error: Option<OnError>,
    pub(super) state: Vec<Box<dyn Any + Send + Sync>>,
    pub(super) rules: Rules,
    pub(super) hooks: Hooks,
    pub(super) limits: Limits,
    pub(super) accept_text: bool,
    pub(super) max_backlog: usize,
    pub(super) memory_budget: usize,
    pub(super) max_head: usize,
    pub(super) max_headers: usize,
    pub(super) ping_period: Duration,
    pub(super) pong_wait: Duration,
    pub(super) write_wait: Duration,
    pub(super) handshake_wait: Duration,
    pub(super) message_wait: Duration,
    pub(super) close_wait: Duration,
    pub(super) coalesce: Duration,
    pub(super) flush: Flush,
    pub(super) echo: bool,
    #[cfg(feature = "testkit")]
    pub(super) witness: Option<super::Witness>,
}

/// Options that were set by the application, and not left at their defaults. What was asked for
/// must hold, or the server says that it does not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chosen {
    pub(super) path: bool,
    pub(super) max_handshakes: bool,
    pub(super) max_handshakes_per_address: bool,
    pub(super) max_connections_per_address: bool,
}

/// What is asked before a client's packet passes.
#[derive(Default)]
pub(super) struct Rules {
    pub(super) join: Option<Rule>,
    pub(super) publish: Option<Rule>,
    pub(super) direct: Option<Rule>,
}

impl Rules {
    pub(super) fn rule(&self, about: Question) -> Option<&Rule> {
        match about {
            Question::Join => self.join.as_ref(),
            Question::Publish => self.publish.as_ref(),
            Question::Direct => self.direct.as_ref(),
        }
    }
}

/// Who decides about a handshake.
pub(super) enum Authorize {
    Sync(Box<dyn Fn(&Request) -> Verdict + Send + Sync>),
    Async(Box<dyn Fn(Request) -> Run<Verdict> + Send + Sync>),
}

/// The paths of the health checks.
#[derive(Debug)]
pub(super) struct Health {
    pub(super) live: String,
    pub(super) ready: String,
}

/// Something served over plain HTTP.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) content_type: String,
    pub(super) body: Bytes,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            path: "/ws".into(),
            pages: BTreeMap::new(),
            health: None,
            caps: Caps {
                handshakes: Cap { total: 16_384, per_address: 8_192 },
                connections: Cap { total: 100_000, per_address: 20_000 },
            },
            max_connections_per_user: usize::MAX,
            pace: None,
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
            ping_period: Duration::from_secs(54),
            pong_wait: Duration::from_secs(60),
            write_wait: Duration::from_secs(10),
            handshake_wait: Duration::from_secs(10),
            message_wait: Duration::from_secs(30),
            close_wait: Duration::from_secs(5),
            coalesce: Duration::ZERO,
            flush: Flush::default(),
            echo: false,
            #[cfg(feature = "testkit")]
            witness: None,
        }
    }
}

impl Options {
    /// Whom a socket counts for; nobody where it has no address, or speaks for others.
    pub(super) fn address(&self, peer: Option<SocketAddr>) -> Option<Address> {
        peer.filter(|peer| !self.proxies.trusts(Some(*peer))).map(|peer| Address::of(peer.ip()))
    }

    /// The option that was chosen and needs the address of each client, if there is one. A
    /// framework that reads the requests itself counts unfinished ones in its own way.
    pub(super) fn needs_address(&self, is_mounted: bool) -> Option<&'static str> {
        [
            ("max_connections_per_address", self.chosen.max_connections_per_address),
            ("max_handshakes_per_address", self.chosen.max_handshakes_per_address && !is_mounted),
            ("trust_proxy", self.proxies.has_networks()),
        ]
        .into_iter()
        .find_map(|(option, is_chosen)| is_chosen.then_some(option))
    }

    /// Whether a connection begins with a header of the PROXY protocol.
    pub(super) fn announces(&self, peer: Option<SocketAddr>) -> bool {
        self.proxy_protocol && self.proxies.trusts(peer)
    }

    /// The options that were chosen and have no effect where a framework reads the requests.
    pub(super) fn not_for_frameworks(&self) -> Vec<&'static str> {
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
    pub(super) fn pace(&self) -> Pace {
        let deadline = self.close_wait + Duration::from_secs(1);
        self.pace.unwrap_or(Pace { deadline, per_second: usize::MAX })
    }

    /// What may wait for one connection. Above the hard limit it is closed at once, so there must be
    /// room for what senders bring along before they are held back: the largest message, and
    /// reads full of small ones.
    pub(super) fn link_limit(&self) -> Limit {
        let soft = self.max_backlog;
        let spare = self.limits.max_message.max(soft.saturating_mul(SPARE));
        Limit { soft, hard: soft.saturating_add(spare) }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("path", &self.path).finish_non_exhaustive()
    }
}

//! The options of a built server.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use roomer_proto::extended;
use roomer_proto::websocket::Limits;

use crate::Server;
use crate::app::call::{BoxFuture, HandlerError};
use crate::app::message::Message;
use crate::app::monitor::Monitor;
use crate::callbacks::handler::{Callback, Rule};
use crate::callbacks::hooks::Hooks;
use crate::cluster::{Cluster, Gap, PeerEvent};
use crate::handshake::origin::Origins;
use crate::handshake::proxy::Proxies;
use crate::handshake::request::{AuthResult, Request};
use crate::handshake::subprotocol::Subprotocols;
use crate::lifecycle::admission::{Address, AdmissionLimit, AdmissionLimits};
use crate::lifecycle::drain::DrainPolicy;
use crate::metrics::warning::OnWarning;
use crate::outbound::flush_pool::Flush;
use crate::outbound::outbox::WaterMarks;
use crate::server::conn::Conn;
use roomer_hub::Permission;

/// The longest time of an option, a century. Sums of it and the clock do not overflow, and none ends
/// while a server runs.
pub(crate) const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The allowance above the backlog, as a multiple of it, unless a single message may be larger.
const SPARE_FACTOR: usize = 3;

type OnPeer = Box<dyn Fn(&Server, &PeerEvent) + Send + Sync>;
type OnGap = Box<dyn Fn(&Server, &Gap) + Send + Sync>;
type OnError = Box<dyn Fn(&Conn, &Message<'_>, HandlerError) + Send + Sync>;

/// The checked options. Each is documented at its method of [`Builder`](crate::Builder).
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
    pub(crate) on_peer: Option<OnPeer>,
    pub(crate) on_gap: Option<OnGap>,
    pub(crate) on_error: Option<OnError>,
    pub(crate) state: Vec<Box<dyn Any + Send + Sync>>,
    pub(crate) rules: Rules,
    pub(crate) hooks: Hooks,
    pub(crate) limits: Limits,
    pub(crate) accept_text: bool,
    pub(crate) max_backlog: usize,
    pub(crate) memory_budget: usize,
    /// The part of the budget that is set aside for the memories of rooms.
    pub(crate) history_budget: usize,
    pub(crate) max_head: usize,
    pub(crate) max_headers: usize,
    pub(crate) ping_interval: Duration,
    pub(crate) pong_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) message_timeout: Duration,
    pub(crate) extended: bool,
    /// The hub's limits, as `hello` reports them.
    pub(crate) hub_limits: extended::Limits,
    pub(crate) resume_window: Duration,
    pub(crate) resume_buffer: usize,
    pub(crate) max_detached: usize,
    pub(crate) retry_window: Duration,
    pub(crate) renew_login: Option<Callback<AuthResult>>,
    pub(crate) renew_login_before: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) coalesce: Duration,
    pub(crate) cluster: Option<Cluster>,
    /// The rooms whose messages are compressed, and from which length on.
    pub(crate) compression: Vec<(String, usize)>,
    pub(crate) flush: Flush,
    pub(crate) echo: bool,
    pub(crate) monitor: Monitor,
}

/// Options that the application has set, as opposed to defaults. If one of them cannot apply, the
/// server warns or fails, while a default is dropped silently.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chosen {
    pub(crate) path: bool,
    pub(crate) max_handshakes: bool,
    pub(crate) max_handshakes_per_address: bool,
    pub(crate) max_connections_per_address: bool,
}

/// The application's rules for clients' packets.
#[derive(Default)]
pub(crate) struct Rules {
    pub(crate) join: Option<Rule>,
    /// Unlike the others, not asked for by the hub: the engine takes the request out of the join.
    pub(crate) recall: Option<Rule>,
    pub(crate) publish: Option<Rule>,
    pub(crate) direct: Option<Rule>,
    pub(crate) info: Option<Rule>,
}

impl Rules {
    pub(crate) fn rule(&self, permission: Permission) -> Option<&Rule> {
        match permission {
            Permission::Join => self.join.as_ref(),
            Permission::Publish => self.publish.as_ref(),
            Permission::Direct => self.direct.as_ref(),
            Permission::Info => self.info.as_ref(),
        }
    }
}

/// The application's hook that decides about handshakes.
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

/// A page that is served over plain HTTP.
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
            on_peer: None,
            on_gap: None,
            on_error: None,
            state: Vec::new(),
            rules: Rules::default(),
            hooks: Hooks::default(),
            limits: Limits::default(),
            accept_text: false,
            max_backlog: 1024 * 1024,
            memory_budget: 1024 * 1024 * 1024,
            history_budget: 0,
            max_head: 16 * 1024,
            max_headers: 100,
            ping_interval: Duration::from_secs(54),
            pong_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            message_timeout: Duration::from_secs(30),
            extended: true,
            hub_limits: extended::Limits {
                message: 0,
                name: 0,
                rooms: 0,
                info: 0,
                requests: 0,
                message_rate: None,
                byte_rate: None,
                join_rate: None,
            },
            resume_window: Duration::from_secs(30),
            resume_buffer: 256 * 1024,
            max_detached: 20_000,
            retry_window: Duration::from_secs(10),
            renew_login: None,
            renew_login_before: Duration::from_secs(60),
            close_timeout: Duration::from_secs(5),
            coalesce: Duration::ZERO,
            cluster: None,
            compression: Vec::new(),
            flush: Flush::default(),
            echo: false,
            monitor: Monitor::default(),
        }
    }
}

impl Options {
    /// Lowers all times to [`LONGEST`]: `Duration::MAX` stands for no limit.
    pub(crate) fn bound_times(&mut self) {
        let drain = self.drain_policy.as_mut().map(|policy| &mut policy.deadline);
        let times = [
            &mut self.pong_timeout,
            &mut self.write_timeout,
            &mut self.handshake_timeout,
            &mut self.message_timeout,
            &mut self.close_timeout,
            &mut self.resume_window,
            &mut self.retry_window,
            &mut self.coalesce,
        ];
        for time in times.into_iter().chain(drain) {
            *time = LONGEST.min(*time);
        }
    }

    /// Returns the address that a socket counts for; `None` if it has no address, or is a trusted
    /// proxy, which connects for many clients.
    pub(crate) fn address(&self, peer: Option<SocketAddr>) -> Option<Address> {
        peer.filter(|peer| !self.proxies.trusts(Some(*peer))).map(|peer| Address::of(peer.ip()))
    }

    /// Returns an option that the application has set and that needs the address of each client.
    /// The limit on handshakes does not apply to a mounted server: the framework reads requests.
    pub(crate) fn needs_address(&self, is_mounted: bool) -> Option<&'static str> {
        [
            ("max_connections_per_address", self.chosen.max_connections_per_address),
            ("max_handshakes_per_address", self.chosen.max_handshakes_per_address && !is_mounted),
            ("trust_proxy", self.proxies.has_networks()),
        ]
        .into_iter()
        .find_map(|(option, is_chosen)| is_chosen.then_some(option))
    }

    /// Returns true if a connection must begin with a header of the PROXY protocol.
    pub(crate) fn expects_proxy_header(&self, peer: Option<SocketAddr>) -> bool {
        self.proxy_protocol && self.proxies.trusts(peer)
    }

    /// Returns the options that the application has set and that do not apply to a mounted server.
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

    /// Returns the policy of a drain; by default all connections are closed at once.
    pub(crate) fn drain_policy(&self) -> DrainPolicy {
        // The second is for what tasks do before and after their connections close.
        let deadline = self.close_timeout + Duration::from_secs(1);
        self.drain_policy.unwrap_or(DrainPolicy { deadline, per_second: usize::MAX })
    }

    /// Returns the water marks of one connection's outbox.
    pub(crate) fn water_marks(&self) -> WaterMarks {
        let high = self.max_backlog;
        // Above the maximum the connection is closed at once, so there must be room for what senders
        // queue before they are paused: the largest message, and reads full of small ones.
        let spare = self.limits.max_message.max(high.saturating_mul(SPARE_FACTOR));
        WaterMarks { kept: self.resume_buffer, high, max: high.saturating_add(spare) }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("path", &self.path).finish_non_exhaustive()
    }
}

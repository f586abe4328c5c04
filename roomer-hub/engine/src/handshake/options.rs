//! Handshake options: the WebSocket's path, and which requests are accepted.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;

use crate::app::call::BoxFuture;
use crate::handshake::origin::Origins;
use crate::handshake::proxy::Proxies;
use crate::handshake::request::{AuthResult, HandshakeRequest};
use crate::handshake::subprotocol::Subprotocols;
use crate::lifecycle::admission::{Address, AdmissionLimit, AdmissionLimits};

/// The handshake options. Each field is documented at its [`Builder`](crate::Builder) method.
pub(crate) struct HandshakeOptions {
    pub(crate) path: String,
    pub(crate) pages: BTreeMap<String, Page>,
    pub(crate) health: Option<Health>,
    pub(crate) admission: AdmissionLimits,
    pub(crate) origins: Origins,
    pub(crate) proxies: Proxies,
    pub(crate) proxy_protocol: bool,
    pub(crate) authorize: Option<Authorize>,
    pub(crate) subprotocols: Subprotocols,
    pub(crate) chosen: Chosen,
    pub(crate) max_head: usize,
    pub(crate) max_headers: usize,
    /// Patterns of rooms whose messages are compressed, and the minimum length of a message to
    /// compress.
    pub(crate) compression: Vec<(String, usize)>,
}

/// Flags for the options that the application has set itself. If one of these options cannot take
/// effect, the server warns or fails, whereas a default that cannot take effect is silently
/// dropped.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chosen {
    pub(crate) path: bool,
    pub(crate) max_handshakes: bool,
    pub(crate) max_handshakes_per_address: bool,
    pub(crate) max_connections_per_address: bool,
}

/// The application's hook that authorizes handshakes.
pub(crate) enum Authorize {
    Sync(Box<dyn Fn(&HandshakeRequest) -> AuthResult + Send + Sync>),
    Async(Box<dyn Fn(HandshakeRequest) -> BoxFuture<AuthResult> + Send + Sync>),
}

/// The paths for health checks.
#[derive(Debug)]
pub(crate) struct Health {
    pub(crate) live: String,
    pub(crate) ready: String,
}

/// A page served over HTTP.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) content_type: String,
    pub(crate) body: Bytes,
}

impl Default for HandshakeOptions {
    fn default() -> Self {
        HandshakeOptions {
            path: "/ws".into(),
            pages: BTreeMap::new(),
            health: None,
            admission: AdmissionLimits {
                handshakes: AdmissionLimit { total: 16_384, per_address: 8_192 },
                connections: AdmissionLimit { total: 100_000, per_address: 20_000 },
            },
            origins: Origins::default(),
            proxies: Proxies::default(),
            proxy_protocol: false,
            authorize: None,
            subprotocols: Subprotocols::default(),
            chosen: Chosen::default(),
            max_head: 16 * 1024,
            max_headers: 100,
            compression: Vec::new(),
        }
    }
}

impl HandshakeOptions {
    /// Returns the address for which a socket is counted. Returns `None` if the socket has no
    /// address, or if it belongs to a trusted proxy, which connects for many clients.
    pub(crate) fn address(&self, peer: Option<SocketAddr>) -> Option<Address> {
        peer.filter(|peer| !self.proxies.trusts(Some(*peer))).map(|peer| Address::of(peer.ip()))
    }

    /// Returns an option set by the application that needs each client's address, if there is one.
    /// The limit on handshakes does not apply to a mounted server, since the framework reads its
    /// requests.
    pub(crate) fn needs_address(&self, is_mounted: bool) -> Option<&'static str> {
        [
            ("max_connections_per_address", self.chosen.max_connections_per_address),
            ("max_handshakes_per_address", self.chosen.max_handshakes_per_address && !is_mounted),
            ("trust_proxy", self.proxies.has_networks()),
        ]
        .into_iter()
        .find_map(|(option, is_chosen)| is_chosen.then_some(option))
    }

    /// Returns true if a connection must begin with a PROXY protocol header.
    pub(crate) fn expects_proxy_header(&self, peer: Option<SocketAddr>) -> bool {
        self.proxy_protocol && self.proxies.trusts(peer)
    }

    /// Returns the options set by the application that do not apply to a mounted server.
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
}

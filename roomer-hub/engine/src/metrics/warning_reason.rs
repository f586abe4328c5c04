//! The reasons for warnings, formatted as sentences that name the remedy.

use std::fmt;
use std::net::IpAddr;

/// How to raise a process's limit on open files.
const RAISE_FILES: &str = "ulimit -Hn, LimitNOFILE= of systemd, --ulimit nofile= of Docker";

/// The reason for a [`Warning`](crate::Warning).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WarningReason {
    /// A web page from a disallowed origin was rejected with 403.
    Origin {
        /// The page's origin, as sent by the browser.
        origin: String,
        /// The host that the page connects to, as sent by the browser or a proxy.
        host: String,
    },
    /// An upgrade request at a path without a WebSocket was rejected with 404.
    Path {
        /// The request's path.
        path: String,
        /// The WebSocket's path.
        websocket: String,
    },
    /// A request with a WebSocket key but without the upgrade headers was rejected with 400. Proxies
    /// remove these headers unless they are configured to forward them.
    UpgradeRemoved,
    /// A client offers only subprotocols that the server does not support, so a browser closes the
    /// connection. The names are omitted, since clients put tokens there.
    Subprotocol {
        /// The number of subprotocols that the client offers.
        offered: usize,
    },
    /// The application's `authorize` hook rejected a client.
    Unauthorized {
        /// The status of the response.
        status: u16,
        /// True if the client sent a token.
        has_token: bool,
        /// The hook's message, which the client receives as the response's body, escaped and truncated
        /// to 128 bytes. Empty if the message contains the client's token.
        message: String,
    },
    /// A client's new token did not renew its login, which therefore expires: the hook of
    /// [`renew_login`](crate::Builder::renew_login) rejected it, or it is another user's.
    RenewalRejected {
        /// The reason: the hook's message, escaped and truncated to 128 bytes, if it has one that does
        /// not contain the token.
        message: String,
    },
    /// [`authorize_async`](crate::Builder::authorize_async) exceeded the handshake timeout, and the
    /// client was rejected with 503.
    AuthorizeTimeout,
    /// The info from [`Claims::info`](crate::Claims::info) exceeds
    /// [`max_info`](crate::Builder::max_info). The client was accepted without it.
    InfoTooLong {
        /// The info's length in bytes.
        bytes: usize,
        /// [`max_info`](crate::Builder::max_info), in bytes.
        limit: usize,
    },
    /// A client connected without a user ([`Claims::user`](crate::Claims::user)), so the limit per user
    /// does not apply to it.
    NoUser {
        /// The [`Builder`](crate::Builder) method that sets the limit.
        option: &'static str,
    },
    /// A limit was reached, and a client was rejected with 503, or with 429 for a limit per address.
    Full {
        /// The [`Builder`](crate::Builder) method that sets the limit.
        option: &'static str,
        /// The limit that was reached.
        limit: usize,
        /// The proxy whose `X-Forwarded-For` was ignored, since it is not trusted.
        untrusted_proxy: Option<IpAddr>,
    },
    /// A request without an address was rejected with 500, since an option needs the address.
    NoAddress {
        /// The [`Builder`](crate::Builder) method that sets the option.
        option: &'static str,
    },
    /// A trusted proxy does not report its clients' addresses, so the limit per address does not apply
    /// to them.
    NoForwardedFor {
        /// The [`Builder`](crate::Builder) method that sets the limit.
        option: &'static str,
        /// The proxy's address; `None` for a Unix socket.
        proxy: Option<IpAddr>,
    },
    /// A trusted proxy's [PROXY protocol](crate::Builder::proxy_protocol) header names no client
    /// (`UNKNOWN`, `LOCAL`), so the limit per address does not apply to that connection.
    UnnamedClient {
        /// The [`Builder`](crate::Builder) method that sets the limit.
        option: &'static str,
        /// The proxy's address; `None` for a Unix socket.
        proxy: Option<IpAddr>,
    },
    /// A trusted proxy's connection did not begin with the header that
    /// [`proxy_protocol`](crate::Builder::proxy_protocol) requires, and was rejected with 400.
    InvalidProxyHeader {
        /// The proxy's address; `None` for a Unix socket.
        proxy: Option<IpAddr>,
    },
    /// Options were set that do not apply to a mounted server, since the framework is responsible
    /// for what they control.
    NotApplied {
        /// The [`Builder`](crate::Builder) methods that set the options.
        options: Vec<&'static str>,
    },
    /// The system failed to accept a connection. The listener retries after a tenth of a second.
    AcceptFailed {
        /// The error's text.
        error: String,
    },
    /// The connections together exceeded [`memory_budget`](crate::Builder::memory_budget), and some
    /// were closed with 1013.
    MemoryBudget {
        /// The number of closed connections.
        closed: usize,
        /// The budget, in bytes.
        budget: usize,
    },
    /// The process's limit on open files is lower than the server may need.
    Descriptors {
        /// The maximum number of files that the process may have open.
        limit: u64,
        /// The number of files that the server needs for `max_connections`.
        needed: u64,
    },
    /// The process's limit on open files permits no more sockets of clients, and a client was rejected
    /// with 503.
    DescriptorsReached {
        /// The number of sockets that the limit permits.
        sockets: usize,
    },
    /// A broker link was started, but the server is not part of a cluster.
    NoCluster,
    /// The link to the cluster's broker is down.
    BrokerDown {
        /// The reason and the address, in one sentence.
        reason: String,
    },
    /// The cluster's broker works, but has sent a notice that the operator should read.
    BrokerNotice {
        /// The notice's text.
        text: String,
    },
    /// The application sent a message for members on other nodes that exceeds those nodes' limit.
    /// The message was not delivered to any receiver.
    MessageTooLarge {
        /// The message's event name.
        event: String,
        /// The length in bytes of the message as a packet.
        bytes: usize,
        /// [`max_message`](crate::Builder::max_message), in bytes.
        limit: usize,
    },
    /// Another cluster node has different settings, so its clients are subject to different rules.
    PeerSettings {
        /// The node's name.
        peer: String,
    },
    /// Another cluster node supports no inter-node protocol version that this node supports.
    ForeignPeer {
        /// The node's id.
        node: String,
        /// The protocol version that the node uses.
        version: u8,
    },
}

impl WarningReason {
    /// Returns the name of the warning's kind. The frequency of warnings is limited per kind. For
    /// [`Full`](Self::Full), the kind is the option.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            WarningReason::Origin { .. } => "origin",
            WarningReason::Path { .. } => "path",
            WarningReason::UpgradeRemoved => "upgrade removed",
            WarningReason::Subprotocol { .. } => "subprotocol",
            WarningReason::Unauthorized { .. } => "unauthorized",
            WarningReason::RenewalRejected { .. } => "renewal rejected",
            WarningReason::AuthorizeTimeout => "authorize timeout",
            WarningReason::InfoTooLong { .. } => "info too long",
            WarningReason::NoUser { .. } => "no user",
            WarningReason::Full { option, .. } => option,
            WarningReason::NoAddress { .. } => "no address",
            WarningReason::NoForwardedFor { .. } => "no forwarded for",
            WarningReason::UnnamedClient { .. } => "unnamed client",
            WarningReason::InvalidProxyHeader { .. } => "invalid proxy header",
            WarningReason::NotApplied { .. } => "not applied",
            WarningReason::AcceptFailed { .. } => "accept failed",
            WarningReason::MemoryBudget { .. } => "memory budget",
            WarningReason::Descriptors { .. } => "descriptors",
            WarningReason::DescriptorsReached { .. } => "descriptors reached",
            WarningReason::NoCluster => "no cluster",
            WarningReason::BrokerDown { .. } => "broker down",
            WarningReason::BrokerNotice { .. } => "broker notice",
            WarningReason::MessageTooLarge { .. } => "message too large",
            WarningReason::PeerSettings { .. } => "peer settings",
            WarningReason::ForeignPeer { .. } => "foreign peer",
        }
    }
}

impl fmt::Display for WarningReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WarningReason::Origin { origin, host } => fmt_origin(f, origin, host),
            WarningReason::Path { path, websocket } => write!(
                f,
                "rejected an upgrade at {path} (404): the WebSocket is at {websocket}; connect \
                 there, or move it with path(\"{path}\")"
            ),
            WarningReason::UpgradeRemoved => f.write_str(
                "rejected a request with a WebSocket key but without an upgrade (400): a proxy has \
                 removed the upgrade; configure the proxy to use HTTP/1.1 and to forward Upgrade and \
                 Connection, for nginx with `proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
                 proxy_set_header Connection \"upgrade\";`",
            ),
            WarningReason::Subprotocol { offered } => write!(
                f,
                "a client offers {offered} subprotocol(s) and this server supports none of them, \
                 so a browser closes the connection: add one with subprotocol(\"...\"), or offer none"
            ),
            WarningReason::Unauthorized { status, has_token, message } => {
                let with = if *has_token { "with" } else { "without" };
                let colon = if message.is_empty() { "" } else { ": " };
                write!(f, "authorize rejected a client {with} a token ({status}){colon}{message}")
            }
            WarningReason::RenewalRejected { message } => {
                let colon = if message.is_empty() { "" } else { ": " };
                write!(f, "a client's new token did not renew its login{colon}{message}")
            }
            WarningReason::AuthorizeTimeout => f.write_str(
                "rejected a client (503): authorize_async took longer than handshake_timeout; make it \
                 faster, or raise handshake_timeout",
            ),
            WarningReason::InfoTooLong { bytes, limit } => write!(
                f,
                "accepted a client without the info that authorize gave it, since its {bytes} bytes \
                 are above max_info({limit}): shorten it, or raise max_info"
            ),
            WarningReason::NoUser { option } => write!(
                f,
                "accepted a client without a user, to which {option} does not apply: return \
                 Claims::new().user(\"...\") from authorize, or add such claims to the requests of a \
                 framework"
            ),
            WarningReason::Full { option, limit, untrusted_proxy } => {
                fmt_full(f, option, *limit, *untrusted_proxy)
            }
            // The response body contains this text too.
            WarningReason::NoAddress { option } => write!(
                f,
                "rejected a request without the client's address (500), which {option} needs. \
                 axum: serve with `into_make_service_with_connect_info::<SocketAddr>()` and enable \
                 the `axum` feature of roomer-tokio; other frameworks: `mount(server)\
                 .peer_from(..)`; streams: pass the peer's address to `connect`; a proxy's Unix \
                 socket: trust_proxy(\"unix\")"
            ),
            WarningReason::NoForwardedFor { option, proxy } => write!(
                f,
                "{} sends no X-Forwarded-For, so {option} does not apply to its clients: configure \
                 it to send one, for nginx with `proxy_set_header X-Forwarded-For \
                 $proxy_add_x_forwarded_for;`",
                TrustedProxy(*proxy)
            ),
            WarningReason::UnnamedClient { option, proxy } => write!(
                f,
                "{} names no client in its PROXY header (UNKNOWN or LOCAL), so {option} does not \
                 apply to that connection: configure the proxy to forward its clients' addresses, for \
                 HAProxy with `send-proxy-v2`",
                TrustedProxy(*proxy)
            ),
            WarningReason::InvalidProxyHeader { proxy } => write!(
                f,
                "rejected a connection from {} that does not begin with a PROXY header (400): \
                 configure it to send one, for HAProxy with `send-proxy-v2`, or remove \
                 proxy_protocol",
                TrustedProxy(*proxy)
            ),
            WarningReason::NotApplied { options } => write!(
                f,
                "a mounted server ignores {}: routes, pages and unfinished requests are the \
                 framework's responsibility",
                options.join(", ")
            ),
            WarningReason::AcceptFailed { error } => write!(
                f,
                "cannot accept a connection: {error}; open connections continue, and new ones wait"
            ),
            WarningReason::MemoryBudget { closed, budget } => write!(
                f,
                "closed the {closed} largest connection(s), since all connections together held more \
                 than memory_budget({budget}): raise it, or lower max_backlog or max_message"
            ),
            WarningReason::Descriptors { limit, needed } => write!(
                f,
                "this process may open {limit} files, but max_connections needs {needed}, so \
                 clients get 503 before max_connections is reached: raise the limit ({RAISE_FILES}) \
                 or lower max_connections"
            ),
            WarningReason::DescriptorsReached { sockets } => write!(
                f,
                "rejected a client (503): this process has {sockets} sockets of clients, and its limit \
                 on open files permits no more: raise it ({RAISE_FILES})"
            ),
            WarningReason::NoCluster => f.write_str(
                "a link to a broker was started for a server that is not part of a cluster: call \
                 cluster(Cluster::named(\"...\")) on its builder",
            ),
            WarningReason::BrokerDown { reason } => write!(
                f,
                "the cluster's broker cannot be reached: {reason}; meanwhile, this server serves its own \
                 clients, and it reconnects automatically"
            ),
            WarningReason::BrokerNotice { text } => write!(f, "the cluster's broker: {text}"),
            WarningReason::MessageTooLarge { event, bytes, limit } => write!(
                f,
                "did not send the application's message \"{event}\" of {bytes} bytes, since the \
                 cluster's nodes accept no message above max_message({limit}): divide it, or raise \
                 max_message on all nodes"
            ),
            WarningReason::PeerSettings { peer } => write!(
                f,
                "the node {peer} differs from this one in max_message, presence, order or compat: give \
                 all nodes the same options"
            ),
            WarningReason::ForeignPeer { node, version } => write!(
                f,
                "the node {node} uses version {version} of the protocol between nodes, which this \
                 release does not support: their members do not see each other; run releases that \
                 are at most one version apart"
            ),
        }
    }
}

fn fmt_origin(f: &mut fmt::Formatter<'_>, origin: &str, host: &str) -> fmt::Result {
    write!(f, "rejected a page from {origin} that connects to {host} (403): ")?;
    match origin {
        "null" => f.write_str(
            "files and sandboxed frames have no origin; serve the page over HTTP, or allow all \
             pages with allow_origin(\"any\")",
        ),
        _ => write!(
            f,
            "to allow its pages, call allow_origin(\"{origin}\"); behind a proxy, configure it to \
             forward the header Host"
        ),
    }
}

fn fmt_full(
    f: &mut fmt::Formatter<'_>,
    option: &str,
    limit: usize,
    untrusted_proxy: Option<IpAddr>,
) -> fmt::Result {
    let status = if option.ends_with("_per_address") { 429 } else { 503 };
    write!(f, "rejected a client ({status}): {option}({limit}) is reached")?;
    match untrusted_proxy {
        Some(proxy) => write!(
            f,
            "; if {proxy} is your proxy, call trust_proxy(\"{proxy}\") to count its clients by \
             their own addresses"
        ),
        None => Ok(()),
    }
}

/// Formats a trusted proxy: its address, or a Unix socket.
struct TrustedProxy(Option<IpAddr>);

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(proxy) => write!(f, "the trusted proxy {proxy}"),
            None => f.write_str("the proxy at the Unix socket"),
        }
    }
}

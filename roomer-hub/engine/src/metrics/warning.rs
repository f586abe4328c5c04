//! What the operator of a server should look at: as sentences, and not too many of them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::Server;
use crate::metrics::trace;
use crate::sync::{Mutex, lock};

/// The shortest time between two warnings of one kind.
const PERIOD: Duration = Duration::from_secs(10);

/// The most bytes of a client's value that a warning repeats.
const SHOWN: usize = 128;

/// Something that the operator of a server should look at: a sentence, by `Display`, that says
/// what, where and what to do. Goes to [`Builder::on_warning`](crate::Builder::on_warning) and,
/// with the feature `tracing`, to the subscriber at `WARN`; one of each kind every ten seconds.
///
/// Values that a client chose are escaped and cut to 128 bytes. Tokens and queries are not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// The subject of the warning.
    pub cause: WarningCause,
    /// The number of warnings of this kind that were left out since the last one.
    pub suppressed: u64,
}

/// The subject of a [`Warning`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WarningCause {
    /// A web page of an origin that is not allowed was refused with 403.
    Origin {
        /// The page's origin, as the browser sent it.
        origin: String,
        /// The host that the page connects to, as the browser or a proxy sent it.
        host: String,
    },
    /// An upgrade was asked for at a path without a WebSocket, and refused with 404.
    Path {
        /// The path that was asked for.
        path: String,
        /// The path of the WebSocket.
        websocket: String,
    },
    /// A request has a WebSocket's key but does not ask for an upgrade, which a proxy removes
    /// unless it is told to pass it on. Refused with 400.
    UpgradeRemoved,
    /// A client offers subprotocols and the server knows none of them, so that browsers end the
    /// connection. The names are not told: clients put tokens there.
    Subprotocol {
        /// How many subprotocols the client offers.
        offered: usize,
    },
    /// The application's hook refused a client.
    Unauthorized {
        /// The status that the client was answered with.
        status: u16,
        /// Whether the client brought a token.
        has_token: bool,
    },
    /// [`authorize_async`](crate::Builder::authorize_async) took longer than the handshake may
    /// take; the client was refused with 503.
    AuthorizeTimeout,
    /// A limit was reached, and a client refused with 503, or with 429 for the limit of one
    /// address.
    Full {
        /// The method of [`Builder`](crate::Builder) that sets the limit.
        option: &'static str,
        /// The limit.
        limit: usize,
        /// The proxy that named its client in vain, as it is not trusted.
        untrusted_proxy: Option<IpAddr>,
    },
    /// An option needs clients' addresses and a request came without one; refused with 500.
    NoAddress {
        /// The method of [`Builder`](crate::Builder) that was called.
        option: &'static str,
    },
    /// A trusted proxy does not say for whom it speaks, so that the limit of one address does not
    /// hold for its clients.
    NoForwardedFor {
        /// The method of [`Builder`](crate::Builder) that sets the limit.
        option: &'static str,
        /// The proxy's address; `None` behind a Unix socket.
        proxy: Option<IpAddr>,
    },
    /// A trusted proxy began a connection without the header that
    /// [`proxy_protocol`](crate::Builder::proxy_protocol) expects; refused with 400.
    InvalidProxyHeader {
        /// The proxy's address; `None` behind a Unix socket.
        proxy: Option<IpAddr>,
    },
    /// Options that were chosen do not apply, as a framework does what they are about.
    NotApplied {
        /// The methods of [`Builder`](crate::Builder) that were called.
        options: Vec<&'static str>,
    },
    /// The system refused to give a listener its next connection; it is asked again after a tenth
    /// of a second.
    AcceptFailed {
        /// The error, as text.
        error: String,
    },
    /// All connections together held more than
    /// [`memory_budget`](crate::Builder::memory_budget), and some were closed with 1013.
    MemoryBudget {
        /// The number of connections that were closed.
        closed: usize,
        /// The budget, in bytes.
        budget: usize,
    },
    /// The process may have fewer descriptors open than the server may need.
    Descriptors {
        /// The most descriptors that the process may have open.
        limit: u64,
        /// The number that the server needs for all its connections.
        needed: u64,
    },
}

impl WarningCause {
    /// A name for the kind, by which warnings are counted.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            WarningCause::Origin { .. } => "origin",
            WarningCause::Path { .. } => "path",
            WarningCause::UpgradeRemoved => "upgrade removed",
            WarningCause::Subprotocol { .. } => "subprotocol",
            WarningCause::Unauthorized { .. } => "unauthorized",
            WarningCause::AuthorizeTimeout => "authorize timeout",
            WarningCause::Full { option, .. } => option,
            WarningCause::NoAddress { .. } => "no address",
            WarningCause::NoForwardedFor { .. } => "no forwarded for",
            WarningCause::InvalidProxyHeader { .. } => "not announced",
            WarningCause::NotApplied { .. } => "not applied",
            WarningCause::AcceptFailed { .. } => "accept failed",
            WarningCause::MemoryBudget { .. } => "memory budget",
            WarningCause::Descriptors { .. } => "descriptors",
        }
    }

    /// The shortest time between two of this kind. How a server is set up does not change.
    fn period(&self) -> Duration {
        match self {
            WarningCause::NotApplied { .. } | WarningCause::Descriptors { .. } => Duration::MAX,
            _ => PERIOD,
        }
    }
}

impl fmt::Display for WarningCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WarningCause::Origin { origin, host } => {
                write!(f, "refused a page of {origin} that connects to {host} (403): ")?;
                match &**origin {
                    "null" => f.write_str(
                        "files and sandboxed frames have no origin; serve the page over HTTP, or \
                         let every page in by allow_origin(\"any\")",
                    ),
                    _ => write!(
                        f,
                        "to let its pages in, call allow_origin(\"{origin}\"); leftover a proxy, \
                         have it dispatch the header Host on"
                    ),
                }
            }
            WarningCause::Path { path, websocket } => write!(
                f,
                "refused an upgrade at {path} (404): the WebSocket is at {websocket}; connect \
                 there, or move it by path(\"{path}\")"
            ),
            WarningCause::UpgradeRemoved => f.write_str(
                "refused a WebSocket's request that does not ask for an upgrade (400): a proxy has \
                 removed it; have it speak HTTP/1.1 and dispatch Upgrade and Connection on, with nginx \
                 by `proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
                 proxy_set_header Connection \"upgrade\";`",
            ),
            WarningCause::Subprotocol { offered } => write!(
                f,
                "a client offers {offered} subprotocol(s) and this server knows none of them, so \
                 a browser ends the connection: name one by subprotocol(\"...\"), or offer none"
            ),
            WarningCause::Unauthorized { status, has_token } => {
                let with = if *has_token { "with" } else { "without" };
                write!(f, "authorize refused a client {with} a token ({status})")
            }
            WarningCause::AuthorizeTimeout => f.write_str(
                "refused a client (503): authorize_async took longer than handshake_timeout",
            ),
            WarningCause::Full { option, limit, untrusted_proxy } => {
                let status = if option.ends_with("_per_address") { 429 } else { 503 };
                write!(f, "refused a client ({status}): {option}({limit}) is reached")?;
                match untrusted_proxy {
                    Some(proxy) => write!(
                        f,
                        "; if {proxy} is your proxy, call trust_proxy(\"{proxy}\") to count its \
                         clients by their own addresses"
                    ),
                    None => Ok(()),
                }
            }
            WarningCause::NoAddress { option } => write!(
                f,
                "refused a request without the client's address (500), which {option} needs. \
                 axum: serve with `into_make_service_with_connect_info::<SocketAddr>()` and turn \
                 on the feature `axum` of roomer-tokio; other frameworks: `mount(server)\
                 .peer_from(..)`; streams: give the peer's address to `connect`; a proxy's Unix \
                 socket: trust_proxy(\"unix\")"
            ),
            WarningCause::NoForwardedFor { option, proxy } => {
                match proxy {
                    Some(proxy) => write!(f, "the trusted proxy {proxy}")?,
                    None => f.write_str("the proxy at the Unix socket")?,
                }
                write!(
                    f,
                    " sends no X-Forwarded-For, so {option} does not hold for its clients: have \
                     it send one, with nginx by `proxy_set_header X-Forwarded-For \
                     $proxy_add_x_forwarded_for;`"
                )
            }
            WarningCause::InvalidProxyHeader { proxy } => {
                f.write_str("refused a connection of ")?;
                match proxy {
                    Some(proxy) => write!(f, "the trusted proxy {proxy}")?,
                    None => f.write_str("the proxy at the Unix socket")?,
                }
                f.write_str(
                    " that does not begin with a PROXY header (400): have it send one, with \
                     HAProxy by `send-proxy-v2`, or leave proxy_protocol out",
                )
            }
            WarningCause::NotApplied { options } => write!(
                f,
                "{} has no effect on a mounted server: routes, pages and unfinished requests are \
                 the framework's",
                options.join(", ")
            ),
            WarningCause::AcceptFailed { error } => write!(
                f,
                "cannot accept a connection: {error}; open connections go on, and new ones wait"
            ),
            WarningCause::MemoryBudget { closed, budget } => write!(
                f,
                "closed {closed} connection(s) that held most, as all together held more than \
                 memory_budget({budget}): raise it, or lower max_backlog or max_message"
            ),
            WarningCause::Descriptors { limit, needed } => write!(
                f,
                "this process may open {limit} files, and {needed} are needed for max_connections: \
                 raise the limit (ulimit -Hn, LimitNOFILE= of systemd, --ulimit nofile= of Docker) \
                 or lower max_connections"
            ),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.suppressed {
            0 => self.cause.fmt(f),
            count => write!(f, "{} (and {count} more like it before)", self.cause),
        }
    }
}

/// When which kind of warning was last given.
#[derive(Debug, Default)]
pub(crate) struct Warnings(Mutex<BTreeMap<&'static str, Recent>>);

#[derive(Debug)]
struct Recent {
    at: Duration,
    suppressed: u64,
}

impl Warnings {
    /// Returns how many warnings of the kind were left out before this one, or `None` to leave out
    /// this one too.
    fn count(&self, kind: &'static str, now: Duration, period: Duration) -> Option<u64> {
        let mut recent = lock(&self.0);
        match recent.get_mut(kind) {
            Some(last) if now < last.at.saturating_add(period) => {
                last.suppressed += 1;
                None
            }
            Some(last) => {
                last.at = now;
                Some(std::mem::take(&mut last.suppressed))
            }
            None => {
                recent.insert(kind, Recent { at: now, suppressed: 0 });
                Some(0)
            }
        }
    }
}

impl Server {
    /// Gives a warning, unless there was one of its kind a moment ago. Calls the application: not
    /// with a lock held.
    pub(crate) fn warn(&self, cause: WarningCause) {
        if let Some(warning) = self.warning(cause) {
            trace::warning(&warning);
            self.give(&warning);
        }
    }

    /// As [`warn`](Self::warn), of an event that a subscriber of `tracing` gets by itself.
    pub(crate) fn warn_beside_trace(&self, cause: WarningCause) {
        if self.options().on_warning.is_some()
            && let Some(warning) = self.warning(cause)
        {
            self.give(&warning);
        }
    }

    fn warning(&self, cause: WarningCause) -> Option<Warning> {
        let (kind, period) = (cause.kind(), cause.period());
        let suppressed = self.0.warnings.count(kind, self.now(), period)?;
        Some(Warning { cause, suppressed })
    }

    fn give(&self, warning: &Warning) {
        if let Some(hook) = &self.options().on_warning {
            // A panic of the hook must not end the connection that the warning is about.
            if let Err(panic) = crate::app::handler::catch_panic(|| hook(warning)) {
                self.report_failure(
                    || ("the hook `on_warning`".into(), None),
                    &panic.message,
                    true,
                );
            }
        }
    }
}

/// A client's value as a warning repeats it: on one line, in ASCII, and not too long.
pub(crate) fn shown(value: &[u8]) -> String {
    let cut = &value[..value.len().min(SHOWN)];
    let rest = if value.len() > SHOWN { "..." } else { "" };
    format!("{}{rest}", cut.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_each_kind_passes_in_a_period_and_the_others_are_counted() {
        let (warnings, second) = (Warnings::default(), Duration::from_secs(1));
        let count = |kind, at| warnings.count(kind, at, PERIOD);
        assert_eq!(count("a", second), Some(0));
        assert_eq!(count("b", second), Some(0));
        assert_eq!([2, 3, 10].map(|at| count("a", second * at)), [None; 3]);
        assert_eq!(count("a", second * 11), Some(3));
        assert_eq!(count("a", second * 12), None);
        assert_eq!(count("a", second * 100), Some(1));
        assert_eq!(count("a", second * 200), Some(0));
        let once = |at| warnings.count("once", at, Duration::MAX);
        assert_eq!((once(second), once(second * 1_000_000)), (Some(0), None));
    }

    #[test]
    fn values_of_clients_stay_on_one_line_and_are_cut() {
        assert_eq!(shown(b"a\r\nb\x1b[31m\"\xff"), r#"a\r\nb\x1b[31m\"\xff"#);
        assert_eq!(shown(&[b'x'; 128]).len(), 128);
        assert_eq!(shown(&[b'x'; 129]), format!("{}...", "x".repeat(128)));
    }

    #[test]
    fn a_warning_says_how_many_were_left_out() {
        let cause = WarningCause::AuthorizeTimeout;
        let alone = Warning { cause: cause.clone(), suppressed: 0 }.to_string();
        let one = Warning { cause, suppressed: 7 }.to_string();
        assert_eq!(one, format!("{alone} (and 7 more like it before)"));
    }
}

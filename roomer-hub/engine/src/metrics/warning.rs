//! Warnings for the operator: complete sentences, limited in frequency.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::Server;
use crate::metrics::trace;
use crate::sync::{Mutex, lock};

/// The shortest time between two warnings of one kind.
const PERIOD: Duration = Duration::from_secs(10);

/// The most bytes of a client's value that a warning contains.
const MAX_SHOWN: usize = 128;

/// A condition that the operator of a server should know. `Display` writes a sentence with the
/// condition, its place and the remedy. Warnings are passed to
/// [`Builder::on_warning`](crate::Builder::on_warning) and, with the feature `tracing`, to the
/// subscriber at `WARN`; at most one of each kind in ten seconds.
///
/// Values from a client are escaped and truncated to 128 bytes. Tokens and queries are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// The subject of the warning.
    pub cause: WarningCause,
    /// The number of warnings of this kind that were suppressed since the last one.
    pub suppressed: u64,
}

/// The subject of a [`Warning`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WarningCause {
    /// A web page of an origin that is not allowed was rejected with 403.
    Origin {
        /// The page's origin, as the browser sent it.
        origin: String,
        /// The host that the page connects to, as the browser or a proxy sent it.
        host: String,
    },
    /// A request for an upgrade at a path without a WebSocket was rejected with 404.
    Path {
        /// The path of the request.
        path: String,
        /// The path of the WebSocket.
        websocket: String,
    },
    /// A request with a WebSocket's key and without the headers of an upgrade was rejected with
    /// 400. Proxies remove these headers unless they are configured to forward them.
    UpgradeRemoved,
    /// A client offers subprotocols and the server knows none of them, so that browsers close the
    /// connection. The names are left out, since clients put tokens there.
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
    },
    /// [`authorize_async`](crate::Builder::authorize_async) took longer than the handshake's
    /// timeout; the client was rejected with 503.
    AuthorizeTimeout,
    /// A limit was reached, and a client was rejected with 503, or with 429 for the limit per
    /// address.
    Full {
        /// The method of [`Builder`](crate::Builder) that sets the limit.
        option: &'static str,
        /// The limit.
        limit: usize,
        /// The proxy whose `X-Forwarded-For` was ignored, since it is not trusted.
        untrusted_proxy: Option<IpAddr>,
    },
    /// A request without an address was rejected with 500, since an option needs it.
    NoAddress {
        /// The method of [`Builder`](crate::Builder) that was called.
        option: &'static str,
    },
    /// A trusted proxy does not report its clients' addresses, so that the limit per address does
    /// not apply to them.
    NoForwardedFor {
        /// The method of [`Builder`](crate::Builder) that sets the limit.
        option: &'static str,
        /// The proxy's address; `None` for a Unix socket.
        proxy: Option<IpAddr>,
    },
    /// A connection of a trusted proxy began without the header that
    /// [`proxy_protocol`](crate::Builder::proxy_protocol) expects; it was rejected with 400.
    InvalidProxyHeader {
        /// The proxy's address; `None` for a Unix socket.
        proxy: Option<IpAddr>,
    },
    /// Options that were set do not apply to a mounted server, since the framework is responsible.
    NotApplied {
        /// The methods of [`Builder`](crate::Builder) that were called.
        options: Vec<&'static str>,
    },
    /// The system failed to accept a connection. The listener tries again after a tenth of a
    /// second.
    AcceptFailed {
        /// The text of the error.
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
    /// The limit of open files of the process is lower than what the server may need.
    Descriptors {
        /// The most files that the process may have open.
        limit: u64,
        /// The number of files that the server needs for `max_connections`.
        needed: u64,
    },
}

impl WarningCause {
    /// Returns the name of the kind, by which warnings are limited. For
    /// [`Full`](Self::Full) it is the option.
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
            WarningCause::InvalidProxyHeader { .. } => "invalid proxy header",
            WarningCause::NotApplied { .. } => "not applied",
            WarningCause::AcceptFailed { .. } => "accept failed",
            WarningCause::MemoryBudget { .. } => "memory budget",
            WarningCause::Descriptors { .. } => "descriptors",
        }
    }

    /// Returns the shortest time between two warnings of this kind. Warnings about the configuration
    /// are given once, since it does not change.
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
                write!(f, "rejected a page of {origin} that connects to {host} (403): ")?;
                match &**origin {
                    "null" => f.write_str(
                        "files and sandboxed frames have no origin; serve the page over HTTP, or \
                         allow all pages by allow_origin(\"any\")",
                    ),
                    _ => write!(
                        f,
                        "to allow its pages, call allow_origin(\"{origin}\"); behind a proxy, \
                         configure it to forward the header Host"
                    ),
                }
            }
            WarningCause::Path { path, websocket } => write!(
                f,
                "rejected an upgrade at {path} (404): the WebSocket is at {websocket}; connect \
                 there, or move it by path(\"{path}\")"
            ),
            WarningCause::UpgradeRemoved => f.write_str(
                "rejected a request with a WebSocket's key and without an upgrade (400): a proxy has \
                 removed it; configure it to use HTTP/1.1 and to forward Upgrade and Connection, with \
                 nginx by `proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
                 proxy_set_header Connection \"upgrade\";`",
            ),
            WarningCause::Subprotocol { offered } => write!(
                f,
                "a client offers {offered} subprotocol(s) and this server knows none of them, so \
                 a browser closes the connection: add one by subprotocol(\"...\"), or offer none"
            ),
            WarningCause::Unauthorized { status, has_token } => {
                let with = if *has_token { "with" } else { "without" };
                write!(f, "authorize rejected a client {with} a token ({status})")
            }
            WarningCause::AuthorizeTimeout => f.write_str(
                "rejected a client (503): authorize_async took longer than handshake_timeout",
            ),
            WarningCause::Full { option, limit, untrusted_proxy } => {
                let status = if option.ends_with("_per_address") { 429 } else { 503 };
                write!(f, "rejected a client ({status}): {option}({limit}) is reached")?;
                match untrusted_proxy {
                    Some(proxy) => write!(
                        f,
                        "; if {proxy} is your proxy, call trust_proxy(\"{proxy}\") to count its \
                         clients by their own addresses"
                    ),
                    None => Ok(()),
                }
            }
            // This text is the body of the response too.
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
                    " sends no X-Forwarded-For, so {option} does not apply to its clients: \
                     configure it to send one, with nginx by `proxy_set_header X-Forwarded-For \
                     $proxy_add_x_forwarded_for;`"
                )
            }
            WarningCause::InvalidProxyHeader { proxy } => {
                f.write_str("rejected a connection of ")?;
                match proxy {
                    Some(proxy) => write!(f, "the trusted proxy {proxy}")?,
                    None => f.write_str("the proxy at the Unix socket")?,
                }
                f.write_str(
                    " that does not begin with a PROXY header (400): configure it to send \
                     one, with HAProxy by `send-proxy-v2`, or remove proxy_protocol",
                )
            }
            WarningCause::NotApplied { options } => write!(
                f,
                "{} does not apply to a mounted server: routes, pages and unfinished requests are \
                 the framework's responsibility",
                options.join(", ")
            ),
            WarningCause::AcceptFailed { error } => write!(
                f,
                "cannot accept a connection: {error}; open connections continue, and new ones wait"
            ),
            WarningCause::MemoryBudget { closed, budget } => write!(
                f,
                "closed the {closed} largest connection(s), since all together held more than \
                 memory_budget({budget}): raise it, or lower max_backlog or max_message"
            ),
            WarningCause::Descriptors { limit, needed } => write!(
                f,
                "this process may open {limit} files, and max_connections needs {needed}: \
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

/// The last warning of each kind.
#[derive(Debug, Default)]
pub(crate) struct Warnings(Mutex<BTreeMap<&'static str, Recent>>);

#[derive(Debug)]
struct Recent {
    at: Duration,
    suppressed: u64,
}

impl Warnings {
    /// Returns the number of warnings of this kind that were suppressed since the last one, or
    /// `None` to suppress this one too.
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
    /// Gives a warning, unless there was one of its kind recently. This calls the application's
    /// code, so no lock may be held.
    pub(crate) fn warn(&self, cause: WarningCause) {
        if let Some(warning) = self.warning(cause) {
            trace::warning(&warning);
            self.call_hook(&warning);
        }
    }

    /// Like [`warn`](Self::warn), for a condition that has a `tracing` event of its own: calls only
    /// the hook.
    pub(crate) fn warn_hook(&self, cause: WarningCause) {
        if self.options().on_warning.is_some()
            && let Some(warning) = self.warning(cause)
        {
            self.call_hook(&warning);
        }
    }

    fn warning(&self, cause: WarningCause) -> Option<Warning> {
        let (kind, period) = (cause.kind(), cause.period());
        let suppressed = self.0.warnings.count(kind, self.now(), period)?;
        Some(Warning { cause, suppressed })
    }

    fn call_hook(&self, warning: &Warning) {
        if let Some(hook) = &self.options().on_warning {
            // A panic of the hook must not affect the connection that the warning is about.
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

/// Formats a client's value for a warning: on one line, in ASCII, truncated.
pub(crate) fn shown(value: &[u8]) -> String {
    let start = &value[..value.len().min(MAX_SHOWN)];
    let rest = if value.len() > MAX_SHOWN { "..." } else { "" };
    format!("{}{rest}", start.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_warning_of_each_kind_is_given_per_period_and_others_are_counted() {
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
    fn values_of_clients_are_escaped_and_truncated() {
        assert_eq!(shown(b"a\r\nb\x1b[31m\"\xff"), r#"a\r\nb\x1b[31m\"\xff"#);
        assert_eq!(shown(&[b'x'; 128]).len(), 128);
        assert_eq!(shown(&[b'x'; 129]), format!("{}...", "x".repeat(128)));
    }

    #[test]
    fn a_warning_contains_the_number_of_suppressed_ones() {
        let cause = WarningCause::AuthorizeTimeout;
        let alone = Warning { cause: cause.clone(), suppressed: 0 }.to_string();
        let one = Warning { cause, suppressed: 7 }.to_string();
        assert_eq!(one, format!("{alone} (and 7 more like it before)"));
    }
}

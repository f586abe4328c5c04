//! The error returned by [`build`](crate::Builder::build).

use std::time::Duration;

use roomer_hub::RegisterError;
use roomer_proto::cluster::ParsePrefixError;

#[cfg(doc)]
use crate::builder::Builder;

/// The error for invalid [`Builder`] options. Its message says how to correct them.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The event cannot have a handler.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The ping interval is not shorter than the pong timeout, so idle but healthy clients would be
    /// closed before they are pinged.
    #[error(
        "ping_interval ({interval:?}) must be shorter than pong_timeout ({timeout:?}): lower the first, \
         or raise the second"
    )]
    PingInterval {
        /// The value of [`ping_interval`](Builder::ping_interval).
        interval: Duration,
        /// The value of [`pong_timeout`](Builder::pong_timeout).
        timeout: Duration,
    },
    /// A limit or a timeout is zero, so the server would reject every client.
    #[error("{option} must not be zero: leave it out to use its default")]
    Zero {
        /// The name of the builder method that sets the limit or the timeout.
        option: &'static str,
    },
    /// The maximum length of a message is too small for a packet with short names.
    #[error(
        "max_message ({bytes}) must not be below {least} bytes: a packet has 20 bytes besides its names \
         and payload; raise it"
    )]
    MaxMessage {
        /// The value of [`max_message`](Builder::max_message), in bytes.
        bytes: usize,
        /// The least permitted value, in bytes.
        least: usize,
    },
    /// The memory budget is too small for one connection and the room histories.
    #[error(
        "memory_budget ({budget}) must not be below {least}, the limit of one connection, which follows \
         from max_backlog and max_message, plus max_history: raise it, or lower these"
    )]
    MemoryBudget {
        /// [`memory_budget`](Builder::memory_budget), in bytes.
        budget: usize,
        /// The least permitted value, in bytes: the maximum that may be queued for one connection,
        /// plus the part for room histories.
        least: usize,
    },
    /// Messages of up to `max_message` bytes are permitted, but the burst does not admit the
    /// longest ones.
    #[error(
        "the burst of byte_rate ({burst}) must not be below max_message ({max_message}), or no \
         message of that size is ever accepted; raise one or lower the other"
    )]
    ByteBurst {
        /// The burst of [`byte_rate`](Builder::byte_rate), in bytes.
        burst: u32,
        /// [`max_message`](Builder::max_message), in bytes.
        max_message: usize,
    },
    /// An origin is not a scheme followed by a host.
    #[error(
        "{0:?} is not an origin; write it as https://example.com or https://example.com:8443, without *"
    )]
    Origin(String),
    /// A proxy is neither an address, nor a network, nor `unix`.
    #[error("{0:?} is not a proxy; write it as 10.0.0.1, 10.0.0.0/8, fd00::/8 or unix")]
    Proxy(String),
    /// The PROXY protocol is enabled but no proxy is trusted, so every connection would be rejected.
    #[error("proxy_protocol needs a trusted proxy: call trust_proxy with the proxy's address")]
    ProxyProtocol,
    /// A subprotocol is not an HTTP token, or has the prefix reserved for clients' tokens.
    #[error(
        "{0:?} is not a subprotocol's name; use letters, digits, '-', '.' and '_', and do not begin \
         it with \"token.\""
    )]
    Subprotocol(String),
    /// Two options are mutually exclusive.
    #[error("{0} and {1} exclude each other; remove one")]
    Exclusive(&'static str, &'static str),
    /// A limit per address is above the total, so it would never apply.
    #[error(
        "{option}_per_address ({per_address}) must not be above {option} ({total}): lower the first, or \
         raise the second"
    )]
    PerAddress {
        /// The name of the builder method that sets the total.
        option: &'static str,
        /// The limit per address.
        per_address: usize,
        /// The limit for all addresses together.
        total: usize,
    },
    /// Two routes (the WebSocket, pages or health checks) have the same path.
    #[error("the path {0:?} is used twice; choose another")]
    DuplicatePath(String),
    /// The cluster's name cannot be part of the broker's subjects.
    #[error("the name of the cluster: {0}")]
    Cluster(#[from] ParsePrefixError),
    /// A path does not begin with a slash, or contains a character that ends a path in a URL.
    #[error("the path {0:?} must begin with /, and contain neither ? nor # (write %3F, %23)")]
    Path(String),
    /// A path has parameters or wildcards, as in the routes of web frameworks. No request would match
    /// them.
    #[error(
        "the path {0:?} is compared literally, without parameters or wildcards: write a fixed path, and \
         read values from the query, as in /ws?room=1"
    )]
    PathPattern(String),
    /// A room pattern has a `*` before its end, where it would be compared literally.
    #[error(
        "{option}: {pattern:?} is not a pattern: write a name, or the beginning of names and * at the end"
    )]
    RoomPattern {
        /// The name of the [`Builder`] or [`Cluster`](crate::Cluster) method.
        option: &'static str,
        /// The invalid pattern.
        pattern: String,
    },
}

roomer_proto::debug_as_display!(BuildError);

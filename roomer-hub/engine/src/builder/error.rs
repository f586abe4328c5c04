//! Why a server cannot be built.

use std::fmt;
use std::time::Duration;

#[cfg(doc)]
use crate::builder::Builder;
use roomer_hub::RegisterError;

/// Why a server cannot be built. The caller is at fault.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// An event cannot have a handler.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// Pings must come before the pong wait is over, or every quiet client is closed.
    #[error("the ping period ({ping:?}) must be shorter than the pong wait ({pong:?})")]
    PingPeriod {
        /// The ping period.
        ping: Duration,
        /// The pong wait.
        pong: Duration,
    },
    /// A wait or limit of nothing would refuse every client.
    #[error("{option} must not be zero")]
    Zero {
        /// The builder's method.
        option: &'static str,
    },
    /// One connection alone could not stay within the memory budget.
    #[error(
        "the memory budget ({budget}) must not be below what one connection may be owed ({least}), \
         which max_backlog and max_message decide"
    )]
    MemoryBudget {
        /// The budget, in bytes.
        budget: usize,
        /// What one connection may hold.
        least: usize,
    },
    /// A client could send no message of the size that it may have.
    #[error(
        "the burst of byte_rate ({burst}) must not be below max_message ({max_message}), or no \
         message of that size ever passes; raise the one or lower the other"
    )]
    ByteBurst {
        /// The burst of [`byte_rate`](Builder::byte_rate), in bytes.
        burst: u32,
        /// [`max_message`](Builder::max_message), in bytes.
        max_message: usize,
    },
    /// An origin is not a scheme and a host.
    #[error("{0:?} is not an origin; write it as https://example.com or https://example.com:8443")]
    Origin(String),
    /// A proxy is not an address or a network.
    #[error("{0:?} is not a proxy; write it as 10.0.0.1, 10.0.0.0/8, fd00::/8 or unix")]
    Proxy(String),
    /// Without a trusted proxy no connection would begin with its header.
    #[error(
        "proxy_protocol needs to know whom to believe: call trust_proxy with the proxy's address"
    )]
    ProxyProtocol,
    /// A subprotocol is not a name that HTTP allows, or one that carries a token.
    #[error(
        "{0:?} is not a subprotocol's name; use letters, digits and the like, without spaces, \
         commas and slashes, and not beginning with \"token.\""
    )]
    Subprotocol(String),
    /// Two of the options exclude each other.
    #[error("{0} and {1} exclude each other; leave one out")]
    Exclusive(&'static str, &'static str),
    /// A cap for each address is above that in all, and so would never apply.
    #[error("{option}_per_address ({per_address}) must not be above {option} ({total})")]
    PerAddress {
        /// The builder's method for the cap in all.
        option: &'static str,
        /// The cap for each address.
        per_address: usize,
        /// The cap in all.
        total: usize,
    },
    /// Two of what the server answers have the same path.
    #[error("the path {0:?} is taken already; choose another")]
    SamePath(String),
    /// A path does not begin with a slash.
    #[error("the path {0:?} must begin with /")]
    Path(String),
}

/// The sentence too: a `main` that returns the error prints it in this form.
impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

//! The opening handshake of RFC 6455: from the first bytes to an accepted or rejected request.
//!
//! ```text
//! bytes ─▶ proxy_protocol ─▶ parser ─▶ pages ─────────▶ response (plain HTTP)
//!                                        │
//!                                        └─▶ decision ─▶ Accepted (101) or Rejected
//!                                            rules, admission, authorize
//! ```

pub(crate) mod compression;
pub(crate) mod decision;
pub(crate) mod options;
pub(crate) mod origin;
pub(crate) mod pages;
pub(crate) mod parser;
pub(crate) mod proxy;
pub(crate) mod proxy_protocol;
pub(crate) mod rejected;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod rules;
pub(crate) mod session_request;
pub(crate) mod subprotocol;

use crate::app::monitor::Monitor;
use crate::core::Core;
use crate::env::Environment;
use crate::handshake::options::HandshakeOptions;
use crate::lifecycle::Lifecycle;
use crate::metrics::warning::Warnings;
use crate::sync::Mutex;

/// The parts of the server that are needed to accept or reject a request.
#[derive(Clone, Copy)]
pub(crate) struct ServerHandshake<'s> {
    pub(crate) options: &'s HandshakeOptions,
    /// True if clients may use the extended protocol.
    pub(crate) has_sessions: bool,
    pub(crate) monitor: &'s Monitor,
    pub(crate) lifecycle: &'s Lifecycle,
    pub(crate) warnings: &'s Warnings,
    /// Locked only to look up the session that a client requests to resume.
    pub(crate) core: &'s Mutex<Core>,
    pub(crate) env: &'s dyn Environment,
}

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

use crate::builder::options::Options;
use crate::core::Core;
use crate::env::Environment;
use crate::lifecycle::Lifecycle;
use crate::metrics::warning::Warnings;
use crate::sync::Mutex;

/// The parts of a server that decide about a request.
#[derive(Clone, Copy)]
pub(crate) struct ServerHandshake<'s> {
    pub(crate) options: &'s Options,
    pub(crate) lifecycle: &'s Lifecycle,
    pub(crate) warnings: &'s Warnings,
    /// Locked only to find the session that a client wants to return to.
    pub(crate) core: &'s Mutex<Core>,
    pub(crate) env: &'s dyn Environment,
}

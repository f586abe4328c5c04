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
pub(crate) mod subprotocol;

//! The opening handshake of RFC 6455: from the first bytes to an accepted or rejected request.

pub(crate) mod origin;
pub(crate) mod parser;
pub(crate) mod proxy;
pub(crate) mod proxy_protocol;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod rules;
pub(crate) mod subprotocol;

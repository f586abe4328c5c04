//! The checks of a request for an upgrade (RFC 6455 section 4.2.1), in the order of the original.

use std::net::IpAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderName, StatusCode, Version};
use tungstenite::handshake::derive_accept_key;

use crate::Server;
use crate::builder::options::Options;
use crate::handshake::proxy;
use crate::handshake::request::{Rejection, Request};
use crate::handshake::response::Response;
use crate::handshake::subprotocol;
use crate::metrics::warning::{WarningCause, shown};
use crate::upgrade::Rejected;

impl Server {
    /// Refuses a request without an address if an option was chosen that needs one. A proxy that
    /// is trusted and does not name its client passes: it may speak for itself.
    pub(crate) fn check_address(
        &self,
        request: &Request,
        is_mounted: bool,
    ) -> Result<(), Rejected> {
        let options = self.options();
        let Some(option) = options.needs_address(is_mounted) else { return Ok(()) };
        if options.proxies.trusts(request.peer) {
            if option != "trust_proxy" && has_token(request, UPGRADE, "websocket") {
                let proxy = request.peer.map(|peer| peer.ip());
                self.warn(WarningCause::NoForwardedFor { option, proxy });
            }
            return Ok(());
        }
        match request.peer {
            Some(_) => Ok(()),
            None => {
                let cause = WarningCause::NoAddress { option };
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                Err(Rejected {
                    refusal: Rejection::new(status, cause.to_string()),
                    cause: Some(cause),
                })
            }
        }
    }

    /// The answer of 101 to a request that is a sound one for an upgrade; or why it is not.
    pub(crate) fn check(&self, request: &Request) -> Result<Response, Rejected> {
        let accept = accept(request, self.options())?;
        let subprotocol = self.options().subprotocols.select(request.headers());
        let offered = subprotocol::offered(request.headers());
        if subprotocol.is_none() && offered > 0 {
            self.warn(WarningCause::Subprotocol { offered });
        }
        Ok(Response::switch(accept, subprotocol))
    }

    /// Why a request for a path without a WebSocket is refused.
    pub(crate) fn elsewhere(&self, request: &Request) -> Option<WarningCause> {
        // Browsers ask for icons and the like.
        has_token(request, UPGRADE, "websocket").then(|| WarningCause::Path {
            path: shown(request.path().as_bytes()),
            websocket: self.options().path.clone(),
        })
    }
}

/// The value of `Sec-WebSocket-Accept` for a request that is a sound one.
fn accept(request: &Request, options: &Options) -> Result<String, Rejected> {
    let refuse = |status, message: &str| {
        Err(Rejected { refusal: Rejection::new(status, message), cause: None })
    };
    let headers = request.headers();
    let is_single = |name| headers.get_all(name).iter().count() <= 1;
    let is_old = request.head.version() < Version::HTTP_11;
    if is_old
        || !has_token(request, CONNECTION, "upgrade")
        || !has_token(request, UPGRADE, "websocket")
    {
        // A proxy that does not know better removes the headers of one connection, and no others.
        if headers.contains_key(SEC_WEBSOCKET_KEY) {
            let message = "a proxy before this server does not pass the upgrade on";
            let refusal = Rejection::new(StatusCode::BAD_REQUEST, message);
            return Err(Rejected { refusal, cause: Some(WarningCause::UpgradeRemoved) });
        }
        let message = match is_old {
            true => "a WebSocket needs HTTP/1.1",
            false => "this address speaks WebSocket only",
        };
        return refuse(StatusCode::BAD_REQUEST, message);
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13")
        || !is_single(SEC_WEBSOCKET_VERSION)
    {
        return refuse(StatusCode::BAD_REQUEST, "Sec-WebSocket-Version must be 13");
    }
    let has_length = headers.get_all(CONTENT_LENGTH).iter().any(|length| length != "0");
    if has_length || headers.contains_key(TRANSFER_ENCODING) {
        // A proxy before the server would take for a body what is frames here.
        return refuse(StatusCode::BAD_REQUEST, "a request for an upgrade has no body");
    }
    if !is_single(HOST) {
        return refuse(StatusCode::BAD_REQUEST, "there must be one Host");
    }
    let origin = headers.get(ORIGIN).map(|origin| origin.as_bytes());
    let host = request.header(HOST.as_str());
    if !is_single(ORIGIN) || !options.origins.admit(origin, host) {
        let message = "pages of this origin may not connect";
        let cause = WarningCause::Origin {
            origin: shown(origin.unwrap_or_default()),
            host: shown(host.unwrap_or_default().as_bytes()),
        };
        return Err(Rejected { refusal: Rejection::forbidden(message), cause: Some(cause) });
    }
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) if is_key(key.as_bytes()) => Ok(derive_accept_key(key.as_bytes())),
        _ => refuse(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key must be 16 bytes"),
    }
}

/// The proxy that speaks for a client and is not trusted.
pub(crate) fn untrusted_proxy(request: &Request, options: &Options) -> Option<IpAddr> {
    let proxy = request.peer.filter(|_| request.headers().contains_key(proxy::HEADER));
    // Behind one that is trusted this is the client's own claim, or the address of a further proxy.
    proxy.filter(|_| !options.proxies.has_networks()).map(|peer| peer.ip())
}

/// Whether a header, a list over one or several lines, has a token (RFC 9110 section 5.6.1).
fn has_token(request: &Request, name: HeaderName, token: &str) -> bool {
    let values = request.headers().get_all(name);
    let mut tokens =
        values.iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    tokens.any(|candidate| candidate.trim().eq_ignore_ascii_case(token))
}

/// Whether a key is 16 bytes in Base64 (RFC 6455 section 4.2.1).
fn is_key(key: &[u8]) -> bool {
    data_encoding::BASE64.decode(key).is_ok_and(|nonce| nonce.len() == 16)
}

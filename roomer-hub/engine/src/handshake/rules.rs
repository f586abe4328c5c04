//! The rules for an upgrade request (RFC 6455 section 4.2.1), in the Go original's order.

use std::net::IpAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderName, StatusCode, Version};
use tungstenite::handshake::derive_accept_key;

use crate::handshake::ServerHandshake;
use crate::handshake::compression;
use crate::handshake::options::HandshakeOptions;
use crate::handshake::proxy;
use crate::handshake::rejected::Rejected;
use crate::handshake::request::{HandshakeRequest, Rejection};
use crate::handshake::response::Response;
use crate::handshake::subprotocol;
use crate::metrics::warning::{WarningReason, shown};
use crate::outbound::compressed::Compression;

impl ServerHandshake<'_> {
    /// Rejects a request without a client address if an option needs one. A trusted proxy's request
    /// that does not name a client is accepted, since the proxy may connect on its own behalf.
    pub(crate) fn check_address(
        &self,
        request: &HandshakeRequest,
        is_mounted: bool,
    ) -> Result<(), Rejected> {
        let options = self.options;
        let Some(option) = options.needs_address(is_mounted) else { return Ok(()) };
        // If a trusted proxy has named its client, `request.peer` is that client. A trusted
        // `request.peer` therefore means that the proxy has named no client.
        if options.proxies.trusts(request.peer) {
            if option != "trust_proxy" && has_token(request, UPGRADE, "websocket") {
                let proxy = request.peer.map(|peer| peer.ip());
                self.warnings.give(match options.proxy_protocol && !is_mounted {
                    true => WarningReason::UnnamedClient { option, proxy },
                    false => WarningReason::NoForwardedFor { option, proxy },
                });
            }
            return Ok(());
        }
        match request.peer {
            Some(_) => Ok(()),
            None => {
                // The client is not at fault: the operator must configure the server.
                let reason = WarningReason::NoAddress { option };
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                let rejection = Rejection::new(status, reason.to_string());
                Err(Rejected { rejection, reason: Some(reason) })
            }
        }
    }

    /// Returns the 101 response and the negotiated compression if the request complies with the
    /// rules, or the rejection otherwise.
    pub(crate) fn check_upgrade(
        &self,
        request: &HandshakeRequest,
    ) -> Result<(Response, Compression), Rejected> {
        let accept_key = check(request, self.options)?;
        let subprotocol = self.options.subprotocols.select(request.headers());
        let offered = subprotocol::offered(request.headers());
        if subprotocol.is_none() && offered > 0 {
            self.warnings.give(WarningReason::Subprotocol { offered });
        }
        let (compression, extension) = compression::negotiate(request.headers(), self.options);
        Ok((Response::switching_protocols(accept_key, subprotocol, extension), compression))
    }

    /// Returns the warning for an upgrade request at a path without a WebSocket. Other requests for
    /// unknown paths cause no warning, since browsers request icons, for example.
    pub(crate) fn wrong_path(&self, request: &HandshakeRequest) -> Option<WarningReason> {
        has_token(request, UPGRADE, "websocket").then(|| WarningReason::Path {
            path: shown(request.path().as_bytes()),
            websocket: self.options.path.clone(),
        })
    }
}

/// Checks all rules and returns the value of `Sec-WebSocket-Accept`.
fn check(request: &HandshakeRequest, options: &HandshakeOptions) -> Result<String, Rejected> {
    check_upgrade_headers(request)?;
    check_version_and_body(request)?;
    check_origin(request, options)?;
    let mut keys = request.headers().get_all(SEC_WEBSOCKET_KEY).iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) if is_key(key.as_bytes()) => Ok(derive_accept_key(key.as_bytes())),
        _ => Err(bad_request("Sec-WebSocket-Key must be 16 bytes")),
    }
}

fn check_upgrade_headers(request: &HandshakeRequest) -> Result<(), Rejected> {
    let is_old = request.head.version() < Version::HTTP_11;
    if !is_old
        && has_token(request, CONNECTION, "upgrade")
        && has_token(request, UPGRADE, "websocket")
    {
        return Ok(());
    }
    // A proxy that does not support upgrades removes only the hop-by-hop headers, so the key is
    // still present in the request that it forwards.
    if request.headers().contains_key(SEC_WEBSOCKET_KEY) {
        let rejected = bad_request("a proxy in front of this server does not forward the upgrade");
        return Err(Rejected { reason: Some(WarningReason::UpgradeRemoved), ..rejected });
    }
    Err(bad_request(match is_old {
        true => "a WebSocket requires HTTP/1.1",
        false => "this address accepts only WebSocket upgrades",
    }))
}

fn check_version_and_body(request: &HandshakeRequest) -> Result<(), Rejected> {
    let headers = request.headers();
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13")
        || !is_single(request, SEC_WEBSOCKET_VERSION)
    {
        return Err(bad_request("Sec-WebSocket-Version must be 13"));
    }
    let has_length = headers.get_all(CONTENT_LENGTH).iter().any(|length| length != "0");
    if has_length || headers.contains_key(TRANSFER_ENCODING) {
        // A proxy in front of the server would treat the client's frames as the request's body, and the
        // bytes after them as the next request.
        return Err(bad_request("an upgrade request must not have a body"));
    }
    Ok(())
}

fn check_origin(request: &HandshakeRequest, options: &HandshakeOptions) -> Result<(), Rejected> {
    // Reject a second `Host` header: a proxy in front of the server may have checked only one of
    // them.
    if !is_single(request, HOST) {
        return Err(bad_request("there must be only one Host header"));
    }
    let origin = request.headers().get(ORIGIN).map(|origin| origin.as_bytes());
    let host = request.header(HOST.as_str());
    if is_single(request, ORIGIN) && options.origins.admit(origin, host) {
        return Ok(());
    }
    let reason = WarningReason::Origin {
        origin: shown(origin.unwrap_or_default()),
        host: shown(host.unwrap_or_default().as_bytes()),
    };
    let rejection = Rejection::forbidden("pages from this origin may not connect");
    Err(Rejected { rejection, reason: Some(reason) })
}

fn bad_request(message: &str) -> Rejected {
    Rejected { rejection: Rejection::new(StatusCode::BAD_REQUEST, message), reason: None }
}

/// Returns the peer if it sends `X-Forwarded-For` but is not trusted: the operator may have forgotten
/// [`trust_proxy`](crate::Builder::trust_proxy).
pub(crate) fn untrusted_proxy(
    request: &HandshakeRequest,
    options: &HandshakeOptions,
) -> Option<IpAddr> {
    let proxy = request.peer.filter(|_| request.headers().contains_key(proxy::HEADER));
    // If any proxy is trusted by its address, this peer is either a client, which may have sent the
    // header itself, or another proxy.
    proxy.filter(|_| !options.proxies.has_networks()).map(|peer| peer.ip())
}

/// Returns true if the header has at most one line.
fn is_single(request: &HandshakeRequest, name: HeaderName) -> bool {
    request.headers().get_all(name).iter().count() <= 1
}

/// Returns true if a list-valued header, in one or more lines, contains a token (RFC 9110 section
/// 5.6.1).
fn has_token(request: &HandshakeRequest, name: HeaderName, token: &str) -> bool {
    let values = request.headers().get_all(name);
    let mut tokens =
        values.iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    tokens.any(|candidate| candidate.trim().eq_ignore_ascii_case(token))
}

/// Returns true if a key is 16 bytes in Base64 (RFC 6455 section 4.2.1).
fn is_key(key: &[u8]) -> bool {
    data_encoding::BASE64.decode(key).is_ok_and(|nonce| nonce.len() == 16)
}

//! A handshake's HTTP request, and the result from the application's `authorize` hook.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::app::claims::Claims;
use crate::handshake::options::HandshakeOptions;
use crate::handshake::subprotocol;
use crate::transport::peer::canonical;

/// An upgrade request, as passed to the [`authorize`](crate::Builder::authorize) hook.
#[derive(Debug)]
pub struct HandshakeRequest {
    pub(crate) head: http::Request<()>,
    pub(crate) peer: Option<SocketAddr>,
}

impl HandshakeRequest {
    pub(crate) fn new(
        head: http::Request<()>,
        peer: Option<SocketAddr>,
        options: &HandshakeOptions,
    ) -> Self {
        let peer = options.proxies.client(peer, head.headers()).map(canonical);
        HandshakeRequest { head, peer }
    }

    /// Returns the request's head, with the extensions that a framework's middleware has added.
    #[must_use]
    pub fn head(&self) -> &http::Request<()> {
        &self.head
    }

    /// Returns the client's address, if the transport has addresses. Behind a
    /// [trusted](crate::Builder::trust_proxy) proxy, this is the address that the proxy reports,
    /// with port 0 if the proxy reports no port. Behind any other proxy, it is the proxy's own
    /// address. A client that connects over IPv4 has an IPv4 address, even if the listener accepts
    /// both IPv6 and IPv4.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Returns the path, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.head.uri().path()
    }

    /// Returns the first value of a query parameter, decoded.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        let query = self.head.uri().query()?;
        form_urlencoded::parse(query.as_bytes())
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// Returns the first value of a header, if it is visible ASCII.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// Returns the client's token, from the first of these that is present: the `Authorization:
    /// Bearer` header, which browsers cannot send; a subprotocol, which browsers can send and which
    /// does not appear in URLs and logs (see [`subprotocol`](crate::Builder::subprotocol)); or the
    /// query parameter `token`.
    #[must_use]
    pub fn token(&self) -> Option<Cow<'_, str>> {
        let bearer = || {
            let (scheme, token) = self.header("authorization")?.split_once(' ')?;
            // Scheme names are case-insensitive (RFC 9110 section 11.1).
            scheme.eq_ignore_ascii_case("bearer").then(|| Cow::Borrowed(token.trim()))
        };
        let offered = || subprotocol::token(self.headers()).map(Cow::Owned);
        bearer().or_else(offered).or_else(|| self.query("token"))
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.head.headers()
    }
}

/// The result of an [`authorize`](crate::Builder::authorize) hook: the connection's claims, or a
/// rejection.
pub type AuthResult = Result<Claims, Rejection>;

/// A rejected request: the HTTP response's status and body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {message}")]
pub struct Rejection {
    status: StatusCode,
    message: String,
    retry_after: Option<Duration>,
}

impl Rejection {
    /// Creates a rejection with 401 Unauthorized. `message` is the response's body.
    #[must_use]
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Rejection::new(StatusCode::UNAUTHORIZED, message)
    }

    /// Creates a rejection with 403 Forbidden. `message` is the response's body.
    #[must_use]
    pub fn forbidden(message: impl Into<String>) -> Self {
        Rejection::new(StatusCode::FORBIDDEN, message)
    }

    /// Creates a rejection with any error status. A status below 400 is not an error, and 403
    /// replaces it. If `message` is empty, the body is the status's standard text.
    #[must_use]
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let is_error = status.is_client_error() || status.is_server_error();
        let status = if is_error { status } else { StatusCode::FORBIDDEN };
        Rejection { status, message: message.into(), retry_after: None }
    }

    /// Sets the response's `Retry-After`, in whole seconds. Default: five seconds with 429 and 503,
    /// and none with other statuses.
    #[must_use]
    pub fn retry_after(mut self, time: Duration) -> Self {
        self.retry_after = Some(time);
        self
    }

    /// Returns the value of the response's `Retry-After`, rounded up so that a client does not return
    /// too early.
    pub(crate) fn seconds_to_retry(&self) -> Option<u64> {
        self.retry_after
            .map(|time| time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)))
    }

    /// Returns the response's status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the response's body.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_rounded_up_without_overflow() {
        let seconds = |time| Rejection::forbidden("").retry_after(time).seconds_to_retry();
        assert_eq!(seconds(Duration::ZERO), Some(0));
        assert_eq!(seconds(Duration::from_millis(1_001)), Some(2));
        assert_eq!(seconds(Duration::MAX), Some(u64::MAX));
    }
}

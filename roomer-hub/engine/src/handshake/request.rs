//! The HTTP request of a handshake, and what the application may say to it.

use std::borrow::Cow;
use std::net::SocketAddr;

use http::{HeaderMap, StatusCode};

use crate::app::claims::Claims;
use crate::builder::options::Options;
use crate::handshake::subprotocol;

/// The request that asks for an upgrade, as the [`authorize`](crate::Builder::authorize) hook
/// sees it.
#[derive(Debug)]
pub struct Request {
    pub(crate) head: http::Request<()>,
    pub(crate) peer: Option<SocketAddr>,
}

impl Request {
    pub(crate) fn new(
        head: http::Request<()>,
        peer: Option<SocketAddr>,
        options: &Options,
    ) -> Self {
        let peer = options.proxies.client(peer, head.headers());
        Request { head, peer }
    }

    /// The request's head.
    #[must_use]
    pub fn head(&self) -> &http::Request<()> {
        &self.head
    }

    /// The client's address, if the transport has addresses. Behind a proxy it is the proxy's,
    /// unless [`trust_proxy`](crate::Builder::trust_proxy) says whom to believe; the port is then
    /// 0 where the proxy does not tell it.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The path, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.head.uri().path()
    }

    /// The first value of a query parameter, decoded.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        let query = self.head.uri().query()?;
        form_urlencoded::parse(query.as_bytes())
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// The first value of a header, if it is visible ASCII.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// The token that the client brought: as `Authorization: Bearer`, which programs can send; as a
    /// subprotocol, which browsers can send too and which is in no address and no log (see
    /// [`subprotocol`](crate::Builder::subprotocol)); or as the query parameter `token`. The first
    /// of these counts.
    #[must_use]
    pub fn token(&self) -> Option<Cow<'_, str>> {
        let bearer = || {
            let (scheme, token) = self.header("authorization")?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| Cow::Borrowed(token.trim()))
        };
        let offered = || subprotocol::token(self.headers()).map(Cow::Owned);
        bearer().or_else(offered).or_else(|| self.query("token"))
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.head.headers()
    }
}

/// What [`authorize`](crate::Builder::authorize) decides: claims to come in with, or a refusal.
pub type AuthResult = Result<Claims, Rejection>;

/// No upgrade: the answer is an HTTP error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {message}")]
pub struct Rejection {
    status: StatusCode,
    message: String,
}

impl Rejection {
    /// 401 Unauthorized, with a text for the answer's body.
    #[must_use]
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Rejection { status: StatusCode::UNAUTHORIZED, message: message.into() }
    }

    /// 403 Forbidden, with a text for the answer's body.
    #[must_use]
    pub fn forbidden(message: impl Into<String>) -> Self {
        Rejection { status: StatusCode::FORBIDDEN, message: message.into() }
    }

    /// Any error status. One below 400 is no refusal and becomes 403.
    #[must_use]
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let is_error = status.is_client_error() || status.is_server_error();
        let status = if is_error { status } else { StatusCode::FORBIDDEN };
        Rejection { status, message: message.into() }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

//! The rules of an upgrade, and the way in for connections whose HTTP somebody else speaks.
//!
//! The order of the checks, and their answers, are those of the Go original.

use std::fmt;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HOST, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderName, Method, StatusCode, Version};
use tungstenite::handshake::derive_accept_key;

use super::Server;
use super::answer::Answer;
use super::claims::Claims;
use super::connection::Connection;
use super::options::Options;
use super::request::{Refusal, Request};
use super::trace;
use super::transport::{Reader, Writer};

/// A request that may come in: the answer to send, and the connection to start once it is sent.
///
/// ```
/// use http::Request;
/// use roomer_hub::server::Server;
///
/// let server = Server::builder().build()?;
/// let request = Request::get("/anywhere")
///     .header("Connection", "Upgrade")
///     .header("Upgrade", "websocket")
///     .header("Sec-WebSocket-Version", "13")
///     .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
/// let upgrade = server.upgrade(request.body(())?, None).expect("a sound request");
/// assert_eq!(upgrade.response().status(), 101);
/// // The framework sends that; `upgrade.connect` takes over the stream.
///
/// let refused = server.upgrade(Request::post("/anywhere").body(())?, None);
/// assert_eq!(refused.unwrap_err().status(), 405);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Until it is connected or dropped, the server counts it as a socket in its care, and a
/// shutdown waits for it.
#[must_use = "dropping it gives the connection up"]
pub struct Upgrade {
    server: Server,
    answer: Answer,
    claims: Option<Arc<Claims>>,
    peer: Option<SocketAddr>,
}

impl Server {
    /// Decides about a request that a framework has read, by the same rules as
    /// [`connect`](Self::connect) does, but for the path: that is the framework's choice.
    ///
    /// `peer` is the address at the other end of the connection, if it is known. A [`Claims`]
    /// among the request's extensions, which a middleware may put there, is what the connection
    /// comes in with. With an [`authorize`](super::Builder::authorize) hook too, both apply; the
    /// hook sees the middleware's at [`Request::head`], and its own win where both have a name.
    ///
    /// # Errors
    ///
    /// The answer to send instead: an error for this client alone, or 503 when the server shuts
    /// down.
    #[expect(clippy::result_large_err, reason = "an answer either way")]
    pub fn upgrade(
        &self,
        request: http::Request<()>,
        peer: Option<SocketAddr>,
    ) -> Result<Upgrade, http::Response<String>> {
        if self.is_closing() {
            return Err(Answer::error(StatusCode::SERVICE_UNAVAILABLE).into_response());
        }
        let request = Request::new(request, peer, self.options());
        let (answer, claims) = check(&request, self.options())
            .inspect_err(|refusal| trace::refused(request.peer, refusal.status().as_u16()))
            .map_err(|refusal| Answer::refusal(&refusal).into_response())?;
        self.0.life.enter();
        Ok(Upgrade { server: self.clone(), answer, claims, peer: request.peer })
    }
}

impl Upgrade {
    /// The answer to send: 101 with its headers.
    #[must_use]
    pub fn response(&self) -> http::Response<String> {
        self.answer.clone().into_response()
    }

    /// Takes the connection into care once the answer is sent. `behind` is what was read behind
    /// the request's head, usually nothing. As with [`Server::connect`], spawn what this returns.
    pub fn connect<R: Reader>(
        self,
        reader: R,
        writer: impl Writer,
        behind: &[u8],
    ) -> Connection<R> {
        let server = self.server.clone();
        Connection::upgraded(server, reader, writer, self.peer, self.claims.clone(), behind)
    }

    /// How long the answer may take to be sent, the handshake's time limit; drop this after it.
    #[must_use]
    pub fn time_limit(&self) -> Duration {
        self.server.options().handshake_wait
    }

    /// The server that it is an upgrade of.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }
}

impl Drop for Upgrade {
    fn drop(&mut self) {
        self.server.0.life.leave();
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// The answer of 101, and the claims to come in with; or why not.
pub(super) fn check(
    request: &Request,
    options: &Options,
) -> Result<(Answer, Option<Arc<Claims>>), Refusal> {
    let refuse = |status, message: &str| Err(Refusal::new(status, message));
    let headers = request.headers();
    if request.head.method() != Method::GET {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "");
    }
    let mut claims = request.head.extensions().get::<Claims>().cloned();
    if let Some(authorize) = &options.authorize {
        match catch_unwind(AssertUnwindSafe(|| authorize(request))) {
            Ok(verdict) => claims.get_or_insert_default().extend(verdict?),
            Err(_) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, ""),
        }
    }
    if request.head.version() < Version::HTTP_11 {
        return refuse(StatusCode::BAD_REQUEST, "a WebSocket needs HTTP/1.1");
    }
    if !has_token(request, CONNECTION, "upgrade") || !has_token(request, UPGRADE, "websocket") {
        return refuse(StatusCode::BAD_REQUEST, "this address speaks WebSocket only");
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return refuse(StatusCode::BAD_REQUEST, "Sec-WebSocket-Version must be 13");
    }
    let origin = headers.get(ORIGIN).map(|origin| origin.as_bytes());
    let host = request.header(HOST.as_str());
    let alone = headers.get_all(ORIGIN).iter().count() <= 1;
    if !alone || !options.origins.admit(origin, host) {
        return refuse(StatusCode::FORBIDDEN, "pages of this origin may not connect");
    }
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let key = match (keys.next(), keys.next()) {
        (Some(key), None) if is_key(key.as_bytes()) => key,
        _ => {
            return refuse(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key must be 16 bytes");
        }
    };
    Ok((Answer::switch(derive_accept_key(key.as_bytes())), claims.map(Arc::new)))
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

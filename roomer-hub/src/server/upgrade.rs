//! The rules of an upgrade, and the way in for connections whose HTTP somebody else speaks.
//!
//! The order of the checks, and their answers, are those of the Go original.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderName, Method, StatusCode, Version};
use tungstenite::handshake::derive_accept_key;

use super::Server;
use super::admission::Place;
use super::answer::Answer;
use super::claims::Claims;
use super::connection::Connection;
use super::handler::{self, HandlerPanic, Run};
use super::options::{Authorize, Options};
use super::request::{Refusal, Request, Verdict};
use super::trace;
use super::transport::{Reader, Writer};
use super::witness::{Followed, Whose};

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
    pass: Pass,
    /// It counts as a connection, which nobody has taken over yet.
    is_seated: bool,
}

impl Server {
    /// Decides about a request that a framework has read, by the same rules as
    /// [`connect`](Self::connect) does, but for the path, and for the caps on handshakes: those
    /// are the framework's.
    ///
    /// `peer` is the address at the other end of the connection, if it is known. A [`Claims`]
    /// among the request's extensions, which a middleware may put there, is what the connection
    /// comes in with. With an [`authorize`](super::Builder::authorize) hook too, both apply; the
    /// hook sees the middleware's at [`Request::head`], and its own win where both have a name.
    ///
    /// # Errors
    ///
    /// The answer to send instead: an error for this client alone, 503 or 429 when the server is
    /// full or shuts down, 500 when it was built with
    /// [`authorize_async`](super::Builder::authorize_async), which
    /// [`upgrade_async`](Self::upgrade_async) waits for.
    #[expect(clippy::result_large_err, reason = "an answer either way")]
    pub fn upgrade(
        &self,
        request: http::Request<()>,
        peer: Option<SocketAddr>,
    ) -> Result<Upgrade, http::Response<String>> {
        self.seat(
            peer,
            match self.decide(Request::new(request, peer, self.options())) {
                Decision::Made(decided) => decided,
                Decision::Asked(_) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "")),
            },
        )
    }

    /// As [`upgrade`](Self::upgrade), for a server that may have an
    /// [`authorize_async`](super::Builder::authorize_async) hook. Drop it when the client goes, or
    /// after [`handshake_limit`](Self::handshake_limit); that ends the hook.
    ///
    /// # Errors
    ///
    /// The answer to send instead.
    pub async fn upgrade_async(
        &self,
        request: http::Request<()>,
        peer: Option<SocketAddr>,
    ) -> Result<Upgrade, http::Response<String>> {
        let decided = match self.decide(Request::new(request, peer, self.options())) {
            Decision::Made(decided) => decided,
            Decision::Asked(mut asked) => poll_fn(|cx| asked.poll(cx)).await,
        };
        self.seat(peer, decided)
    }

    #[expect(clippy::result_large_err, reason = "an answer either way")]
    fn seat(
        &self,
        peer: Option<SocketAddr>,
        decided: Result<Pass, Refusal>,
    ) -> Result<Upgrade, http::Response<String>> {
        let (life, options) = (&self.0.life, self.options());
        let seated = decided.and_then(|pass| {
            life.seat(options.address(pass.peer), &options.caps).map_err(refused)?;
            Ok(pass)
        });
        match seated {
            Ok(pass) => Ok(Upgrade { server: self.clone(), pass, is_seated: true }),
            Err(refusal) => {
                life.note_refused(refusal.status());
                trace::refused(peer, refusal.status().as_u16());
                Err(Answer::refusal(&refusal).into_response())
            }
        }
    }
}

impl Upgrade {
    /// The answer to send: 101 with its headers.
    #[must_use]
    pub fn response(&self) -> http::Response<String> {
        self.pass.answer.clone().into_response()
    }

    /// Takes the connection into care once the answer is sent. `behind` is what was read behind
    /// the request's head, usually nothing. As with [`Server::connect`], spawn what this returns.
    pub fn connect<R: Reader>(
        mut self,
        reader: R,
        writer: impl Writer,
        behind: &[u8],
    ) -> Connection<R> {
        self.is_seated = false;
        let (server, claims) = (self.server.clone(), self.pass.claims.take());
        Connection::upgraded(server, reader, writer, self.pass.peer, claims, behind)
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
        if self.is_seated {
            let address = self.server.options().address(self.pass.peer);
            self.server.0.life.leave(Place::Connection, address);
        }
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade").field("peer", &self.pass.peer).finish_non_exhaustive()
    }
}

/// What an upgrade that may go through comes in with.
pub(super) struct Pass {
    /// 101.
    pub(super) answer: Answer,
    pub(super) claims: Option<Arc<Claims>>,
    pub(super) peer: Option<SocketAddr>,
}

/// What becomes of a request for an upgrade.
pub(super) enum Decision {
    Made(Result<Pass, Refusal>),
    /// The application takes its time.
    Asked(Box<Asked>),
}

/// A decision that the application takes its time for.
pub(super) struct Asked {
    server: Server,
    run: Run<Verdict>,
    followed: Followed,
    /// What comes of it if the application agrees.
    rest: Option<Rest>,
}

/// All of a decision but the application's word.
struct Rest {
    given: Option<Claims>,
    sound: Result<Answer, Refusal>,
    peer: Option<SocketAddr>,
}

impl Asked {
    /// Ready once.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Pass, Refusal>> {
        let run = &mut self.run;
        let verdict = ready!(self.followed.poll(cx, |cx| handler::poll(run, cx)));
        Poll::Ready(match self.rest.take() {
            Some(rest) => {
                self.server.said(verdict, rest.peer).and_then(|claims| rest.agree(Some(claims)))
            }
            None => Err(refused(StatusCode::INTERNAL_SERVER_ERROR)),
        })
    }
}

impl Rest {
    fn agree(self, said: Option<Claims>) -> Result<Pass, Refusal> {
        let mut claims = self.given;
        if let Some(said) = said {
            claims.get_or_insert_default().extend(said);
        }
        let (claims, peer) = (claims.map(Arc::new), self.peer);
        self.sound.map(|answer| Pass { answer, claims, peer })
    }
}

fn authorize() -> Whose {
    ("the hook `authorize`".into(), None)
}

/// No, for a reason that the status says.
pub(super) fn refused(status: StatusCode) -> Refusal {
    Refusal::new(status, "")
}

impl Server {
    /// Decides about a request for an upgrade, as far as that is possible at once.
    pub(super) fn decide(&self, request: Request) -> Decision {
        self.begin(request).unwrap_or_else(|refusal| Decision::Made(Err(refusal)))
    }

    fn begin(&self, request: Request) -> Result<Decision, Refusal> {
        let options = self.options();
        if request.head.method() != Method::GET {
            return Err(refused(StatusCode::METHOD_NOT_ALLOWED));
        }
        // Before anybody is asked who would have to do something for it.
        self.0.life.check(options.address(request.peer), &options.caps).map_err(refused)?;
        let (given, peer) = (request.head.extensions().get::<Claims>().cloned(), request.peer);
        let rest = |sound| Rest { given, sound, peer };
        Ok(match &options.authorize {
            None => Decision::Made(rest(check(&request, options)).agree(None)),
            Some(Authorize::Sync(hook)) => {
                let claims = self.said(handler::contain(|| hook(&request)), peer)?;
                Decision::Made(rest(check(&request, options)).agree(Some(claims)))
            }
            Some(Authorize::Async(hook)) => {
                let rest = Some(rest(check(&request, options)));
                let run = handler::contain(|| hook(request));
                let run = run.map_err(|panic| self.authorize_failed(&panic, peer))?;
                let followed = self.follow(authorize);
                Decision::Asked(Box::new(Asked { server: self.clone(), run, followed, rest }))
            }
        })
    }

    /// What the hook has said; a panic is an error of the server's.
    fn said(&self, verdict: Result<Verdict, HandlerPanic>, peer: Option<SocketAddr>) -> Verdict {
        verdict.unwrap_or_else(|panic| Err(self.authorize_failed(&panic, peer)))
    }

    fn authorize_failed(&self, panic: &HandlerPanic, peer: Option<SocketAddr>) -> Refusal {
        trace::authorize_failed(peer, panic);
        self.show(authorize, &panic.message, true);
        refused(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// The answer of 101 to a request that is a sound one for an upgrade; or why it is not.
fn check(request: &Request, options: &Options) -> Result<Answer, Refusal> {
    let refuse = |status, message: &str| Err(Refusal::new(status, message));
    let headers = request.headers();
    let is_single = |name| headers.get_all(name).iter().count() <= 1;
    if request.head.version() < Version::HTTP_11 {
        return refuse(StatusCode::BAD_REQUEST, "a WebSocket needs HTTP/1.1");
    }
    if !has_token(request, CONNECTION, "upgrade") || !has_token(request, UPGRADE, "websocket") {
        return refuse(StatusCode::BAD_REQUEST, "this address speaks WebSocket only");
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
        return refuse(StatusCode::FORBIDDEN, "pages of this origin may not connect");
    }
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let key = match (keys.next(), keys.next()) {
        (Some(key), None) if is_key(key.as_bytes()) => key,
        _ => {
            return refuse(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key must be 16 bytes");
        }
    };
    Ok(Answer::switch(derive_accept_key(key.as_bytes())))
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

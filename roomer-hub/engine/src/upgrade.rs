//! The rules of an upgrade, and the way in for connections whose HTTP somebody else speaks.
//!
//! The order of the checks, and their answers, are those of the Go original.

use std::fmt;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Extensions, Method, StatusCode};

use crate::Server;
use crate::app::claims::{Claims, Credentials, Expired};
use crate::app::handler::{self, BoxFuture, HandlerPanic};
use crate::app::monitor::{CallOwner, ObservedCall};
use crate::builder::options::Authorize;
use crate::connection::Connection;
use crate::handshake::request::{AuthResult, Rejection, Request};
use crate::handshake::response::Response;
use crate::handshake::rules::untrusted_proxy;
use crate::lifecycle::admission::SocketKind;
use crate::metrics::trace;
use crate::metrics::warning::WarningCause;
use crate::transport::{Reader, Writer};

/// A request that may come in: the answer to send, and the connection to start once it is sent.
///
/// ```
/// use http::Request;
/// # use roomer_engine as roomer_tokio;
/// use roomer_tokio::Server; // or roomer_smol
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
/// let rejected = server.upgrade(Request::post("/anywhere").body(())?, None);
/// assert_eq!(rejected.unwrap_err().status(), 405);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Until it is connected or dropped, the server counts it as a socket in its care, and a
/// shutdown waits for it.
#[must_use = "dropping it gives the connection up"]
pub struct Upgrade {
    server: Server,
    dispatch: Accepted,
    /// It counts as a connection, which nobody has taken over yet.
    is_seated: bool,
}

impl Server {
    /// Decides about a request that a framework has read, by the same rules as
    /// [`connect`](Self::connect) does, but for the path, and for the caps on handshakes: those
    /// are the framework's.
    ///
    /// `peer` is the address at the other end of the connection, if it is known. The request's
    /// extensions, which middleware fills, stay with the connection
    /// ([`Conn::extension`](crate::Conn::extension)); a [`Claims`] among them is what the
    /// connection comes in with. With an [`authorize`](crate::Builder::authorize) hook too, both apply; the
    /// hook sees the middleware's at [`Request::head`], and its own win where both have a name.
    ///
    /// # Errors
    ///
    /// The answer to send instead: an error for this client alone, 503 or 429 when the server is
    /// full or shuts down, 500 when it was built with
    /// [`authorize_async`](crate::Builder::authorize_async), which
    /// [`upgrade_async`](Self::upgrade_async) waits for.
    #[expect(clippy::result_large_err, reason = "a response either way")]
    pub fn upgrade(
        &self,
        request: http::Request<()>,
        peer: Option<SocketAddr>,
    ) -> Result<Upgrade, http::Response<String>> {
        self.reserve(
            peer,
            match self.decide(Request::new(request, peer, self.options()), true) {
                Decision::Ready(decided) => decided,
                Decision::PendingAuth(_) => Err(rejected(StatusCode::INTERNAL_SERVER_ERROR)),
            },
        )
    }

    /// As [`upgrade`](Self::upgrade), for a server that may have an
    /// [`authorize_async`](crate::Builder::authorize_async) hook. Drop it when the client goes, or
    /// after [`handshake_timeout`](Self::handshake_timeout); that ends the hook.
    ///
    /// # Errors
    ///
    /// The answer to send instead.
    pub async fn upgrade_async(
        &self,
        request: http::Request<()>,
        peer: Option<SocketAddr>,
    ) -> Result<Upgrade, http::Response<String>> {
        let decided = match self.decide(Request::new(request, peer, self.options()), true) {
            Decision::Ready(decided) => decided,
            Decision::PendingAuth(mut asked) => poll_fn(|cx| asked.poll(cx)).await,
        };
        self.reserve(peer, decided)
    }

    #[expect(clippy::result_large_err, reason = "a response either way")]
    fn reserve(
        &self,
        peer: Option<SocketAddr>,
        decided: Result<Accepted, Rejected>,
    ) -> Result<Upgrade, http::Response<String>> {
        let (lifecycle, options) = (&self.0.lifecycle, self.options());
        let seated = decided.and_then(|dispatch| {
            let seated = lifecycle.reserve(options.address(dispatch.peer), &options.admission);
            seated.map_err(|status| self.full(status, dispatch.untrusted_proxy))?;
            Ok(dispatch)
        });
        match seated {
            Ok(dispatch) => Ok(Upgrade { server: self.clone(), dispatch, is_seated: true }),
            Err(Rejected { refusal, cause }) => {
                self.record_rejected(peer, refusal.status(), cause);
                Err(Response::refusal(&refusal).into_response())
            }
        }
    }

    /// Refuses a client whose [`upgrade_async`](Self::upgrade_async) took longer than
    /// [`handshake_timeout`](Self::handshake_timeout): returns the answer to send, 503.
    pub fn authorize_timed_out(&self, peer: Option<SocketAddr>) -> http::Response<String> {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        self.record_rejected(peer, status, Some(WarningCause::AuthorizeTimeout));
        Response::error(status).into_response()
    }

    /// Counts a refused handshake and reports it.
    pub(crate) fn record_rejected(
        &self,
        peer: Option<SocketAddr>,
        status: StatusCode,
        cause: Option<WarningCause>,
    ) {
        self.0.lifecycle.record_rejected(status);
        trace::rejected(peer, status.as_u16());
        if let Some(cause) = cause {
            self.warn(cause);
        }
    }

    /// The warning of a handshake that is refused for want of room.
    pub(crate) fn handshakes_full(&self, status: StatusCode) -> WarningCause {
        let cap = self.options().admission.handshakes;
        let (option, limit) = match status {
            StatusCode::TOO_MANY_REQUESTS => ("max_handshakes_per_address", cap.per_address),
            _ => ("max_handshakes", cap.total),
        };
        WarningCause::Full { option, limit, untrusted_proxy: None }
    }

    /// A refusal for want of room: of the limit on connections, or since the server ends.
    pub(crate) fn full(&self, status: StatusCode, untrusted_proxy: Option<IpAddr>) -> Rejected {
        let cap = self.options().admission.connections;
        let (option, limit) = match status {
            StatusCode::TOO_MANY_REQUESTS => ("max_connections_per_address", cap.per_address),
            _ => ("max_connections", cap.total),
        };
        let cause = WarningCause::Full { option, limit, untrusted_proxy };
        // That a server which ends lets nothing in is as it should be.
        let cause = self.0.lifecycle.is_open().then_some(cause);
        Rejected { refusal: Rejection::new(status, ""), cause }
    }
}

impl Upgrade {
    /// The answer to send: 101 with its headers.
    #[must_use]
    pub fn response(&self) -> http::Response<String> {
        self.dispatch.response.clone().into_response()
    }

    /// Takes the connection into care once the answer is sent. `leftover` is what was read behind
    /// the request's head, usually nothing. As with [`Server::connect`], spawn what this returns.
    pub fn connect<R: Reader>(
        mut self,
        reader: R,
        writer: impl Writer,
        leftover: &[u8],
    ) -> Connection<R> {
        self.is_seated = false;
        let (server, credentials) = (self.server.clone(), self.dispatch.credentials.take());
        Connection::upgraded(server, reader, writer, self.dispatch.peer, credentials, leftover)
    }

    /// How long the answer may take to be sent, the handshake's time limit; drop this after it.
    #[must_use]
    pub fn time_limit(&self) -> Duration {
        self.server.options().handshake_timeout
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
            let address = self.server.options().address(self.dispatch.peer);
            self.server.0.lifecycle.leave(SocketKind::Connection, address);
        }
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade").field("peer", &self.dispatch.peer).finish_non_exhaustive()
    }
}

/// What an upgrade that may go through comes in with.
pub(crate) struct Accepted {
    /// 101.
    pub(crate) response: Response,
    pub(crate) credentials: Option<Arc<Credentials>>,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) untrusted_proxy: Option<IpAddr>,
}

/// A request that does not pass: the answer to the client, and the warning to the operator.
pub(crate) struct Rejected {
    pub(crate) refusal: Rejection,
    pub(crate) cause: Option<WarningCause>,
}

/// What becomes of a request for an upgrade.
pub(crate) enum Decision {
    Ready(Result<Accepted, Rejected>),
    /// The application takes its time.
    PendingAuth(Box<PendingAuth>),
}

/// A decision that the application takes its time for.
pub(crate) struct PendingAuth {
    server: Server,
    run: BoxFuture<AuthResult>,
    observed: ObservedCall,
    /// What comes of it if the application agrees.
    rest: Option<AfterAuth>,
}

/// All of a decision but the application's word.
struct AfterAuth {
    given: Option<Claims>,
    extensions: Extensions,
    sound: Result<Response, Rejected>,
    peer: Option<SocketAddr>,
    untrusted_proxy: Option<IpAddr>,
    has_token: bool,
}

impl PendingAuth {
    /// Ready once.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Accepted, Rejected>> {
        let run = &mut self.run;
        let verdict = ready!(self.observed.poll(cx, |cx| handler::poll(run, cx)));
        Poll::Ready(match self.rest.take() {
            Some(rest) => {
                let auth_result = self.server.auth_result(verdict, rest.peer, rest.has_token);
                auth_result.and_then(|claims| rest.accept(Some(claims), self.server.now()))
            }
            None => Err(rejected(StatusCode::INTERNAL_SERVER_ERROR)),
        })
    }
}

impl AfterAuth {
    fn accept(self, auth_result: Option<Claims>, now: Duration) -> Result<Accepted, Rejected> {
        let AfterAuth { given: mut claims, extensions, sound, peer, untrusted_proxy, .. } = self;
        if let Some(auth_result) = auth_result {
            claims.get_or_insert_default().merge(auth_result);
        }
        let credentials = Credentials::new(claims, extensions, now).map_err(|Expired| {
            let refusal = Rejection::unauthorized("the login has expired");
            let (status, has_token) = (refusal.status().as_u16(), self.has_token);
            Rejected { refusal, cause: Some(WarningCause::Unauthorized { status, has_token }) }
        })?;
        sound.map(|response| Accepted { response, credentials, peer, untrusted_proxy })
    }
}

fn authorize() -> CallOwner {
    ("the hook `authorize`".into(), None)
}

/// No, for a reason that the status says.
pub(crate) fn rejected(status: StatusCode) -> Rejected {
    Rejected { refusal: Rejection::new(status, ""), cause: None }
}

impl Server {
    /// Decides about a request for an upgrade, as far as that is possible at once. `is_mounted`:
    /// a framework has read it.
    pub(crate) fn decide(&self, request: Request, is_mounted: bool) -> Decision {
        self.begin(request, is_mounted).unwrap_or_else(|rejected| Decision::Ready(Err(rejected)))
    }

    fn begin(&self, request: Request, is_mounted: bool) -> Result<Decision, Rejected> {
        let options = self.options();
        if request.head.method() != Method::GET {
            return Err(rejected(StatusCode::METHOD_NOT_ALLOWED));
        }
        self.check_address(&request, is_mounted)?;
        let untrusted_proxy = untrusted_proxy(&request, options);
        // Before anybody is asked who would have to do something for it.
        let allowed = self.0.lifecycle.check(options.address(request.peer), &options.admission);
        allowed.map_err(|status| self.full(status, untrusted_proxy))?;
        let (given, peer) = (request.head.extensions().get::<Claims>().cloned(), request.peer);
        let has_token = options.authorize.is_some() && request.token().is_some();
        let extensions = request.head.extensions().clone();
        let rest = |sound| AfterAuth { given, extensions, sound, peer, untrusted_proxy, has_token };
        Ok(match &options.authorize {
            None => Decision::Ready(rest(self.check(&request)).accept(None, self.now())),
            Some(Authorize::Sync(hook)) => {
                let auth_result = handler::catch_panic(|| hook(&request));
                let claims = self.auth_result(auth_result, peer, has_token)?;
                Decision::Ready(rest(self.check(&request)).accept(Some(claims), self.now()))
            }
            Some(Authorize::Async(hook)) => {
                let rest = Some(rest(self.check(&request)));
                let run = handler::catch_panic(|| hook(request));
                let run = run.map_err(|panic| self.authorize_failed(&panic, peer))?;
                let observed = self.observe(authorize);
                Decision::PendingAuth(Box::new(PendingAuth {
                    server: self.clone(),
                    run,
                    observed,
                    rest,
                }))
            }
        })
    }

    /// What the hook has said; a panic is an error of the server's.
    fn auth_result(
        &self,
        verdict: Result<AuthResult, HandlerPanic>,
        peer: Option<SocketAddr>,
        has_token: bool,
    ) -> Result<Claims, Rejected> {
        let verdict = verdict.map_err(|panic| self.authorize_failed(&panic, peer))?;
        verdict.map_err(|refusal| {
            let status = refusal.status().as_u16();
            Rejected { refusal, cause: Some(WarningCause::Unauthorized { status, has_token }) }
        })
    }

    fn authorize_failed(&self, panic: &HandlerPanic, peer: Option<SocketAddr>) -> Rejected {
        trace::authorize_failed(peer, panic);
        self.report_failure(authorize, &panic.message, true);
        rejected(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

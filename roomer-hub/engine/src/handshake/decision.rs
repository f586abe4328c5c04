//! The decision about an upgrade request: rules, admission, and the application's `authorize`.
//!
//! The order of the checks and the responses are the same as in the Go original.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Extensions, Method, StatusCode};

use crate::app::call;
use crate::app::call::{BoxFuture, HandlerPanic};
use crate::app::claims::{Claims, Credentials, Expired};
use crate::app::monitor::{CallOwner, Monitor, ObservedCall};
use crate::handshake::ServerHandshake;
use crate::handshake::options::Authorize;
use crate::handshake::rejected::Rejected;
use crate::handshake::request::{AuthResult, HandshakeRequest, Rejection};
use crate::handshake::response::Response;
use crate::handshake::rules::untrusted_proxy;
use crate::handshake::session_request::SessionRequest;
use crate::lifecycle::admission::Replaced;
use crate::metrics::trace;
use crate::outbound::compressed::Compression;
use crate::session::closes::KeptClose;
use crate::sync::lock;

/// An accepted request: the response, and the connection's initial state.
pub(crate) struct Accepted {
    /// The response with status 101.
    pub(crate) response: Response,
    pub(crate) compression: Compression,
    pub(crate) credentials: Option<Arc<Credentials>>,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) untrusted_proxy: Option<IpAddr>,
    /// Present if the client requests the extended protocol.
    pub(crate) session: Option<SessionRequest>,
}

/// The decision about an upgrade request.
pub(crate) enum Decision {
    Ready(Result<Accepted, Rejected>),
    /// The application's `authorize_async` hook is still running.
    PendingAuth(Box<PendingAuth>),
}

/// A decision waiting for the application's `authorize_async` hook.
pub(crate) struct PendingAuth {
    monitor: Monitor,
    run: BoxFuture<AuthResult>,
    observed: ObservedCall,
    /// The request that awaits the decision. `None` after the decision was returned.
    candidate: Option<Candidate>,
}

/// A request that passed the checks before `authorize`.
struct Candidate {
    /// The claims that middleware left in the request's extensions.
    claims: Option<Claims>,
    extensions: Extensions,
    /// The result of the protocol checks. A protocol violation is reported to the client only if
    /// `authorize` accepts the request.
    checked: Result<(Response, Compression), Rejected>,
    peer: Option<SocketAddr>,
    untrusted_proxy: Option<IpAddr>,
    token: Option<Arc<str>>,
    session: Option<SessionRequest>,
}

impl PendingAuth {
    /// Polls the hook. `now` returns the time of the decision. Must not be polled again after it
    /// has returned `Poll::Ready`.
    pub(crate) fn poll(
        &mut self,
        now: impl FnOnce() -> Duration,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Accepted, Rejected>> {
        let run = &mut self.run;
        let result = ready!(self.observed.poll(cx, |cx| call::poll(run, cx)));
        Poll::Ready(match self.candidate.take() {
            Some(candidate) => {
                let token = candidate.token.as_deref();
                let claims = auth_result(&self.monitor, result, candidate.peer, token);
                claims.and_then(|claims| candidate.accept(Some(claims), now()))
            }
            // Reached only if this is polled again after completion.
            None => Err(Rejected::with_status(StatusCode::INTERNAL_SERVER_ERROR)),
        })
    }
}

impl Candidate {
    /// Accepts the request with the hook's claims, if the login has not expired and the request
    /// complies with the protocol.
    fn accept(self, from_hook: Option<Claims>, now: Duration) -> Result<Accepted, Rejected> {
        let Candidate { mut claims, extensions, checked, peer, untrusted_proxy, token, session } =
            self;
        if let Some(from_hook) = from_hook {
            claims.get_or_insert_default().merge(from_hook);
        }
        // Check the login before `checked`: an expired login, like a rejection by the hook, must
        // hide a protocol violation.
        let credentials = Credentials::new(claims, extensions, now).map_err(|Expired| {
            let rejection = Rejection::unauthorized("the login has expired");
            Rejected::unauthorized(rejection, token.as_deref())
        })?;
        checked.map(|(response, compression)| Accepted {
            response,
            compression,
            credentials,
            peer,
            untrusted_proxy,
            session,
        })
    }
}

impl ServerHandshake<'_> {
    /// Decides whether to accept an upgrade. `is_mounted` is true if a framework has read the
    /// request.
    pub(crate) fn decide(&self, request: HandshakeRequest, is_mounted: bool) -> Decision {
        self.try_decide(request, is_mounted)
            .unwrap_or_else(|rejected| Decision::Ready(Err(rejected)))
    }

    fn try_decide(
        &self,
        request: HandshakeRequest,
        is_mounted: bool,
    ) -> Result<Decision, Rejected> {
        let (options, monitor) = (self.options, self.monitor);
        if request.head.method() != Method::GET {
            return Err(Rejected::with_status(StatusCode::METHOD_NOT_ALLOWED));
        }
        self.check_address(&request, is_mounted)?;
        let untrusted_proxy = untrusted_proxy(&request, options);
        let session = SessionRequest::of(&request).filter(|_| self.has_sessions);
        // A full server rejects the request before it calls the hook, because the hook may be
        // expensive. The client's user is known only after the hook, so a session of any user
        // counts as replaced here. Admission checks the limits again with that user.
        let replaced = self.replaced_by(session.as_ref(), |_| true);
        let address = options.address(request.peer);
        let allowed = self.lifecycle.check(address, &options.admission, replaced);
        // The close of a client's session needs no connection. A framework's response cannot be
        // followed by a close frame unless the connection is counted.
        if let Err(status) = allowed
            && (is_mounted || self.kept_close(session.as_ref(), |_| true).is_none())
        {
            return Err(self.full(status, untrusted_proxy));
        }
        let (claims, peer) = (request.head.extensions().get::<Claims>().cloned(), request.peer);
        // Only warnings about `authorize` mention the token, so do not search for it without a
        // hook.
        let token = options.authorize.as_ref().and_then(|_| request.token()).map(Arc::<str>::from);
        let extensions = request.head.extensions().clone();
        let candidate = |checked| Candidate {
            claims,
            extensions,
            checked,
            peer,
            untrusted_proxy,
            token: token.clone(),
            session,
        };
        Ok(match &options.authorize {
            None => {
                let candidate = candidate(self.check_upgrade(&request));
                Decision::Ready(candidate.accept(None, self.env.now()))
            }
            Some(Authorize::Sync(hook)) => {
                let result = call::catch_panic(|| hook(&request));
                let claims = auth_result(monitor, result, peer, token.as_deref())?;
                let candidate = candidate(self.check_upgrade(&request));
                Decision::Ready(candidate.accept(Some(claims), self.env.now()))
            }
            Some(Authorize::Async(hook)) => {
                // Check the request before the hook takes it, but report the result only after the
                // hook has decided.
                let candidate = Some(candidate(self.check_upgrade(&request)));
                let run = call::catch_panic(|| hook(request));
                let run = run.map_err(|panic| authorize_panicked(monitor, &panic, peer))?;
                let (monitor, observed) = (monitor.clone(), monitor.observe(authorize_hook));
                Decision::PendingAuth(Box::new(PendingAuth { monitor, run, observed, candidate }))
            }
        })
    }

    /// Returns the address of the socket that is replaced if this client, whose user is now known,
    /// is admitted.
    pub(crate) fn replaced(&self, accepted: &Accepted) -> Option<Replaced> {
        let user = accepted.credentials.as_ref().and_then(|credentials| credentials.user());
        self.replaced_by(accepted.session.as_ref(), |of_session| of_session == user)
    }

    /// Returns the close with which the application ended this client's session, if the client has
    /// not received it. `is_user` returns true for the user that the client has logged in as.
    pub(crate) fn kept_close(
        &self,
        request: Option<&SessionRequest>,
        is_user: impl FnOnce(Option<&Arc<str>>) -> bool,
    ) -> Option<KeptClose> {
        // A server that shuts down rejects all clients.
        let token = request?.resume.as_ref()?.token.filter(|_| self.lifecycle.is_open())?;
        lock(self.core).sessions.kept_close(self.env.now(), &token, is_user)
    }

    /// Returns the address of the socket that admitting this client would replace: its session's
    /// socket, if that still appears to be open. The client can then change its network even if its
    /// address is at its limit or the server is full. `is_user` returns true for the user that the
    /// client has logged in as; another user's session and its socket are kept.
    fn replaced_by(
        &self,
        request: Option<&SessionRequest>,
        is_user: impl FnOnce(Option<&Arc<str>>) -> bool,
    ) -> Option<Replaced> {
        // If the request contains no count of received packets, the session cannot continue, and
        // its socket is kept.
        let resume = request?.resume.as_ref().filter(|resume| resume.received.is_some())?;
        let token = resume.token?;
        let core = lock(self.core);
        let conn = core.sessions.find_attached(core.hub.tables(), &token)?;
        let info = core.infos.get(conn).filter(|info| is_user(info.user()))?;
        Some(Replaced { address: self.options.address(info.peer.get()) })
    }
}

/// Returns the hook's claims or its rejection, or a rejection with 500 if the hook panicked.
fn auth_result(
    monitor: &Monitor,
    result: Result<AuthResult, HandlerPanic>,
    peer: Option<SocketAddr>,
    token: Option<&str>,
) -> Result<Claims, Rejected> {
    let result = result.map_err(|panic| authorize_panicked(monitor, &panic, peer))?;
    result.map_err(|rejection| Rejected::unauthorized(rejection, token))
}

fn authorize_panicked(
    monitor: &Monitor,
    panic: &HandlerPanic,
    peer: Option<SocketAddr>,
) -> Rejected {
    trace::authorize_failed(peer, panic);
    monitor.report_failure(authorize_hook, &panic.message, true);
    Rejected::with_status(StatusCode::INTERNAL_SERVER_ERROR)
}

fn authorize_hook() -> CallOwner {
    ("the hook `authorize`".into(), None)
}

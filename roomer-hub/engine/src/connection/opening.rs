//! The opening handshake: from the first byte to the join of `root`, or to a rejection.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, StatusCode};
use roomer_proto::extended::SessionToken;
use roomer_proto::websocket::Decoder;
use roomer_proto::{ROOT, close};

use crate::app::claims::Credentials;
use crate::app::conn_info::ConnInfo;
use crate::connection::established::Established;
use crate::connection::profile::profile;
use crate::connection::read_buffer::with_buffer;
use crate::connection::resuming::hello;
use crate::connection::session_state::SessionState;
use crate::connection::{Connection, State, Step};
use crate::core::Core;
use crate::handshake::decision::{Accepted, Decision, PendingAuth};
use crate::handshake::pages::{self, HealthCheck};
use crate::handshake::rejected::Rejected;
use crate::handshake::request::HandshakeRequest;
use crate::handshake::response::Response;
use crate::handshake::session_request::SessionRequest;
use crate::lifecycle::admission::{EarlyRejection, SocketKind};
use crate::metrics::trace;
use crate::metrics::warning::WarningReason;
use crate::outbound::Chunk;
use crate::outbound::compressed::Compression;
use crate::server::conn::Conn;
use crate::tunnel::due::TunnelKey;
use roomer_hub::{Command, ConnId, ConnKey, Input, Profile};

/// The time limit for sending the response to a client that was rejected before its request was
/// read.
const REJECT_LINGER: Duration = Duration::from_secs(1);

/// A connection whose handshake was accepted, but which the hub has not opened yet.
#[derive(Default)]
pub(crate) struct Opening {
    /// The response to the request. Empty if a framework has sent it.
    pub(crate) response: Vec<u8>,
    pub(crate) compression: Compression,
    pub(crate) credentials: Option<Arc<Credentials>>,
    /// Bytes received after the request.
    pub(crate) leftover: Vec<u8>,
    /// Present if the client requests the extended protocol. After its resume request was handled,
    /// `resume` is kept only if the token belongs to another node's session, in order to notify
    /// that node.
    pub(crate) session: Option<SessionRequest>,
    /// Present if the client's socket is on another node and its bytes arrive through a tunnel.
    pub(crate) tunnel: Option<TunnelKey>,
}

/// A request waiting for the application's decision.
pub(super) struct Authorizing {
    auth: Box<PendingAuth>,
    /// Bytes received after the request.
    leftover: Vec<u8>,
    until: Duration,
}

impl Connection {
    /// Responds before the request is read, because the server has too many sockets.
    pub(super) fn reject_early(&mut self, now: Duration, rejection: EarlyRejection) -> Step {
        let status = rejection.status();
        // The rejection has already been counted, together with the socket.
        let handshake = self.shared.handshake();
        let reason = match rejection {
            EarlyRejection::Descriptors(sockets) => WarningReason::DescriptorsReached { sockets },
            EarlyRejection::Full(status) => handshake.handshakes_full(status),
        };
        trace::rejected(self.peer.get(), status.as_u16(), Some(&reason));
        handshake.warnings.give(reason);
        self.writer.finish(Response::error(status).to_bytes(false).into(), false);
        // The number of lingering sockets is also limited. Above that limit, only as much of the
        // response is sent as fits into the socket now.
        if self.kind == SocketKind::Outside {
            self.writer.prepare_final_write();
            return Step::Done;
        }
        self.close_within(now, None, REJECT_LINGER.min(self.shared.options().close_timeout))
    }

    /// Reads the request's head.
    pub(super) fn handshake(&mut self, now: Duration, cx: &mut Context<'_>) -> Step {
        let State::Handshake { parser, until } = &mut self.state else {
            return Step::Continue;
        };
        let (options, until) = (self.shared.options(), *until);
        let read = with_buffer(|buffer| {
            let read = self.writer.poll_read(cx, buffer);
            read.map_ok(|size| (size, parser.push(&buffer[..size], &options.handshake)))
        });
        // The timeout applies only if nothing has arrived. A request that was complete in time is
        // served, however late this task is polled.
        match read {
            Poll::Ready(Ok((0, _)) | Err(_)) => Step::Done,
            Poll::Ready(Ok((_, None))) => Step::Continue,
            Poll::Ready(Ok((_, Some(Ok((head, leftover)))))) => {
                self.decide(now, until, head, leftover)
            }
            Poll::Ready(Ok((_, Some(Err(status))))) => {
                self.reject(now, &Response::error(status), None, false)
            }
            // During a shutdown, an incomplete request needs no response.
            Poll::Pending if self.shared.is_closing() => Step::Done,
            Poll::Pending if now < until => Step::Wait(until),
            Poll::Pending => {
                self.reject(now, &Response::error(StatusCode::REQUEST_TIMEOUT), None, false)
            }
        }
    }

    /// Serves a page, rejects the request, or calls the application's `authorize` hook.
    fn decide(
        &mut self,
        now: Duration,
        until: Duration,
        head: http::Request<()>,
        leftover: Vec<u8>,
    ) -> Step {
        let request =
            HandshakeRequest::new(head, self.peer.get(), &self.shared.options().handshake);
        let is_head = request.head.method() == Method::HEAD;
        let (shared, handshake) = (&self.shared, self.shared.handshake());
        let is_healthy = |check| match check {
            HealthCheck::Live => !shared.is_closing(),
            HealthCheck::Ready => shared.is_ready(),
        };
        match pages::page(handshake.options, &request, is_healthy) {
            None => {}
            Some(Ok(response)) => return self.respond(now, &response, is_head),
            Some(Err(status)) => {
                let reason = handshake.wrong_path(&request);
                return self.reject(now, &Response::error(status), reason, is_head);
            }
        }
        match handshake.decide(request, false) {
            // A HEAD request for an upgrade is rejected here, and the response to HEAD must not
            // have a body.
            Decision::Ready(Err(Rejected { rejection, reason })) => {
                self.reject(now, &Response::rejection(&rejection), reason, is_head)
            }
            Decision::Ready(decided) => self.admit(now, decided, leftover),
            Decision::PendingAuth(auth) => {
                self.state = State::Authorizing(Box::new(Authorizing { auth, leftover, until }));
                Step::Continue
            }
        }
    }

    /// Polls the application's `authorize_async` hook.
    pub(super) fn authorizing(&mut self, now: Duration, cx: &mut Context<'_>) -> Step {
        let State::Authorizing(authorizing) = &mut self.state else {
            return Step::Continue;
        };
        // Poll before checking the timeout: the hook's decision counts, however late this task is
        // polled.
        if let Poll::Ready(decided) = authorizing.auth.poll(|| self.shared.now(), cx) {
            let leftover = std::mem::take(&mut authorizing.leftover);
            return self.admit(now, decided, leftover);
        }
        if self.shared.is_closing() {
            return Step::Done;
        }
        if now >= authorizing.until {
            let reason = Some(WarningReason::AuthorizeTimeout);
            let response = Response::error(StatusCode::SERVICE_UNAVAILABLE);
            return self.reject(now, &response, reason, false);
        }
        // Continue reading, to detect when the client disconnects. The buffered bytes are limited.
        let room =
            self.shared.options().handshake.max_head.saturating_sub(authorizing.leftover.len());
        let read = with_buffer(|buffer| match room.min(buffer.len()) {
            // Leave further bytes in the socket until the hook has decided.
            0 => Poll::Pending,
            most => self.writer.poll_read(cx, &mut buffer[..most]).map_ok(|size| {
                authorizing.leftover.extend_from_slice(&buffer[..size]);
                size
            }),
        });
        match read {
            Poll::Ready(Ok(0) | Err(_)) => Step::Done,
            Poll::Ready(Ok(_)) => Step::Continue,
            Poll::Pending => Step::Wait(authorizing.until),
        }
    }

    /// Admits an accepted client if the connection limits still permit it.
    fn admit(
        &mut self,
        now: Duration,
        decided: Result<Accepted, Rejected>,
        leftover: Vec<u8>,
    ) -> Step {
        let accepted = match decided {
            Ok(accepted) => accepted,
            Err(rejected) => return self.reject_with(now, rejected),
        };
        let (handshake, options) = (self.shared.handshake(), self.shared.options());
        let (from, to) =
            (options.handshake.address(self.peer.get()), options.handshake.address(accepted.peer));
        // Check the limits again, since other clients may have connected while the hook was
        // pending.
        let replaced = handshake.replaced(&accepted);
        let promoted =
            handshake.lifecycle.promote(from, to, &options.handshake.admission, replaced);
        let closed = promoted.err().map(|status| {
            let user = accepted.credentials.as_ref().and_then(|credentials| credentials.user());
            let session = accepted.session.as_ref();
            handshake
                .kept_close(session, |of_session| of_session == user)
                .ok_or_else(|| handshake.full(status, accepted.untrusted_proxy))
        });
        let Accepted { response, compression, credentials, peer, session, .. } = accepted;
        let response = response.to_bytes(false);
        let opening =
            Opening { response, compression, credentials, leftover, session, tunnel: None };
        match closed {
            None => {
                (self.kind, self.peer) = (SocketKind::Connection, peer.into());
                self.open(now, opening)
            }
            // The socket remains counted as a handshake.
            Some(Ok(closed)) => {
                self.shared.core().sessions.refused.closed += 1;
                self.close_returned(now, opening, closed)
            }
            Some(Err(rejected)) => self.reject_with(now, rejected),
        }
    }

    /// Rejects the request, and gives the operator a warning.
    fn reject_with(&mut self, now: Duration, rejected: Rejected) -> Step {
        let Rejected { rejection, reason } = rejected;
        self.reject(now, &Response::rejection(&rejection), reason, false)
    }

    /// Rejects the request with a response, which has no body for HEAD, and counts the rejection.
    pub(super) fn reject(
        &mut self,
        now: Duration,
        response: &Response,
        reason: Option<WarningReason>,
        is_head: bool,
    ) -> Step {
        self.shared.handshake().record_rejected(self.peer.get(), response.status(), reason);
        self.respond(now, response, is_head)
    }

    /// Sends a response other than an upgrade, and closes the connection.
    fn respond(&mut self, now: Duration, response: &Response, is_head: bool) -> Step {
        self.writer.finish(response.to_bytes(is_head).into(), false);
        self.close(now, None)
    }

    /// Sends the response, unless a framework has sent it, and opens the connection in the hub, all
    /// in one step.
    pub(super) fn establish(&mut self, now: Duration, opening: Opening) -> Step {
        let Opening { response, compression, credentials, leftover, session, tunnel } = opening;
        if let Some(tunnel) = tunnel {
            return self.refuse_tunnel(tunnel);
        }
        let shared = &self.shared;
        let profile = profile(credentials.as_deref(), shared.options(), &shared.warnings);
        let random = shared.env.random();
        let mut core = shared.core();
        let id = core.new_id(random);
        // Check the phase under the lock: a shutdown either finds this connection in the hub, or is
        // observed here.
        if shared.is_closing() {
            drop(core);
            return self.reject_at_shutdown(now, response.is_empty());
        }
        // Queue the response before the hub opens the connection, since it must precede `join_ack`.
        self.writer.push(Chunk::complete(response));
        // `hello` also precedes `join_ack`. Only the bytes after `hello` belong to the session.
        if compression.is_shared {
            self.writer.accept_compressed();
        }
        let secret = session.map(|_| self.queue_hello(id, profile.as_ref()));
        let opening = (!shared.options().echo).then_some(&self.writer);
        let extended = session.is_some();
        let open = match &profile {
            None => Input::Open { id, extended },
            Some(profile) => Input::OpenWithProfile { id, extended, profile },
        };
        let applied = core.apply(now, open, opening);
        // Opening fails only if the id is already in use, which its random bits make impossible in
        // practice.
        let Some(key) = applied.opened else {
            return Step::Done;
        };
        if shared.options().echo {
            self.leave_root(now, &mut core, key);
        }
        core.outbound.schedule(key, &self.writer);
        core.counts.opened += 1;
        let info = ConnInfo::new(key, id, credentials, self.peer.clone());
        core.arrived(&info);
        // Apply the limit after `arrived` so that the new connection counts as its user's newest.
        core.limit_user(now, &info, shared.options().max_connections_per_user);
        if let Some(token) = session.and_then(|session| session.resume?.token) {
            core.report_elsewhere(now, &token, info.user().map(|user| &**user));
        }
        let has_user = info.user().is_some();
        let conn = Conn::new(shared, info);
        let mut established = Established::new(conn, compression, now);
        if let Some(secret) = secret {
            core.sessions.begin(key, id, secret);
            let mut state = Box::new(SessionState::new(now));
            state.renewal.schedule(now, established.conn.info.expires(), shared.options());
            established.session_state = Some(state);
        }
        shared.flush_after_input(now, core, &mut established.flush_at);
        // Begin the span after releasing the lock, since this calls the `tracing` subscriber.
        self.span = trace::Span::begin(&established.conn.info);
        if !has_user && shared.options().max_connections_per_user != usize::MAX {
            shared.warnings.give(WarningReason::NoUser { option: "max_connections_per_user" });
        }
        let has_ended = self.on_leftover(now, &mut established, leftover);
        self.state = State::Established(established);
        match has_ended {
            true => self.close_open(now),
            false => Step::Continue,
        }
    }

    /// Removes an echo server's connection from `root`, since the echo server has no rooms. The
    /// connection has no writer yet, so no packet about `root` is sent to it.
    fn leave_root(&self, now: Duration, core: &mut Core, key: ConnKey) {
        let leave = Command::Leave { conn: key, room: ROOT };
        core.apply(now, Input::Command(leave), None);
        core.outbound.writers.insert(key, self.writer.clone());
    }

    /// Rejects a client whose request was accepted before the shutdown began. `is_upgraded` is true if
    /// a framework has sent the response.
    fn reject_at_shutdown(&mut self, now: Duration, is_upgraded: bool) -> Step {
        if is_upgraded {
            let (code, reason) = close::SHUTDOWN.frame();
            self.writer.close(Some(code), reason, false);
            return self.close(now, Some(Decoder::new()));
        }
        let response = Response::error(StatusCode::SERVICE_UNAVAILABLE);
        self.reject(now, &response, None, false)
    }

    /// Queues a new session's `hello`. Returns the secret in its token.
    fn queue_hello(&self, id: ConnId, profile: Option<&Profile>) -> [u8; 16] {
        let shared = &self.shared;
        let secret = shared.env.random();
        let token = SessionToken::new(id, secret);
        let keeps_sessions = !shared.options().resume_window.is_zero();
        let token = keeps_sessions.then_some(token);
        let hello = hello(shared.options(), token, id.as_str(), None, profile);
        self.writer.push(Chunk::complete(hello));
        self.writer.begin_session();
        secret
    }

    /// Handles messages received together with the request. Returns true if the connection has ended.
    fn on_leftover(
        &mut self,
        now: Duration,
        open: &mut Established,
        mut leftover: Vec<u8>,
    ) -> bool {
        if leftover.is_empty() {
            return false;
        }
        let (shared, writer) = (&self.shared, &self.writer);
        let handle = |_: &mut _| open.on_bytes(shared, writer, &mut leftover, now);
        trace::Span::within(&mut self.span, |span| span, handle)
    }
}

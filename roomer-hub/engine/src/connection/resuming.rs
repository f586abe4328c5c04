//! Resumption on a new socket: continues the client's session, or starts a new one.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use roomer_hub::{ConnKey, Input};
use roomer_proto::close;
use roomer_proto::extended::{HELLO, Hello, Limits, Profile, SessionToken};
use roomer_proto::websocket::Decoder;
use roomer_proto::{PacketRef, ROOT};

use crate::app::disconnect::DisconnectReason;
use crate::connection::session_state::HEARTBEAT;
use crate::connection::{Connection, Opening, State, Step};
use crate::core::Core;
use crate::handshake::response::Response;
use crate::handshake::session_request::ResumeRequest;
use crate::lifecycle::admission::Replaced;
use crate::metrics::trace;
use crate::options::Options;
use crate::outbound::{Chunk, encode};
use crate::session::closes::KeptClose;
use crate::session::handover::{HandedOver, Handover, HandoverError};
use crate::tunnel::due::TunnelKey;

/// The time within which the task that has the session must hand it over. Only a handler that
/// blocks its thread can delay the handover.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(5);

/// The state of a new connection that waits for its client's session.
pub(super) struct Resuming {
    conn: ConnKey,
    handover: Arc<Handover>,
    opening: Opening,
    token: SessionToken,
    received: u64,
    until: Duration,
}

impl Connection {
    /// Opens the connection in the hub, or waits for the client's session first.
    pub(super) fn open(&mut self, now: Duration, mut opening: Opening) -> Step {
        let request = opening.session.as_mut().and_then(|session| session.resume.take());
        let Some(request) = request else {
            return self.establish(now, opening);
        };
        let mut core = self.shared.core();
        let user = opening.credentials.as_ref().and_then(|credentials| credentials.user());
        let found = match request {
            ResumeRequest { token: Some(token), received: Some(received) } => {
                core.sessions.find(core.hub.tables(), &token).map(|conn| (conn, token, received))
            }
            _ => None,
        };
        let Some((conn, token, received)) = found else {
            let closed =
                request.token.and_then(|token| kept_close(&mut core, now, &opening, &token));
            if let Some(closed) = closed {
                drop(core);
                return self.close_returned(now, opening, closed);
            }
            if request.token.is_some_and(|token| core.is_of_peer(&token)) {
                drop(core);
                if self.request_session(now, &mut opening, &request) {
                    return Step::Continue;
                }
                core = self.shared.core();
                core.sessions.refused.other_node += 1;
                // Keep the request, which is used to notify the other node once the client has a
                // new session here.
                opening.session.iter_mut().for_each(|session| session.resume = Some(request));
            } else {
                core.sessions.refused.unknown += 1;
            }
            drop(core);
            return self.establish(now, opening);
        };
        // The token identifies the session. The new connection's user must also be the session's
        // user, so that a stolen token alone is not enough.
        if core.infos.get(conn).is_none_or(|info| info.user() != user) {
            core.sessions.refused.other_user += 1;
            drop(core);
            return self.establish(now, opening);
        }
        let handover = Arc::new(Handover::default());
        core.sessions.supersede(conn, &token, &handover);
        let before = core.outbound.writers.get(conn).cloned();
        drop(core);
        // Wake the task that has the session.
        if let Some(before) = before {
            before.supersede();
        }
        let until = now + HANDOVER_TIMEOUT;
        self.state =
            State::Resuming(Box::new(Resuming { conn, handover, opening, token, received, until }));
        Step::Continue
    }

    /// Polls the session's handover.
    pub(super) fn resuming(&mut self, now: Duration, cx: &mut Context<'_>) -> Step {
        let State::Resuming(resuming) = &mut self.state else {
            return Step::Continue;
        };
        let is_finished = now >= resuming.until || self.shared.is_closing();
        let session = match resuming.handover.poll(cx) {
            Poll::Ready(session) => session,
            // The session may have been handed over since the poll. Take it, since it would be lost
            // otherwise.
            Poll::Pending if is_finished => {
                self.shared.core().sessions.stop_waiting(resuming.conn, &resuming.handover);
                resuming.handover.abandon().ok_or(HandoverError::Ended)
            }
            Poll::Pending => return Step::Wait(resuming.until),
        };
        let opening = std::mem::take(&mut resuming.opening);
        let (token, received) = (resuming.token, resuming.received);
        match session {
            Ok(session) => self.resume(now, opening, session, token, received),
            // The client has opened a newer socket and abandoned this one.
            Err(HandoverError::Superseded) => Step::Done,
            Err(HandoverError::Ended) => self.open_new_session(now, opening, &token),
        }
    }

    /// Opens a new session instead of resuming the requested one, if the limits permit it. This
    /// socket was admitted in place of the session's old socket, which may still be open.
    fn open_new_session(&mut self, now: Duration, opening: Opening, token: &SessionToken) -> Step {
        if let Some(tunnel) = opening.tunnel {
            let closed = kept_close(&mut self.shared.core(), now, &opening, token);
            return match closed {
                Some(closed) => self.close_returned(now, opening, closed),
                None => self.refuse_tunnel(tunnel),
            };
        }
        let (lifecycle, options) = (&self.shared.lifecycle, self.shared.options());
        let address = options.handshake.address(self.peer.get());
        // Exclude this socket from the check, since it is already counted.
        let own = Some(Replaced { address });
        let checked = lifecycle.check(address, &options.handshake.admission, own);
        let mut core = self.shared.core();
        if let Some(closed) = kept_close(&mut core, now, &opening, token) {
            drop(core);
            let step = self.close_returned(now, opening, closed);
            // Above the limit, skip the closing handshake, during which the socket would be counted.
            return if checked.is_ok() { step } else { Step::Done };
        }
        let Err(status) = checked else {
            core.sessions.refused.unknown += 1;
            drop(core);
            return self.establish(now, opening);
        };
        drop(core);
        match opening.response.is_empty() {
            // A framework has already sent the response.
            true => {
                let (code, reason) = close::OVERLOADED.frame();
                self.writer.close(Some(code), reason, false);
            }
            false => {
                self.shared.handshake().record_rejected(self.peer.get(), status, None);
                self.writer.finish(Response::error(status).to_bytes(false).into(), false);
            }
        }
        // Skip the closing handshake, during which the socket would still be counted.
        self.writer.prepare_final_write();
        Step::Done
    }

    /// Closes the new socket of a client whose session the application has closed while the client
    /// could not receive the close frame.
    pub(super) fn close_returned(
        &mut self,
        now: Duration,
        opening: Opening,
        closed: KeptClose,
    ) -> Step {
        let KeptClose { id, code, reason } = closed;
        if let Some(tunnel) = opening.tunnel {
            self.shared.core().accept_tunnel_to_close(now, id, tunnel);
        }
        self.writer.push(Chunk::complete(opening.response));
        self.writer.close(Some(code), &reason, false);
        self.close_session(now, Decoder::new(), Some(id))
    }

    /// Continues a session on this connection's socket: sends `hello`, then the packets that the
    /// client has missed.
    fn resume(
        &mut self,
        now: Duration,
        opening: Opening,
        session: HandedOver,
        presented: SessionToken,
        received: u64,
    ) -> Step {
        let HandedOver { mut open, writer: detached } = session;
        let shared = self.shared.clone();
        let random = shared.env.random();
        let (key, id) = (open.conn.info.key, open.conn.info.id);
        let mut core = shared.core();
        // The count in `hello` is an acknowledgement too. Drop what the client has received first, so
        // that there is room for an error.
        let acknowledged = detached.acknowledge(received);
        core.before_ack(now, key);
        let replay = acknowledged.and_then(|_| detached.take_replay(received));
        let (Ok(replay), Some(state)) = (replay, open.session_state.as_mut()) else {
            // The application may have closed the session after the handover.
            let closed = kept_close(&mut core, now, &opening, &presented);
            core.sessions.refused.incomplete += u64::from(closed.is_none());
            core.gone(now, key, DisconnectReason::Lost);
            shared.flush_after_input(now, core, &mut open.flush_at);
            // The session's state is dropped here, so the timer task must continue its flush.
            if open.flush_at.is_some() {
                shared.timers.wake_drivers();
            }
            detached.discard();
            return match closed {
                Some(closed) => self.close_returned(now, opening, closed),
                None => self.establish(now, opening),
            };
        };
        let Opening { response, compression, credentials, mut leftover, tunnel, .. } = opening;
        let token = core.sessions.renew(key, &presented, random);
        let handled = state.received.count();
        match tunnel {
            None => {
                // The client counts neither the response nor `hello` as a packet, so they are not
                // logged for replay.
                self.writer.push_unlogged(Chunk::complete(response));
                let hello = hello(shared.options(), Some(token), id.as_str(), Some(handled), None);
                self.writer.push_unlogged(Chunk::complete(hello));
            }
            // The other node sends the response and `hello`, since the token must not pass through
            // the broker.
            Some(tunnel) => {
                let hello = hello_payload(shared.options(), None, Some(handled), None);
                core.accept_tunnel(now, tunnel, (&presented, &token), &hello);
            }
        }
        if compression.is_shared {
            self.writer.accept_compressed();
        }
        self.writer.continue_session(replay);
        core.outbound.writers.insert(key, self.writer.clone());
        // The client has returned again while the session was being handed over to this task.
        if core.sessions.has_successor(key) {
            self.writer.supersede();
        }
        core.outbound.schedule(key, &self.writer);
        let info = open.conn.info.resumed(credentials, self.peer.clone());
        core.infos.replace(&info);
        if core.hub.announces_away() {
            core.apply(now, Input::Away { conn: key, is_away: false }, None);
        }
        state.resumed(now);
        state.renewal.schedule(now, info.expires(), shared.options());
        open.conn.info = info;
        open.reset_socket(compression, now);
        shared.flush_after_input(now, core, &mut open.flush_at);
        detached.discard();
        self.span = trace::Span::begin(&open.conn.info);
        let has_ended =
            !leftover.is_empty() && open.on_bytes(&self.shared, &self.writer, &mut leftover, now);
        self.state = State::Established(open);
        match has_ended {
            true => self.close_open(now),
            false => Step::Continue,
        }
    }
}

impl Connection {
    /// Refuses to continue the session of a tunnel's client, which then gets a new session on the
    /// other node.
    pub(super) fn refuse_tunnel(&self, tunnel: TunnelKey) -> Step {
        self.shared.core().refuse_tunnel(tunnel);
        Step::Done
    }

    /// Stops waiting for a session. If the session has already been handed over, it ends.
    pub(super) fn abandon_handover(&mut self) {
        let State::Resuming(resuming) = &mut self.state else { return };
        self.shared.core().sessions.stop_waiting(resuming.conn, &resuming.handover);
        let Some(HandedOver { mut open, writer }) = resuming.handover.abandon() else { return };
        let (mut core, now) = (self.shared.core(), self.shared.now());
        core.gone(now, open.conn.info.key, DisconnectReason::Lost);
        self.shared.flush_after_input(now, core, &mut open.flush_at);
        if open.flush_at.is_some() {
            self.shared.timers.wake_drivers();
        }
        writer.discard();
    }
}

/// Returns the close with which the application ended the session of a returning client.
fn kept_close(
    core: &mut Core,
    now: Duration,
    opening: &Opening,
    token: &SessionToken,
) -> Option<KeptClose> {
    let user = opening.credentials.as_ref().and_then(|credentials| credentials.user());
    let closed = core.sessions.kept_close(now, token, |of_session| of_session == user)?;
    core.sessions.refused.closed += 1;
    Some(closed)
}

/// Encodes the `hello` frame. `resumed` is the number of client packets handled, if the session
/// continues; otherwise `profile` is sent.
pub(super) fn hello(
    options: &Options,
    session: Option<SessionToken>,
    id: &str,
    resumed: Option<u64>,
    profile: Option<&Profile>,
) -> Vec<u8> {
    let payload = hello_payload(options, session, resumed, profile);
    let payload = payload.as_bytes();
    encode(&PacketRef { room: ROOT, event: HELLO, dst: "", src: id, payload })
}

fn hello_payload(
    options: &Options,
    session: Option<SessionToken>,
    resumed: Option<u64>,
    profile: Option<&Profile>,
) -> String {
    let hello = Hello {
        session,
        is_resumed: resumed.is_some(),
        received: resumed.unwrap_or_default(),
        heartbeat: HEARTBEAT,
        resume: options.resume_window,
        limits: Limits { message: options.limits.max_message, ..options.hub_limits },
        profile,
    };
    hello.to_json()
}

//! Sessions without a socket: kept until a deadline, and handed over if the client returns in time.

use std::task::Context;
use std::time::Duration;

use roomer_hub::{Command, Input};
use roomer_proto::close;

use crate::connection::established::ResumeResult;
use crate::connection::{Connection, State, Step};
use crate::lifecycle::admission::SocketKind;
use crate::outbound::compressed::Compression;
use crate::outbound::outbox::OutboxPhase;
use crate::session::handover::HandedOver;

impl Connection {
    /// Detaches the session from a lost socket, or ends the connection.
    pub(super) fn lost(&mut self, now: Duration) -> Step {
        match self.detach(now) {
            true => Step::Continue,
            false => Step::Done,
        }
    }

    /// Drops the socket and keeps the session. Returns false if there is no session to keep.
    pub(super) fn detach(&mut self, now: Duration) -> bool {
        let window = self.shared.options().resume_window;
        let may_keep = !window.is_zero() && self.shared.lifecycle.is_open();
        let State::Established(open) = &mut self.state else { return false };
        // The client has ended its session, although its earlier messages are still waiting. Its
        // close frame may have been read together with them, and not been examined yet.
        if open.decoder.defer(&[], |_ping| {}) {
            return false;
        }
        let Some(session) = open.session_state.as_mut().filter(|_| may_keep) else { return false };
        let key = open.conn.info.key;
        let mut core = self.shared.core();
        // A client that has already returned may take over its session, however many sessions are
        // detached.
        let is_full = core.sessions.detached >= self.shared.options().max_detached_sessions;
        let is_superseded = self.writer.is_superseded();
        let is_kept = is_superseded || !(is_full || core.sessions.has_to_end(key));
        if !is_kept {
            return false;
        }
        let Some(detached) = core.outbound.detach(key, &self.writer) else { return false };
        core.sessions.detached(key);
        // Count the lost writer's bytes here. Only writers in the table are counted when they are
        // removed, and the lost writer is no longer in the table.
        core.counts.bytes_out += self.writer.count_written();
        drop(core);
        session.detached(now + window);
        open.reset_socket(Compression::default(), now);
        // Release senders waiting for the lost socket.
        self.writer.discard();
        self.writer = detached;
        let address = self.shared.options().handshake.address(self.peer.get());
        self.shared.lifecycle.detach(self.kind, address);
        self.kind = SocketKind::Detached;
        self.state = match std::mem::replace(&mut self.state, State::Done) {
            State::Established(open) => State::Detached(open),
            other => other,
        };
        // A superseded socket means that the client has already reconnected, so it is not away.
        if !is_superseded {
            self.announce_away(now);
        }
        true
    }

    /// Notifies the other members that the client is away, in rooms that announce this.
    fn announce_away(&mut self, now: Duration) {
        let State::Detached(open) = &mut self.state else { return };
        let mut core = self.shared.core();
        if core.hub.announces_away() {
            let conn = open.conn.info.key;
            core.apply(now, Input::Away { conn, is_away: true }, None);
            self.shared.flush_after_input(now, core, &mut open.flush_at);
        }
    }

    /// Performs one step of a detached session.
    pub(super) fn detached(&mut self, now: Duration, cx: &mut Context<'_>) -> Step {
        let State::Detached(open) = &mut self.state else {
            return Step::Continue;
        };
        let (shared, writer) = (&self.shared, &self.writer);
        // Flush even if the session ends now, since receivers in other connections wait for this
        // flush.
        if open.flush_at.is_some_and(|at| now >= at) {
            open.flush_at = shared.flush().then_some(now.into());
        }
        // The hub has closed the session, or its replay buffer has overflowed.
        if writer.poll_status(cx).phase != OutboxPhase::Detached {
            return Step::Done;
        }
        if writer.is_superseded() {
            return self.hand_over(now);
        }
        if open.has_requests() {
            open.poll_requests(writer, now, cx);
        }
        if open.activity.is_pending() {
            match open.resume_call(writer, now, cx) {
                ResumeResult::Pending => {}
                ResumeResult::Continue => return Step::Continue,
                ResumeResult::Ended => return Step::Done,
            }
        }
        let expires = open.conn.info.expires();
        if expires.is_some_and(|at| now >= at) {
            let mut core = shared.core();
            let close = Command::close(open.conn.info.key, &close::LOGIN_EXPIRED);
            core.apply(now, Input::Command(close), None);
            shared.flush_after_input(now, core, &mut open.flush_at);
            return Step::Done;
        }
        // Only connections with a session are detached, so `session_state` is present.
        let until = open.session_state.as_ref().map_or(now, |session| session.until());
        if now >= until {
            return Step::Done;
        }
        let next = [expires, open.flush_at.map(Duration::from)].into_iter().flatten();
        Step::Wait(next.fold(until, Duration::min))
    }

    /// Hands the session over to the task of the client's new socket.
    pub(super) fn hand_over(&mut self, now: Duration) -> Step {
        if matches!(self.state, State::Established(_)) && !self.detach(now) {
            // The task that waits for the session is notified when this connection ends.
            return Step::Done;
        }
        let State::Detached(open) = std::mem::replace(&mut self.state, State::HandedOver) else {
            return Step::Done;
        };
        let successor = self.shared.core().sessions.take_successor(open.conn.info.key);
        let session = Box::new(HandedOver { open, writer: self.writer.clone() });
        let given = match successor {
            Some(successor) => successor.give(session),
            None => Err(session),
        };
        match given {
            Ok(()) => Step::Done,
            // The new socket's task has stopped waiting, so the client has not returned.
            Err(session) => {
                let HandedOver { open, writer } = *session;
                writer.keep();
                self.state = State::Detached(open);
                self.announce_away(now);
                Step::Continue
            }
        }
    }
}

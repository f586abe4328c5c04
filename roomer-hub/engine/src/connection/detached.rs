//! A session without a socket: it is kept for a while, and handed over when its client returns.

use std::task::Context;
use std::time::Duration;

use roomer_hub::{Command, Input};
use roomer_proto::close;

use crate::connection::established::ResumeResult;
use crate::connection::{Connection, State, Step};
use crate::handshake::compression::Compression;
use crate::lifecycle::admission::SocketKind;
use crate::outbound::outbox::OutboxPhase;
use crate::session::handover::HandedOver;

impl Connection {
    /// Keeps the session of a connection whose socket is lost, or ends the connection.
    pub(super) fn lost(&mut self, now: Duration) -> Step {
        match self.detach(now) {
            true => Step::Again,
            false => Step::Done,
        }
    }

    /// Drops the socket and keeps the session. Returns false if there is none to keep.
    pub(super) fn detach(&mut self, now: Duration) -> bool {
        let window = self.shared.options().resume_window;
        let may_keep = !window.is_zero() && self.shared.lifecycle.is_open();
        let State::Established(open) = &mut self.state else { return false };
        let Some(session) = open.session_state.as_mut().filter(|_| may_keep) else { return false };
        let key = open.conn.info.key;
        let mut core = self.shared.core();
        // A client that is back already may take its session over, however many are detached.
        let is_full = core.sessions.detached >= self.shared.options().max_detached;
        let is_kept = self.writer.is_superseded() || !(is_full || core.sessions.has_to_end(key));
        if !is_kept {
            return false;
        }
        let Some(detached) = core.outbound.detach(key, &self.writer) else { return false };
        core.sessions.detached(key);
        // The lost writer has left the table, whose entries are counted when they are removed.
        core.counts.bytes_out += self.writer.count_written();
        drop(core);
        session.detached(now + window);
        open.reset_socket(Compression::default(), now);
        // Releases senders that wait for the lost socket.
        self.writer.discard();
        self.writer = detached;
        let address = self.shared.options().handshake.address(self.peer.get());
        self.shared.lifecycle.detach(self.place, address);
        self.place = SocketKind::Detached;
        self.state = match std::mem::replace(&mut self.state, State::Done) {
            State::Established(open) => State::Detached(open),
            other => other,
        };
        true
    }

    /// Takes one step of a session without a socket.
    pub(super) fn detached(&mut self, now: Duration, cx: &mut Context<'_>) -> Step {
        let State::Detached(open) = &mut self.state else {
            return Step::Again;
        };
        let (shared, writer) = (&self.shared, &self.writer);
        // Whatever becomes of the session, receivers wait for this flush.
        if open.flush_at.is_some_and(|at| now >= at) {
            open.flush_at = shared.flush().then_some(now.into());
        }
        // Closed by the hub, or more was sent to the client than the session may keep.
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
                ResumeResult::Continue => return Step::Again,
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
        // There is a state, since only sessions are detached.
        let until = open.session_state.as_ref().map_or(now, |session| session.until());
        if now >= until {
            return Step::Done;
        }
        let next = [expires, open.flush_at.map(Duration::from)].into_iter().flatten();
        Step::Wait(next.fold(until, Duration::min))
    }

    /// Gives the session to the task of the client's new socket.
    pub(super) fn hand_over(&mut self, now: Duration) -> Step {
        if matches!(self.state, State::Established(_)) && !self.detach(now) {
            // The end of the connection refuses the waiting task.
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
            // That task no longer waits: its client has not returned after all.
            Err(session) => {
                let HandedOver { open, writer } = *session;
                writer.keep();
                self.state = State::Detached(open);
                Step::Again
            }
        }
    }
}

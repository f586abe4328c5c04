//! Checks that the server considers a socket as lost, and keeps its session, when it must.

use std::time::Duration;

use super::application::millis;
use super::harness::Harness;
use super::lifecycle::MESSAGE_TIMEOUT;
use super::marks::Mark;
use super::session::Place;
use super::socket::Phase;
use crate::fault::{Fault, ensure};

impl Harness<'_> {
    /// Returns true if the server may consider the socket of a session as lost.
    pub(super) fn may_lose(&self, number: usize, at: usize) -> bool {
        let (now, setup, socket) = (self.now(), &self.plan.setup, &self.sockets[at]);
        let is_silent = now >= socket.read.1 + millis(setup.pong);
        let outstanding = self.outstanding(number, at);
        // If the client has a long queue, its socket may accept nothing for a shorter time.
        let write = match outstanding > u64::from(setup.max_backlog) / 2 {
            true => Duration::from_millis(50),
            false => millis(setup.write),
        };
        let is_stuck = socket.full_since.is_some_and(|since| now >= since + write);
        let has_stopped = socket.is_mid_message() && now >= socket.read.1 + MESSAGE_TIMEOUT / 2;
        socket.is_broken
            || is_silent
            || is_stuck
            || has_stopped
            || self.sessions[number].was_wanted
            || self.is_superseded(number, at)
    }

    /// Returns true if the server may keep a session whose socket is lost.
    pub(super) fn may_detach(&self, number: usize, at: usize) -> bool {
        let away = self.sessions.iter().filter(|session| session.is_away()).count();
        // If the client is already waiting for the session, it resumes immediately, so the session
        // does not count.
        let fits = away < self.plan.setup.max_detached.into()
            || self.sessions[number].was_wanted
            || self.is_superseded(number, at);
        self.sessions[number].is_extended && self.plan.setup.window > 0 && !self.is_shut && fits
    }

    /// Checks whether the session of the polled task has lost its socket in this poll.
    pub(super) fn check_detached(&mut self, at: usize) -> Result<(), Fault> {
        let away = self.sessions.iter().filter(|session| session.is_away()).count();
        let found = self.stats.sessions.detached;
        if found == away {
            return Ok(());
        }
        let session = self.session_on(at).filter(|_| found == away + 1);
        let Some(number) = session else {
            return Err(Fault::new(format!("{found} sessions are detached instead of {away}")));
        };
        ensure!(self.may_lose(number, at), "session {number} has lost its socket");
        ensure!(self.may_detach(number, at), "session {number} is kept");
        let is_closed = self.closed_behind(number, at).is_some();
        ensure!(!is_closed, "session {number} is kept, which its client has closed");
        let now = self.now();
        if self.sessions[number].pending.is_none() {
            let before = self.sessions[number].acks();
            self.settle(at);
            // If the socket is abandoned in the same poll in which the handler completes, the
            // frames after the handler's packet are lost with the socket. The server may or may not
            // have handled them.
            if self.completed == Some(number) {
                self.sessions[number].doubt_acks(before);
            }
        }
        let socket = &mut self.sockets[at];
        let session = &mut self.sessions[number];
        self.marks.mark(session.pending.is_some(), Mark::LostPending);
        self.marks.mark(!socket.is_broken && socket.full_since.is_some(), Mark::LostStuck);
        self.marks.mark(!socket.is_broken && !socket.is_abandoned, Mark::LostSilent);
        self.marks.mark(socket.is_mid_message(), Mark::LostMidMessage);
        self.marks.mark(!socket.has_hello, Mark::LostBeforeHello);
        self.marks.mark(!socket.incoming.is_empty(), Mark::LostMidFrame);
        (socket.phase, socket.is_counted) = (Phase::Ended, false);
        socket.outgoing.clear();
        // A message that was sent to a large room at this time may not have been written yet.
        let is_unwritten = session.items.iter().any(|item| item.at == now);
        session.may_have_overflowed = session.may_lack && is_unwritten;
        let until = now + millis(self.plan.setup.window);
        session.place = Place::Away { until };
        Ok(())
    }
}

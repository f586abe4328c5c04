//! Checks handshakes that end without a session: the server rejects or the client abandons them.

use roomer_engine::Stats;

use super::application::millis;
use super::harness::Harness;
use super::marks::Mark;
use super::socket::{ClientRequest, Phase};
use crate::fault::{Fault, ensure};

impl Harness<'_> {
    /// If the server has rejected the socket that was polled, checks that it was allowed to. The
    /// statistics count the rejection even if the full socket accepts no bytes of the response.
    pub fn check_rejected(&mut self, before: &Stats, polled: Option<usize>) -> Result<(), Fault> {
        let (old, new) = (&before.rejected_requests, &self.stats.rejected_requests);
        let count = |status: &u16| old.get(status).copied().unwrap_or_default();
        let mut rejected = new.iter().map(|(status, &new)| (*status, new - count(status)));
        let Some((status, times)) = rejected.find(|&(_, times)| times > 0) else { return Ok(()) };
        let is_other = rejected.any(|(_, times)| times > 0);
        let Some(at) = polled.filter(|_| times == 1 && !is_other) else {
            return Err(Fault::new(format!("rejected: {new:?} after {old:?}, in poll {polled:?}")));
        };
        let socket = &self.sockets[at];
        ensure!(socket.phase == Phase::Handshake, "socket {at} is rejected after its handshake");
        let is_late = self.now() >= socket.opened_at + super::HANDSHAKE_TIMEOUT;
        let is_due = match status {
            401 => socket.request.is_denied,
            // The time limit may have expired while `authorize` was pending.
            503 if self.is_closing || is_late => true,
            // A full server still closes clients whose sessions the application has closed.
            503 => self.is_full_for(at, before) && !self.is_close_due(at),
            408 => is_late,
            _ => false,
        };
        self.marks.mark(status == 401, Mark::Denied);
        self.marks.mark(status == 503 && !self.is_closing, Mark::Full);
        ensure!(is_due, "socket {at} is rejected with {status}");
        let socket = &mut self.sockets[at];
        (socket.rejection, socket.phase) = (Some(status), Phase::Ended);
        Ok(())
    }

    /// Returns true if this socket must be rejected because a connection limit is reached.
    fn is_full_for(&self, at: usize, before: &Stats) -> bool {
        let most = usize::from(self.plan.setup.max_connections);
        let replaced =
            self.resumable(at).filter(|&number| self.sessions[number].socket().is_some());
        before.sockets - before.handshakes >= most + usize::from(replaced.is_some())
    }

    /// Records that the client of a session has its newest token, if the server has read bytes after
    /// the request of the session's socket, which prove it.
    pub fn confirm_read(&mut self, number: usize) {
        let session = &mut self.sessions[number];
        let Some(socket) = session.socket().map(|at| &self.sockets[at]) else { return };
        if socket.read.0 > socket.request_len {
            self.marks.mark(session.is_unconfirmed, Mark::Confirmed);
            session.confirm();
        }
    }

    /// Records a final close by the application. Until the client answers it, the client gets it
    /// whenever it returns within the window.
    pub fn keep_close(&mut self, number: usize, code: u16) {
        let until = self.now() + millis(self.plan.setup.window);
        // The handler that closes the session may have been called for the first bytes since a
        // resume, after which older tokens are no longer valid. But if the handler has waited since
        // an earlier poll, it has closed the session before this poll has read anything.
        let session = &self.sessions[number];
        let has_waited = session.pending.is_some() && self.called != Some(number);
        let has_read = session.socket().is_some_and(|at| {
            let socket = &self.sockets[at];
            !has_waited || socket.read_before > socket.request_len
        });
        if has_read {
            self.confirm_read(number);
        }
        let session = &mut self.sessions[number];
        if session.is_open() && session.is_extended {
            session.kept_close = Some((code, until));
        }
    }

    /// Returns the session of a returning client that the application has closed, if the client has
    /// not answered the close, and whether the client's token certainly belongs to it.
    fn kept_close(&self, at: usize) -> Option<(usize, bool)> {
        let ClientRequest { user, ref token, .. } = self.sockets[at].request;
        let (token, _) = token.as_ref()?;
        let now = self.now();
        self.sessions.iter().enumerate().find_map(|(number, session)| {
            let accepts = session.accepts(token) != Some(false) && session.user == user;
            let is_kept = session.kept_close.is_some_and(|(_, until)| now < until);
            (accepts && is_kept).then_some((number, session.accepts(token).is_some()))
        })
    }

    /// Checks that a returning client, which was closed in this poll, was allowed to be.
    pub fn check_closed_at_return(&mut self, at: usize, before: &Stats) -> Result<(), Fault> {
        let kept = self.kept_close(at).filter(|_| self.sockets[at].phase == Phase::Handshake);
        let (number, _) =
            kept.ok_or_else(|| Fault::new(format!("{at} is closed at its return")))?;
        self.marks.mark(true, Mark::ClosedAtReturn);
        self.marks.mark(self.is_full_for(at, before), Mark::ClosedByFull);
        let is_again = self.sockets.iter().any(|socket| socket.closed_session == Some(number));
        self.marks.mark(is_again, Mark::ClosedAgain);
        let code = self.sessions[number].kept_close.map(|(code, _)| (code, "bye"));
        let socket = &mut self.sockets[at];
        (socket.close, socket.phase) = (code, Phase::Ended);
        socket.closed_session = Some(number);
        Ok(())
    }

    /// Records that the server has read a client's answer to the application's close.
    pub fn on_close_answered(&mut self, at: usize) {
        let socket = &self.sockets[at];
        let session = socket.closed_session.or(socket.session);
        let code = socket.close.filter(|(_, reason)| *reason == "bye").map(|(code, _)| code);
        if let Some(number) = session.filter(|_| code.is_some() && socket.close_read() == code) {
            self.marks.mark(self.sessions[number].kept_close.is_some(), Mark::CloseAnswered);
            self.sessions[number].kept_close = None;
        }
    }

    /// Checks that a client which has a new session must not be closed instead.
    pub fn check_no_close_is_due(&self, at: usize) -> Result<(), Fault> {
        let is_due = self.is_close_due(at);
        ensure!(!is_due, "{at} gets a new session instead of the application's close");
        Ok(())
    }

    /// Returns true if a returning client must be closed, since the application has closed its
    /// session.
    fn is_close_due(&self, at: usize) -> bool {
        self.kept_close(at).is_some_and(|(_, is_certain)| is_certain)
    }

    /// Checks that the handshake was allowed to end without a response.
    pub fn check_given_up(&mut self, at: usize) -> Result<(), Fault> {
        let socket = &self.sockets[at];
        let is_replaced = socket.waits_for.is_some_and(|number| {
            self.sockets.iter().enumerate().any(|(other, socket)| {
                other != at
                    && socket.request.token.is_some()
                    && socket.has_asked()
                    && (socket.waits_for == Some(number) || socket.session == Some(number))
            })
        });
        self.marks.mark(is_replaced, Mark::Superseded);
        let is_due = socket.is_broken || socket.is_aborted || self.is_closing || is_replaced;
        ensure!(is_due, "the handshake of socket {at} ends without an answer");
        Ok(())
    }
}

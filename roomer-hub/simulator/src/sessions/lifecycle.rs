//! Checks that the server detaches, resumes, rejects and ends sessions exactly when it must.

use std::time::Duration;

use roomer_engine::Stats;

use super::application::millis;
use super::harness::Harness;
use super::item::{hello, token};
use super::marks::Mark;
use super::plan::ResumeKind;
use super::session::Place;
use super::socket::Phase;
use crate::fault::{Fault, ensure};

/// The engine's `HANDOVER_TIMEOUT`: how long a client waits for its session.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(5);

/// The server's `message_timeout`: if a message stalls for longer, its socket counts as lost.
pub(super) const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);

impl Harness<'_> {
    /// Checks that a session was allowed to end without being closed by the server.
    pub fn check_gone(&mut self, number: usize, polled: Option<usize>) -> Result<(), Fault> {
        let at = polled.ok_or_else(|| Fault::new(format!("{number} is gone outside a poll")))?;
        let now = self.now();
        // If a request to resume comes too late, it reports the end of its session a second time.
        if !self.sessions[number].is_open() {
            self.incomplete = Some(number);
            return Ok(());
        }
        let before = self.sessions[number].acks();
        if let Some(code) = self.settle_close(number, at)? {
            self.sockets[at].close = Some((code, ""));
            self.closed_by_peer += 1;
            return self.end(number);
        }
        // If the socket was lost in the poll in which the handler completed, the frames after the
        // handler's packet may have been lost with it, and the handler may have sent more than the
        // buffer can keep without these acknowledgements.
        if self.completed == Some(number) {
            self.sessions[number].doubt_acks(before);
        }
        let session = &self.sessions[number];
        self.lost += 1;
        let socket = &self.sockets[at];
        // Another task has ended the session: that of a socket whose client was waiting for the
        // session.
        if session.keeper != at {
            let Some((_, count)) = socket.request.token.clone() else {
                return Err(Fault::new(format!("{number} is ended by socket {at}")));
            };
            // A request may end only the session to which its token belongs.
            let is_due = self.resumable(at) == Some(number) || socket.is_aborted;
            ensure!(is_due, "{number} is ended by a request of another session");
            // Either the waiting task was aborted, or the session had discarded packets that its
            // client needs.
            let can = count.is_some_and(|count| session.can_resume(count, self.plan.setup.buffer))
                && !session.may_have_overflowed;
            ensure!(session.is_away() && (!can || socket.is_aborted), "{number} could continue");
            self.incomplete = (!socket.is_aborted).then_some(number);
            self.marks.mark(!can, Mark::Incomplete);
            return self.end(number);
        }
        let is_due = match session.place {
            Place::Away { until } => {
                self.marks.mark(now >= until, Mark::Expired);
                self.marks.mark(now >= until && session.pending.is_some(), Mark::ExpiredPending);
                self.marks.mark(session.has_overflowed, Mark::Overflowed);
                now >= until || session.may_have_overflowed || socket.is_aborted || self.is_closing
            }
            Place::Socket(_) => {
                let is_kept = self.may_detach(number, at) && !self.is_closing;
                let is_lost = self.may_lose(number, at) && !is_kept;
                self.marks.mark(is_lost && session.is_extended, Mark::NotKept);
                // After the loss of the socket, the session's handler may have sent more than the
                // buffer can keep.
                let is_full = self.may_lose(number, at) && session.may_lack;
                is_lost || is_full || socket.is_aborted || self.is_closing
            }
            Place::Ended => false,
        };
        ensure!(is_due, "{number} is gone without a reason ({:?})", session.place);
        self.end(number)
    }

    /// Checks that the server was allowed to close a session.
    pub fn check_closed(
        &mut self,
        number: usize,
        code: u16,
        polled: Option<usize>,
    ) -> Result<(), Fault> {
        let now = self.now();
        let session = &self.sessions[number];
        let is_own = polled == Some(session.keeper);
        if is_own && !session.is_open() {
            // After the packet that closed the session, the client has sent a violation.
            return Ok(());
        }
        if self.is_shut && polled.is_none() && !session.is_open() && code == 1001 {
            // A shutdown closes the sessions one at a time. Notices about the first closes may
            // exceed the memory budget, and thereby close other sessions before their turn.
            return Ok(());
        }
        let resume_kind = match code {
            1012 if self.is_closing && session.is_extended => "retry=",
            1001 if self.is_closing && !session.is_extended => "server is going away",
            1008 if is_own && session.expires.is_some_and(|at| now >= at) => {
                self.marks.mark(session.is_away(), Mark::LoginExpiredAway);
                self.marks.mark(!session.is_away(), Mark::LoginExpired);
                "login expired"
            }
            1013 if self.may_be_out_of_memory() => {
                self.marks.mark(true, Mark::OutOfMemory);
                ""
            }
            1013 if is_own => {
                let at = session.keeper;
                let outstanding = session.bytes_after(session.acked.min(session.got.len()));
                let is_slow = outstanding > self.plan.setup.max_backlog.into();
                // A session whose client has closed it is not kept.
                let is_kept = self.may_detach(number, at)
                    && !self.is_closing
                    && self.closed_behind(number, at).is_none();
                let is_lost = self.may_lose(number, at) && !is_kept;
                // A message is arriving without pauses, but takes too long.
                let socket = &self.sockets[at];
                let is_trickle = (socket.is_mid_message() || socket.was_mid_message())
                    && now < socket.alive_at() + MESSAGE_TIMEOUT / 2
                    && now >= socket.opened_at + MESSAGE_TIMEOUT;
                ensure!(is_slow || is_lost || is_trickle, "{number} is closed with 1013");
                ""
            }
            1002 if is_own && session.socket() == polled => {
                let at = session.keeper;
                let is_violation = self.settle(at) || self.may_skip_to_violation(at);
                ensure!(is_violation, "{number} is closed with 1002");
                self.sockets[at].outgoing.clear();
                ""
            }
            _ => return Err(Fault::new(format!("{number} is closed with {code}"))),
        };
        self.close(number, code, resume_kind)
    }

    /// Checks the effects of a poll that are not inputs to the hub.
    pub fn after_poll(&mut self, before: &Stats, polled: Option<usize>) -> Result<(), Fault> {
        self.check_rejected(before, polled)?;
        let (old, new) = (before.sessions.refused, self.stats.sessions.refused);
        let refused = [
            new.unknown - old.unknown,
            new.other_user - old.other_user,
            new.incomplete - old.incomplete,
        ];
        let closed = new.closed - old.closed;
        let Some(at) = polled else {
            ensure!(refused == [0; 3] && closed == 0, "a return outside a poll");
            return Ok(());
        };
        match closed {
            0 => self.check_refused(at, refused)?,
            _ => self.check_closed_at_return(at, before)?,
        }
        self.on_close_answered(at);
        for number in std::mem::take(&mut self.dropped) {
            ensure!(!self.sessions[number].is_open(), "a handler of session {number} is dropped");
        }
        if let Some(number) = self.session_on(at) {
            self.confirm_read(number);
        }
        self.check_detached(at)?;
        let mut shown = self.sessions.iter().filter(|session| session.is_shown_away);
        let wrong = shown.find(|session| session.socket().is_some());
        ensure!(
            wrong.is_none(),
            "{} is shown as away, and has a socket",
            wrong.map_or(0, |s| s.id)
        );
        if self.session_on(at).is_some() && !self.tasks.is_done(self.sockets[at].task) {
            self.check_leftover(at)?;
        }
        if self.tasks.is_done(self.sockets[at].task) {
            let socket = &mut self.sockets[at];
            socket.is_counted = false;
            if socket.phase == Phase::Handshake {
                self.check_given_up(at)?;
            }
            // Before a task completes, it must have detached or ended its session.
            let left =
                self.sessions.iter().position(|session| session.is_open() && session.keeper == at);
            let socket = &mut self.sockets[at];
            socket.phase = Phase::Ended;
            if let Some(left) = left {
                ensure!(self.sessions[left].is_away(), "the task of session {left} has ended");
            }
        }
        Ok(())
    }

    /// If a client did not resume its session in this poll, checks the reason.
    fn check_refused(&mut self, at: usize, refused: [u64; 3]) -> Result<(), Fault> {
        let now = self.now();
        let socket = &self.sockets[at];
        let Some((text, count)) = socket.request.token.clone() else {
            ensure!(refused == [0; 3], "{at} returns to no session");
            return Ok(());
        };
        let has_opened = socket.phase == Phase::Open && socket.resumed_with.is_none();
        // A socket is checked once: in the poll in which its client gets another session.
        let is_new = has_opened && !socket.is_judged;
        let target = self.target(at).filter(|_| count.is_some());
        let open = target.filter(|&number| self.sessions[number].is_open());
        // The new session's first packets may exceed the memory budget, and thereby close the session
        // that was refused.
        let was_open = target.filter(|number| open.is_some() || self.ended.contains(number));
        let is_user = |number: usize| self.sessions[number].user == socket.request.user;
        let is_late = socket.waits_since.is_some_and(|since| now >= since + HANDOVER_TIMEOUT);
        let is_over = socket.waits_since.is_some() && (is_late || open.is_none());
        // Of the tokens between the last one used and the newest, the server keeps only some, so
        // either result is right.
        let unsure = open.is_some_and(|number| self.sessions[number].accepts(&text).is_none());
        let may_be = [
            open.is_none() || is_over || unsure || self.is_closing,
            was_open.is_some_and(|number| !is_user(number)),
            self.incomplete.is_some(),
        ];
        for (reason, (count, may_be)) in refused.into_iter().zip(may_be).enumerate() {
            ensure!(count == 0 || may_be, "{at} is refused for reason {reason}");
        }
        if is_new {
            ensure!(refused.iter().sum::<u64>() == 1, "{at} is refused for {refused:?}");
            self.check_no_close_is_due(at)?;
            self.marks.mark(refused[0] == 1 && is_late, Mark::HandoverTimeout);
            self.marks.mark(refused[1] == 1, Mark::OtherUser);
            let resume_kind = self.sockets[at].request.resume_kind;
            let marks = &mut self.marks;
            for (kind, mark) in [
                (ResumeKind::UsedToken, Mark::UsedToken),
                (ResumeKind::Forged, Mark::Forged),
                (ResumeKind::Foreign, Mark::Foreign),
                (ResumeKind::Garbage, Mark::Garbage),
                (ResumeKind::NoCount, Mark::NoCount),
                (ResumeKind::Ahead, Mark::Ahead),
            ] {
                marks.mark(resume_kind == Some(kind), mark);
            }
            self.sockets[at].is_judged = true;
        } else if self.sockets[at].accepted_at.is_some()
            && self.sockets[at].phase == Phase::Handshake
        {
            // The client is still waiting: for the task that has the session, or for `authorize`.
            // If a later reconnection has taken precedence, the task of this one ends in this poll.
            let is_done = self.tasks.is_done(self.sockets[at].task);
            if let Some(number) = self.resumable(at).filter(|_| !is_done) {
                if self.sockets[at].waits_since.is_none() {
                    self.overtake(number);
                }
                self.sockets[at].waits_since.get_or_insert(now);
                self.sockets[at].waits_for.get_or_insert(number);
                self.sessions[number].was_wanted = true;
            }
        }
        Ok(())
    }

    /// If a client has resumed its session in this poll, checks that it was allowed to.
    pub fn check_resumed(&mut self, before: &Stats, polled: Option<usize>) -> Result<(), Fault> {
        let resumed = self.stats.sessions.resumed - before.sessions.resumed;
        if resumed == 0 {
            return Ok(());
        }
        let at = polled.ok_or_else(|| Fault::new("a return outside a poll".into()))?;
        let socket = &self.sockets[at];
        let (text, count) = socket.request.token.clone().unwrap_or_default();
        let number = self.resumable(at).filter(|_| resumed == 1);
        let number = number.ok_or_else(|| Fault::new(format!("{at} gets a session")))?;
        let session = &self.sessions[number];
        let count = count.unwrap_or_default();
        let now = self.now();
        ensure!(session.may_resume(now, count, self.plan.setup.buffer), "{number} misses packets");
        ensure!(session.is_away(), "{number} continues twice");
        self.resume(at, number, &text, count, self.last_random());
        Ok(())
    }

    fn resume(&mut self, at: usize, number: usize, presented: &str, count: usize, random: u16) {
        let setup = self.plan.setup;
        let now = self.now();
        let session = &mut self.sessions[number];
        // The bytes that would have exceeded the buffer had not been written yet.
        (session.may_have_overflowed, session.has_overflowed) = (false, false);
        self.marks.mark(true, Mark::Resumed);
        self.marks.mark(session.pending.is_some(), Mark::ResumedPending);
        self.marks.mark(session.total() > count, Mark::Replayed);
        self.marks.mark(session.sent.len() > session.handled, Mark::SentAgain);
        self.marks.mark(count < session.got.len(), Mark::Rewound);
        self.marks
            .mark(session.keeper != at && self.sockets[session.keeper].is_broken, Mark::AfterLoss);
        self.marks.mark(!self.sockets[session.keeper].is_broken, Mark::TakenOver);
        self.marks.mark(session.is_unconfirmed, Mark::ReturnedTwice);
        self.marks.mark(session.may_lack, Mark::ResumedFull);
        // The count in the request is also an acknowledgement.
        session.advance_acked(count, setup.buffer);
        let new = token(session.id, random);
        session.renew(presented, new.clone());
        session.is_asked = false;
        session.was_wanted = false;
        (session.place, session.keeper) = (Place::Socket(at), at);
        let accepted = self.sockets[at].accepted_at.unwrap_or(now);
        session.expires = (setup.valid_for > 0).then(|| accepted + millis(setup.valid_for));
        let socket = &mut self.sockets[at];
        socket.hello = Some(hello(&setup, &new, Some(session.handled), 0));
        (socket.token, socket.resumed_with) = (Some(new), Some(session.handled));
        (socket.session, socket.phase, socket.is_counted) = (Some(number), Phase::Open, true);
        socket.read.1 = now;
    }

    /// Checks that the server has handled all frames that it has read from a socket.
    fn check_leftover(&mut self, at: usize) -> Result<(), Fault> {
        let Some(number) = self.session_on(at) else { return Ok(()) };
        if self.sessions[number].pending.is_some() {
            return Ok(());
        }
        let is_violated = self.settle(at);
        let is_complete = self.sockets[at].front_meaning().is_some();
        ensure!(!(is_violated && is_complete), "a violation on socket {at} is accepted");
        let socket = &self.sockets[at];
        let left = socket.outgoing.front().filter(|sent| sent.end <= socket.read.0);
        ensure!(left.is_none(), "socket {at}: {left:?} was read and not handled");
        Ok(())
    }
}

//! The state of one room: membership, the pending request, and whether messages may be sent.

use alloc::boxed::Box;
use core::time::Duration;

use super::history_cursor::HistoryCursor;
use super::limits::GRACE;
use super::members::Members;
use crate::ConnId;

/// A join or leave that the server has not acknowledged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    Join,
    Leave,
}

#[derive(Debug, Default)]
pub(super) struct Room {
    /// True if the application has joined the room and not left it.
    pub(super) is_wanted: bool,
    /// True if the client is in the room, according to the server's last acknowledgement.
    pub(super) is_in: bool,
    /// True if the client has been in the room since the application joined it.
    pub(super) was_in: bool,
    pub(super) pending: Option<Pending>,
    /// The number of the request in the send order, once it is committed.
    pub(super) number: Option<u64>,
    /// True if a `leave_ack` arrived during a join. It may reject the join, acknowledge an earlier
    /// leave, or report an earlier removal. Also true if it arrived after a `join_ack` that may not
    /// have answered the join. The answer to a probe sent after the join shows which of these
    /// applies.
    pub(super) is_doubtful: bool,
    pub(super) members: Members,
    /// The id that the client had in the room before its session was lost. Boxed, because most rooms
    /// have none.
    pub(super) previous_id: Option<Box<ConnId>>,
    /// True if the application has not been notified of the membership.
    pub(super) is_quiet: bool,
    /// True if messages wait for other members that lost their connections at the same time.
    pub(super) is_waiting: bool,
    /// The time at which the room last had other members.
    pub(super) others_at: Option<Duration>,
    /// Present if the room has a history, or if the application requested one.
    pub(super) cursor: Option<Box<HistoryCursor>>,
}

impl Room {
    /// Returns true if messages may be sent. `is_late` means that the grace period for other
    /// members has ended.
    pub(super) fn is_open(&self, is_late: bool) -> bool {
        // The count includes this client.
        let has_company = is_late || !self.is_waiting || self.members.count() > 1;
        self.is_joined() && !self.is_doubtful && has_company
    }

    /// Returns true if the client is in the room and stays there. This excludes a room that the
    /// application rejoins while a leave request is pending, since the server drops messages that
    /// follow that request.
    pub(super) fn is_joined(&self) -> bool {
        self.is_in && self.is_wanted && self.pending.is_none()
    }

    /// Returns true if no state needs to be kept for the room.
    pub(super) fn is_over(&self) -> bool {
        !self.is_wanted && !self.is_in && self.pending.is_none()
    }

    /// Enters the room with the members listed in a `join_ack`. Returns the previous members.
    pub(super) fn joined(&mut self, members: Members) -> Members {
        (self.is_in, self.previous_id) = (true, None);
        // A `join_ack` can only end a wait: waits start when a session is lost.
        self.is_waiting &= members.count() < 2;
        core::mem::replace(&mut self.members, members)
    }

    /// Records the current time if the room has other members.
    pub(super) fn note_others(&mut self, now: Duration) {
        if self.members.count() > 1 {
            self.others_at = Some(now);
        }
    }

    /// Resets the room when a session is lost. `id` is the client's id in that session.
    pub(super) fn suspend(&mut self, now: Duration, id: Option<ConnId>) {
        // Members that left recently count too, since a server that shuts down may close their
        // connections before this one.
        let had_company = self.members.count() > 1
            || self.others_at.is_some_and(|at| now.saturating_sub(at) < GRACE);
        self.is_waiting |= self.is_in && had_company;
        if self.is_in {
            self.previous_id = id.map(Box::new);
        }
        (self.is_in, self.pending, self.number, self.is_doubtful) = (false, None, None, false);
    }
}

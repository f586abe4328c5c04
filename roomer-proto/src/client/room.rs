//! One room of a client.

use alloc::boxed::Box;
use core::time::Duration;

use super::limits::GRACE;
use super::members::Members;
use super::memory::Memory;
use crate::ConnId;

/// A request that the server has not answered on this connection or in this session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    Join,
    Leave,
}

#[derive(Debug, Default)]
pub(super) struct Room {
    /// True if the application wants to be in the room.
    pub(super) is_wanted: bool,
    /// True if the server has the client in the room, as far as the client knows.
    pub(super) is_in: bool,
    /// True if the client has been in the room since it was wanted.
    pub(super) was_in: bool,
    pub(super) pending: Option<Pending>,
    /// The number of the request in the order of sending, once it has a place there.
    pub(super) number: Option<u64>,
    /// True if a `leave_ack` has arrived while the client joins: the join was rejected, or it is the
    /// answer to an earlier leave, or the notice of an earlier removal. The answer to a probe after
    /// the join decides.
    pub(super) is_doubtful: bool,
    pub(super) members: Members,
    /// The client's id in the room, now or on the last connection.
    pub(super) id: Option<ConnId>,
    /// True if the application has not been notified that the client is in the room.
    pub(super) is_quiet: bool,
    /// True if messages wait for other members, which lost their connections at the same time.
    pub(super) is_waiting: bool,
    /// The last time at which there were other members.
    pub(super) others_at: Option<Duration>,
    /// Present if the room remembers its messages, or if the application asks for those.
    pub(super) memory: Option<Box<Memory>>,
}

impl Room {
    /// Returns true if messages may be sent. `is_late` means that the time of waiting for other
    /// members is over.
    pub(super) fn is_open(&self, is_late: bool) -> bool {
        // Two, because the list includes this client.
        let has_company = is_late || !self.is_waiting || self.members.count() > 1;
        self.is_in && self.is_wanted && has_company
    }

    /// Returns true if nothing about the room has to be remembered.
    pub(super) fn is_over(&self) -> bool {
        !self.is_wanted && !self.is_in && self.pending.is_none()
    }

    /// Replaces the members with those of a `join_ack`.
    pub(super) fn joined(&mut self, id: ConnId, members: Members) -> Members {
        (self.is_in, self.id) = (true, Some(id));
        // Only ends a wait: whether one begins is decided when the connection is lost.
        self.is_waiting &= members.count() < 2;
        core::mem::replace(&mut self.members, members)
    }

    /// Records the time if there are other members.
    pub(super) fn saw(&mut self, now: Duration) {
        if self.members.count() > 1 {
            self.others_at = Some(now);
        }
    }

    /// Resets the room after the loss of the connection and its session.
    pub(super) fn suspend(&mut self, now: Duration) {
        // A server that shuts down may close the connections of others first.
        let had_company = self.members.count() > 1
            || self.others_at.is_some_and(|at| now.saturating_sub(at) < GRACE);
        self.is_waiting |= self.is_in && had_company;
        (self.is_in, self.pending, self.number, self.is_doubtful) = (false, None, None, false);
    }
}

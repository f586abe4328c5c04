//! Sessions whose client has closed while a handler is pending.

use std::time::Duration;

use super::harness::Harness;
use super::marks::Mark;
use super::socket::Meaning;
use crate::fault::{Fault, ensure};

/// The server's `close_timeout`: how long messages before a client's close are handled.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

impl Harness<'_> {
    /// Returns the code in the close frame that a session's client has sent behind a waiting
    /// packet. A packet waits while its handler or that of an earlier packet is pending, or while
    /// senders are paused.
    pub fn closed_behind(&self, number: usize, at: usize) -> Option<u16> {
        self.sockets[at].close_read().filter(|_| self.session_on(at) == Some(number))
    }

    /// Returns the code in the close frame with which a session's client has ended the session, if
    /// it has.
    pub fn settle_close(&mut self, number: usize, at: usize) -> Result<Option<u16>, Fault> {
        let behind = self.closed_behind(number, at);
        let is_late = self.now() >= self.sockets[at].read.1 + CLOSE_TIMEOUT;
        if behind.is_some() && is_late {
            // The server has skipped all frames before the close, wrong acknowledgements included.
            self.marks.mark(true, Mark::ClosedPending);
            return Ok(behind);
        }
        if self.session_on(at) == Some(number) && self.sessions[number].pending.is_none() {
            self.settle(at);
            if let Some(Meaning::Close(code)) = self.sockets[at].front_meaning() {
                return Ok(Some(code));
            }
        }
        let is_lost = self.may_lose(number, at) || self.sockets[at].is_aborted;
        ensure!(behind.is_none() || is_lost, "{number} is ended while its packets wait");
        Ok(behind)
    }

    /// Returns true if the server must have ended a session, since its client closed long ago.
    pub fn is_closed_late(&self, number: usize, at: usize) -> bool {
        // If a step has advanced the clock without polling, that time does not count.
        let closed_at = self.sockets[at].read.1.max(self.jumped_at);
        self.closed_behind(number, at).is_some() && self.now() >= closed_at + CLOSE_TIMEOUT
    }
    /// Returns true if the server may have reached a violation although packets that precede it were
    /// not handled: it skips packets that are still waiting long after the end of the stream.
    pub fn may_skip_to_violation(&self, at: usize) -> bool {
        let socket = &self.sockets[at];
        let is_late = socket.ended_at.is_some_and(|ended| self.now() >= ended + CLOSE_TIMEOUT);
        let mut read = socket.outgoing.iter().filter(|sent| sent.end - sent.len < socket.read.0);
        is_late && read.any(|sent| matches!(sent.what, Meaning::Violation))
    }
}

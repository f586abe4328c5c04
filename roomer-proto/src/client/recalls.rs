//! Joins that request past messages.
//!
//! The server limits the rate of such joins, and sends no past messages above that rate. Joins above
//! the rate therefore wait. In the meantime, the client is not in the room, as without a connection.

use alloc::collections::{BTreeSet, VecDeque};
use core::time::Duration;

use bytestring::ByteString;

use super::limits::MAX_RECALLS;
use super::pace::Pace;

/// The joins of one session that request past messages.
#[derive(Debug)]
pub(super) struct Recalls {
    pace: Pace,
    /// The rooms whose joins the server has not answered.
    asking: BTreeSet<ByteString>,
    /// The rooms whose joins wait, in order. The application may have left some of them since.
    waiting: VecDeque<ByteString>,
}

impl Recalls {
    pub(super) fn new() -> Self {
        let pace = Pace::new(MAX_RECALLS);
        Recalls { pace, asking: BTreeSet::new(), waiting: VecDeque::new() }
    }

    /// Returns true if the server has counted all earlier joins. The server may count an unanswered
    /// join at any time, so the time until its answer must not permit further joins.
    fn is_counted(&self) -> bool {
        self.asking.is_empty()
    }

    /// Returns true if the room's join may be sent now. Otherwise, the room waits.
    pub(super) fn take(&mut self, now: Duration, room: &str) -> bool {
        if !self.is_counted() {
            self.pace.restart(now);
        }
        let is_permitted = self.pace.take(now);
        if is_permitted {
            self.asking.insert(room.into());
        } else if !self.waits(room) {
            self.waiting.push_back(room.into());
        }
        is_permitted
    }

    pub(super) fn waits(&self, room: &str) -> bool {
        self.waiting.iter().any(|other| other == room)
    }

    /// Returns the next waiting room, if its join may be sent now.
    pub(super) fn next(&mut self, now: Duration) -> Option<ByteString> {
        if !self.is_counted() {
            self.pace.restart(now);
        }
        if now < self.pace.due_at() {
            return None;
        }
        self.waiting.pop_front()
    }

    /// Handles the answer to a join.
    pub(super) fn answered(&mut self, now: Duration, room: &str, is_counted: bool) {
        if self.asking.remove(room) {
            self.pace.restart(now);
            if !is_counted {
                self.pace.give_back();
            }
        }
    }

    /// Returns the time at which the next waiting join may be sent.
    pub(super) fn due_at(&self) -> Option<Duration> {
        (self.is_counted() && !self.waiting.is_empty()).then(|| self.pace.due_at())
    }
}

//! A client's position in the history of a room: the messages that it has seen.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::limits::MOST_OWN_IDS;
use crate::ConnId;
use crate::extended::{self, Position};

/// A client's knowledge of the memory of a room.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The last message that the client has seen; `None` before the server has sent a position.
    pub(super) seen: Option<Position>,
    /// The messages that the client wants if it has not seen any, or if some are missing.
    pub(super) last: u32,
    /// The ids under which the client has sent in earlier sessions, the newest last: the server sends
    /// those messages as it sends those of others.
    own: VecDeque<ConnId>,
}

impl Memory {
    /// Creates the state of a room before the first `join_ack`.
    pub(super) fn new(last: u32) -> Self {
        Memory { last, ..Memory::default() }
    }

    /// Returns the payload of a join.
    pub(super) fn recall(&self) -> Vec<u8> {
        let last = self.last;
        let text = match self.seen {
            Some(at) if last > 0 => alloc::format!("{{\"at\":{at},\"last\":{last}}}"),
            Some(at) => alloc::format!("{{\"at\":{at}}}"),
            None if last > 0 => alloc::format!("{{\"last\":{last}}}"),
            None => return Vec::new(),
        };
        text.into()
    }

    /// Counts a message. Returns false if the application must not get it: it already has it, or
    /// the client has sent it.
    pub(super) fn admits(&mut self, dst: &str, src: &str) -> bool {
        self.see(dst) && !self.own.iter().any(|own| *own == *src)
    }

    /// Counts the number of a message. Returns false if it was seen before.
    pub(super) fn see(&mut self, dst: &str) -> bool {
        let (Some(number), Some(seen)) = (number_of(dst), &mut self.seen) else { return true };
        let is_new = number > seen.number;
        seen.number = seen.number.max(number);
        is_new
    }

    pub(super) fn add_own(&mut self, id: ConnId) {
        if self.own.back() != Some(&id) {
            self.own.push_back(id);
            // Bounded, as a client may lose many sessions. Its oldest messages have left the room's
            // memory by then, or the application sees one of them again.
            if self.own.len() > MOST_OWN_IDS {
                self.own.pop_front();
            }
        }
    }
}

/// Returns the number of a message in a room that remembers, `#NUMBER`.
pub(super) fn number_of(dst: &str) -> Option<u64> {
    let digits = dst.strip_prefix('#')?;
    extended::parse_count(digits.as_bytes())
}

//! A client's position in a room's history: the last message seen, and the client's own messages.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::limits::MAX_OWN_IDS;
use crate::ConnId;
use crate::extended::{self, Position};

/// The client's state for a room with history.
#[derive(Debug, Default)]
pub(super) struct HistoryCursor {
    /// The last message that the client has seen; `None` before the server has sent a position.
    pub(super) seen: Option<Position>,
    /// The number of last messages to request if the client has not seen any message, or if the
    /// server no longer has all the missed ones.
    pub(super) last: u32,
    /// The client's ids in earlier sessions, newest last. The server replays messages sent under
    /// these ids like those of other clients.
    own: VecDeque<ConnId>,
}

impl HistoryCursor {
    /// Creates the state before the first `join_ack`.
    pub(super) fn new(last: u32) -> Self {
        HistoryCursor { last, ..HistoryCursor::default() }
    }

    /// Returns the payload of a join request.
    pub(super) fn join_payload(&self) -> Vec<u8> {
        let last = self.last;
        let text = match self.seen {
            Some(at) if last > 0 => alloc::format!("{{\"at\":{at},\"last\":{last}}}"),
            Some(at) => alloc::format!("{{\"at\":{at}}}"),
            None if last > 0 => alloc::format!("{{\"last\":{last}}}"),
            None => return Vec::new(),
        };
        text.into()
    }

    /// Records a message. Returns false if the application must not receive it, because it has
    /// already received the message or because this client sent it.
    pub(super) fn admits(&mut self, dst: &str, src: &str) -> bool {
        self.see(dst) && !self.own.iter().any(|own| *own == *src)
    }

    /// Records a sequence number. Returns false if it was seen before.
    pub(super) fn see(&mut self, dst: &str) -> bool {
        let (Some(number), Some(seen)) = (number_of(dst), &mut self.seen) else { return true };
        let is_new = number > seen.number;
        seen.number = seen.number.max(number);
        is_new
    }

    pub(super) fn add_own(&mut self, id: ConnId) {
        if self.own.back() != Some(&id) {
            self.own.push_back(id);
            // Limit the list, since a client may lose many sessions. The messages of the removed
            // session have usually left the history; if not, the application receives its own
            // messages again.
            if self.own.len() > MAX_OWN_IDS {
                self.own.pop_front();
            }
        }
    }
}

/// Parses the sequence number of a message in a room with history, `#NUMBER`.
pub(super) fn number_of(dst: &str) -> Option<u64> {
    let digits = dst.strip_prefix('#')?;
    extended::parse_count(digits.as_bytes())
}

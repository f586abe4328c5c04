//! The stored history of one room: its latest messages, with limits on number, size and age.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use roomer_proto::extended::{Position, Recall};
use roomer_proto::{ConnId, PacketRef};

use crate::config::History;

/// A room's latest messages, oldest first.
#[derive(Debug)]
pub(super) struct RoomHistory {
    limits: History,
    epoch: u64,
    /// The number of messages ever sent, which is also the newest message's number.
    newest: u64,
    messages: VecDeque<StoredMessage>,
    bytes: usize,
}

#[derive(Debug)]
struct StoredMessage {
    at: Duration,
    /// The sender; `None` for the server.
    src: Option<ConnId>,
    dst_len: u8,
    event_len: u32,
    /// The concatenation of `dst`, event and payload.
    text: Box<[u8]>,
}

/// The answer to a client that requests missed messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recalled {
    pub(super) at: Position,
    /// True if the messages after the client's position are complete.
    pub(super) is_complete: bool,
    /// The numbers of messages to send.
    pub(super) numbers: Range<u64>,
}

impl RoomHistory {
    /// The approximate size of an empty history in bytes.
    const EMPTY: usize = 256;
    /// The overhead per message in bytes: its entry and the cost of an allocation.
    const EACH: usize = size_of::<StoredMessage>() + 32;

    pub(super) fn new(limits: History, epoch: u64) -> Self {
        RoomHistory { limits, epoch, newest: 0, messages: VecDeque::new(), bytes: 0 }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn age(&self) -> Duration {
        self.limits.age
    }

    pub(super) fn bytes(&self) -> usize {
        Self::EMPTY + self.bytes
    }

    /// Returns the newest message's position.
    fn position(&self) -> Position {
        Position { epoch: self.epoch, number: self.newest }
    }

    /// Returns the oldest message's number, or the next number if there are no messages.
    fn oldest(&self) -> u64 {
        // This cannot underflow: the stored messages have consecutive numbers, starting at 1 or later.
        self.newest + 1 - self.messages.len() as u64
    }

    /// Stores a message and returns its number.
    pub(super) fn push(&mut self, now: Duration, packet: &PacketRef<'_>) -> u64 {
        self.drop_expired(now);
        self.newest += 1;
        let dst = number_text(self.newest);
        let len = dst.len() + packet.event.len() + packet.payload.len();
        if Self::EACH + len > self.limits.bytes {
            // Discard all messages: the one that is not stored would leave a gap, but the stored
            // messages must be numbered consecutively.
            (self.messages, self.bytes) = (VecDeque::new(), 0);
            return self.newest;
        }
        let mut text = Vec::with_capacity(len);
        text.extend_from_slice(dst.as_bytes());
        text.extend_from_slice(packet.event.as_bytes());
        text.extend_from_slice(packet.payload);
        self.bytes += Self::EACH + len;
        self.messages.push_back(StoredMessage {
            at: now,
            // An empty `src` does not parse, and therefore stands for the server.
            src: packet.src.parse().ok(),
            // `dst` has at most 21 bytes: `#` and the digits of a `u64`.
            dst_len: dst.len() as u8,
            // The length is below 4 GiB; otherwise, the packet could not be encoded for its
            // receivers.
            event_len: packet.event.len() as u32,
            text: text.into(),
        });
        while self.messages.len() > self.limits.messages || self.bytes > self.limits.bytes {
            self.drop_oldest();
        }
        self.newest
    }

    /// Discards the messages that have expired.
    pub(super) fn drop_expired(&mut self, now: Duration) {
        let age = self.limits.age;
        while self.messages.front().is_some_and(|first| now.saturating_sub(first.at) >= age) {
            self.drop_oldest();
        }
    }

    /// Discards the oldest messages until at most this many bytes, or no messages, are left.
    pub(super) fn shrink_to(&mut self, bytes: usize) {
        while self.bytes() > bytes && !self.messages.is_empty() {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.messages.pop_front() {
            self.bytes -= Self::EACH + oldest.text.len();
        }
        // Release the space allocated during a burst.
        if self.messages.len() * 4 < self.messages.capacity() {
            self.messages.shrink_to_fit();
        }
    }

    /// Returns the messages that a client has missed or requested.
    pub(super) fn recall(&self, recall: &Recall) -> Recalled {
        let (oldest, next) = (self.oldest(), self.newest + 1);
        let is_complete = recall.at.is_some_and(|at| {
            at.epoch == self.epoch && (oldest..=next).contains(&at.number.saturating_add(1))
        });
        let start = match recall.at.filter(|_| is_complete) {
            Some(at) => at.number + 1,
            None => next.saturating_sub(recall.last.unwrap_or_default().into()).max(oldest),
        };
        Recalled { at: self.position(), is_complete, numbers: start..next }
    }

    /// Returns the message at this distance from the newest one, as a packet without a room.
    pub(super) fn message_before(&self, back: u32) -> Option<PacketRef<'_>> {
        self.message(self.newest.checked_sub(back.into())?)
    }

    /// Returns the latest messages with their numbers, oldest first, as packets without a room.
    /// Expired messages are skipped, even if no input has discarded them yet.
    pub(super) fn recent(
        &self,
        now: Duration,
        last: usize,
    ) -> impl Iterator<Item = (u64, PacketRef<'_>)> {
        let is_expired =
            |message: &&StoredMessage| now.saturating_sub(message.at) >= self.limits.age;
        // Expired messages are at the front, because messages are ordered by time.
        let good = self.messages.len() - self.messages.iter().take_while(is_expired).count();
        let numbers = self.newest + 1 - good.min(last) as u64..=self.newest;
        numbers.filter_map(|number| Some((number, self.message(number)?)))
    }

    fn message(&self, number: u64) -> Option<PacketRef<'_>> {
        let index = number.checked_sub(self.oldest())?;
        let StoredMessage { src, dst_len, event_len, text, .. } =
            self.messages.get(usize::try_from(index).ok()?)?;
        let (dst, rest) = text.split_at(usize::from(*dst_len));
        let (event, payload) = rest.split_at(*event_len as usize);
        Some(PacketRef {
            room: "",
            event: str::from_utf8(event).ok()?,
            dst: str::from_utf8(dst).ok()?,
            src: src.as_ref().map_or("", ConnId::as_str),
            payload,
        })
    }

    pub(super) fn audit(&self) -> Result<(), String> {
        let bytes = self.messages.iter().map(|message| Self::EACH + message.text.len());
        let (bytes, len) = (bytes.sum::<usize>(), self.messages.len());
        let is_sound = bytes == self.bytes
            && bytes <= self.limits.bytes
            && len <= self.limits.messages
            && len as u64 <= self.newest;
        match is_sound {
            true => Ok(()),
            false => Err(format!("{len} messages of {bytes} bytes, {} counted", self.bytes)),
        }
    }
}

/// Returns the `dst` for the message with this number.
pub(super) fn number_text(number: u64) -> String {
    format!("#{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    const HISTORY: History = History { messages: 3, bytes: 1000, age: secs(60) };

    fn push(history: &mut RoomHistory, now: u64, payload: &[u8]) -> u64 {
        let packet = PacketRef { room: "a", event: "chat", payload, ..PacketRef::default() };
        let number = history.push(secs(now), &packet);
        assert_eq!(history.audit(), Ok(()));
        number
    }

    fn payloads(history: &RoomHistory, recalled: &Recalled) -> Vec<String> {
        let messages = recalled.numbers.clone().map(|number| history.message(number).unwrap());
        messages.map(|message| String::from_utf8_lossy(message.payload).into_owned()).collect()
    }

    fn since(history: &RoomHistory, number: u64) -> (bool, Vec<String>) {
        let at = Some(Position { epoch: history.epoch, number });
        let recalled = history.recall(&Recall { at, last: None });
        (recalled.is_complete, payloads(history, &recalled))
    }

    #[test]
    fn message_is_returned_unchanged_with_its_position() {
        let mut history = RoomHistory::new(HISTORY, 7);
        let src = ConnId::from_random_bytes([5; 16]);
        let packet = PacketRef {
            room: "a",
            event: "ch\u{e4}t",
            dst: "",
            src: src.as_str(),
            payload: b"\xff\0 hi",
        };
        assert_eq!(history.push(secs(0), &packet), 1);
        assert_eq!(history.message(1), Some(PacketRef { room: "", dst: "#1", ..packet }));
        assert_eq!((history.message(0), history.message(2)), (None, None));
        let by_server = PacketRef { src: "", event: "", payload: b"", ..packet };
        history.push(secs(0), &by_server);
        assert_eq!(history.message(2), Some(PacketRef { room: "", dst: "#2", ..by_server }));
    }

    #[test]
    fn missed_messages_are_complete_until_one_expires() {
        let mut history = RoomHistory::new(HISTORY, 7);
        assert_eq!(since(&history, 0), (true, vec![]));
        for number in 1..=5_u8 {
            push(&mut history, 0, &[b'0' + number]);
        }
        let text = |numbers: &[&str]| numbers.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(since(&history, 5), (true, vec![]));
        assert_eq!(since(&history, 4), (true, text(&["5"])));
        assert_eq!(since(&history, 2), (true, text(&["3", "4", "5"])));
        assert_eq!(since(&history, 1), (false, vec![]));
        // This history has never contained these positions.
        assert_eq!(since(&history, 6), (false, vec![]));
        assert_eq!(since(&history, u64::MAX), (false, vec![]));
        let other = Recall { at: Some(Position { epoch: 8, number: 4 }), last: Some(2) };
        let recalled = history.recall(&other);
        assert!(!recalled.is_complete);
        assert_eq!(payloads(&history, &recalled), ["4", "5"]);
        assert_eq!(recalled.at, Position { epoch: 7, number: 5 });
    }

    #[test]
    fn last_messages_need_no_position() {
        let mut history = RoomHistory::new(HISTORY, 7);
        let last = |history: &RoomHistory, last| {
            let recalled = history.recall(&Recall { at: None, last });
            assert!(!recalled.is_complete);
            payloads(history, &recalled).len()
        };
        assert_eq!(last(&history, Some(2)), 0);
        (0..4).for_each(|_| assert!(push(&mut history, 0, b"x") > 0));
        let counts = [None, Some(0), Some(1), Some(3), Some(u32::MAX)].map(|n| last(&history, n));
        assert_eq!(counts, [0, 0, 1, 3, 3]);
    }

    #[test]
    fn bytes_and_age_are_limited() {
        let mut history = RoomHistory::new(HISTORY, 7);
        push(&mut history, 0, &[b'a'; 400]);
        push(&mut history, 10, &[b'b'; 400]);
        assert_eq!(since(&history, 1).1.len(), 1);
        assert!(!since(&history, 0).0, "the first does not fit beside the second");
        push(&mut history, 69, b"c");
        assert!(since(&history, 1).0);
        history.drop_expired(secs(70));
        assert_eq!(since(&history, 2), (true, vec!["c".into()]));
        assert!(!since(&history, 1).0);
        // A message above the size limit empties the history, and is not stored either.
        assert_eq!(push(&mut history, 71, &[b'd'; 1000]), 4);
        assert_eq!(since(&history, 4), (true, vec![]));
        assert!(!since(&history, 3).0);
        assert_eq!(history.bytes(), RoomHistory::EMPTY);
        assert_eq!(push(&mut history, 72, b"e"), 5);
        assert_eq!(since(&history, 4), (true, vec!["e".into()]));
    }

    #[test]
    fn memory_follows_messages() {
        let history = History { messages: 10_000, bytes: 10_000_000, age: secs(60) };
        let mut history = RoomHistory::new(history, 7);
        (0..5000).for_each(|_| assert!(history.push(secs(0), &PacketRef::default()) > 0));
        history.drop_expired(secs(60));
        assert!(history.messages.capacity() <= 4);
    }
}

//! Rooms with history: the latest messages of each room, kept for members that join later.
//!
//! A history outlives its room for a while so that a returning client can receive messages even
//! if all other members have left. Each message has a number, which extended members receive as
//! its `dst` (`#NUMBER`). A position in a history consists of the history's epoch and a number.

mod actions;
mod room;
mod rules;

use std::collections::BTreeMap;
use std::time::Duration;

use hashbrown::HashMap;
use roomer_proto::PacketRef;
use roomer_proto::extended::Recall;

use room::{Recalled, RoomHistory};

use crate::config::{History, RoomPattern};
use crate::hash::{HashKey, KeyedState};

/// A hub's histories, by room name.
#[derive(Debug)]
pub(crate) struct Histories {
    /// The rooms with history; the first matching pattern applies.
    patterns: Vec<(RoomPattern, History)>,
    /// The histories by room name.
    rooms: HashMap<Box<str>, Entry, KeyedState>,
    /// The histories of rooms without members, ordered by the time at which they expire.
    idle: BTreeMap<(Duration, u64), Box<str>>,
    /// The next history's epoch.
    next_epoch: u64,
    /// The histories' total size in bytes.
    bytes: usize,
    /// The limit on `bytes`.
    max_bytes: usize,
    /// The current input's time.
    now: Duration,
    /// The history request in the current input's join. Plain clients may send any payload, which the
    /// Go original ignores, but only extended clients receive answers.
    pub(crate) request: Option<Recall>,
    /// The `dst` for the current input's message.
    pub(crate) number: String,
    /// The end of the current input's `join_ack`, in a room with full presence.
    pub(crate) ack_end: String,
}

#[derive(Debug)]
struct Entry {
    history: RoomHistory,
    /// The room's key in `idle`, if the room has no members.
    idle: Option<(Duration, u64)>,
}

impl Histories {
    /// The maximum number of histories discarded per input, which bounds the time per input.
    const MAX_DROPPED: usize = 4;
    /// The limit on the caller's first epoch. All epochs must stay below 2^53, which JavaScript
    /// represents exactly, so half of that range is reserved for counting up.
    const FIRST_EPOCHS: u64 = 1 << 52;

    pub(crate) fn new(first_epoch: u64, max_bytes: usize, key: HashKey) -> Self {
        Histories {
            patterns: Vec::new(),
            rooms: HashMap::with_hasher(key.state()),
            idle: BTreeMap::new(),
            next_epoch: first_epoch % Self::FIRST_EPOCHS,
            bytes: 0,
            max_bytes,
            now: Duration::ZERO,
            request: None,
            number: String::new(),
            ack_end: String::new(),
        }
    }

    pub(crate) fn add_pattern(&mut self, pattern: &str, history: History) {
        self.patterns.push((RoomPattern::new(pattern), history));
    }

    /// Returns the histories' total size in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the number of histories.
    pub(crate) fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Prepares a new room's history. Returns false if the room has no history.
    pub(crate) fn open(&mut self, name: &str) -> bool {
        // The room was created again before its history expired, so continue the history with the
        // same epoch.
        if let Some(entry) = self.rooms.get_mut(name) {
            if let Some(idle) = entry.idle.take() {
                self.idle.remove(&idle);
            }
            return true;
        }
        let Some(limits) = self.limits(name) else { return false };
        let history = RoomHistory::new(limits, self.next_epoch);
        self.next_epoch += 1;
        self.bytes += history.bytes();
        self.rooms.insert(name.into(), Entry { history, idle: None });
        true
    }

    /// Returns the limits of a room's history; `None` if the room has no history.
    pub(crate) fn limits(&self, name: &str) -> Option<History> {
        let first = self.patterns.iter().find(|(pattern, _)| pattern.matches(name));
        // A pattern with 0 messages exempts its rooms from a broader pattern after it.
        first.map(|&(_, limits)| limits).filter(|limits| limits.messages > 0)
    }

    /// Prepares for an input at time `now`.
    pub(crate) fn begin(&mut self, now: Duration) {
        (self.now, self.request) = (now, None);
        self.drop_idle();
    }

    /// Records that a room was closed. Its history expires after the history's maximum age.
    pub(crate) fn close(&mut self, name: &str) {
        let Some(entry) = self.rooms.get_mut(name) else { return };
        // The epoch makes the key unique among rooms that close at the same time.
        let key = (self.now.saturating_add(entry.history.age()), entry.history.epoch());
        entry.idle = Some(key);
        self.idle.insert(key, name.into());
    }

    /// Stores a message in a room's history and returns its number; `None` if the room has no
    /// history.
    pub(crate) fn push(&mut self, packet: &PacketRef<'_>) -> Option<u64> {
        let entry = self.rooms.get_mut(packet.room)?;
        // Subtract the size and add it again below, because storing the message may evict others.
        self.bytes -= entry.history.bytes();
        let number = entry.history.push(self.now, packet);
        self.number = room::number_text(number);
        self.bytes += entry.history.bytes();
        if self.bytes > self.max_bytes {
            self.make_room(packet.room);
        }
        Some(number)
    }

    /// Enforces the limit on the total size: first discards histories of rooms without members, in
    /// order of expiry, then messages in the room that has just grown.
    #[cold]
    fn make_room(&mut self, name: &str) {
        while self.bytes > self.max_bytes
            && let Some((_, idle)) = self.idle.pop_first()
        {
            self.drop_history(&idle);
        }
        let Some(entry) = self.rooms.get_mut(name) else { return };
        self.bytes -= entry.history.bytes();
        // The other histories alone may exceed the limit, because even empty histories count.
        let max = self.max_bytes.saturating_sub(self.bytes);
        entry.history.shrink_to(max);
        self.bytes += entry.history.bytes();
    }

    fn drop_history(&mut self, name: &str) {
        // The caller has already removed the room's entry from `idle`.
        if let Some(entry) = self.rooms.remove(name) {
            self.bytes -= entry.history.bytes();
        }
    }

    /// Answers the history request of the current input's client, which joins a room with history.
    fn answer(&mut self, name: &str) -> Option<Recalled> {
        let entry = self.rooms.get_mut(name)?;
        self.bytes -= entry.history.bytes();
        entry.history.drop_expired(self.now);
        self.bytes += entry.history.bytes();
        Some(entry.history.recall(&self.request.unwrap_or_default()))
    }

    fn get(&self, name: &str) -> Option<&RoomHistory> {
        self.rooms.get(name).map(|entry| &entry.history)
    }

    /// Returns a message in a room's history. `back` is its distance from the newest message.
    pub(crate) fn message(&self, name: &str, back: u32) -> Option<PacketRef<'_>> {
        self.get(name)?.message_before(back)
    }

    /// Returns a room's latest messages; see [`RoomHistory::recent`].
    pub(crate) fn recent(
        &self,
        now: Duration,
        name: &str,
        last: usize,
    ) -> impl Iterator<Item = (u64, PacketRef<'_>)> {
        self.get(name).into_iter().flat_map(move |history| history.recent(now, last))
    }

    /// Discards expired histories, a few at a time.
    fn drop_idle(&mut self) {
        for _ in 0..Self::MAX_DROPPED {
            let Some(first) = self.idle.first_entry().filter(|first| first.key().0 <= self.now)
            else {
                return;
            };
            let name = first.remove();
            self.drop_history(&name);
        }
    }

    /// Checks that the tables are consistent. `has_room` returns true if a room exists.
    pub(crate) fn audit(&self, has_room: impl Fn(&str) -> bool) -> Result<(), String> {
        let bytes: usize = self.rooms.values().map(|entry| entry.history.bytes()).sum();
        if bytes != self.bytes {
            return Err(format!("{bytes} bytes of histories, {} counted", self.bytes));
        }
        for (name, entry) in &self.rooms {
            entry.history.audit().map_err(|error| format!("{name:?}: {error}"))?;
            if entry.idle.is_some() == has_room(name) {
                return Err(format!("the history of {name:?} is idle: {:?}", entry.idle));
            }
            if entry.idle.is_some_and(|key| self.idle.get(&key) != Some(name)) {
                return Err(format!("the history of {name:?} is never dropped"));
            }
        }
        let idle = self.rooms.values().filter(|entry| entry.idle.is_some()).count();
        match idle == self.idle.len() {
            true => Ok(()),
            false => Err(format!("{idle} idle histories, {} listed", self.idle.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn histories() -> Histories {
        let mut histories = Histories::new(u64::MAX, 1 << 20, HashKey([1; 16]));
        histories.add_pattern("chat/none", History::last(0));
        histories.add_pattern("chat/*", History::last(3).max_age(secs(60)));
        histories
    }

    fn message(room: &str) -> PacketRef<'_> {
        PacketRef { room, event: "chat", payload: b"hi", ..PacketRef::default() }
    }

    #[test]
    fn first_matching_pattern_decides_history() {
        let mut histories = histories();
        assert!(histories.open("chat/1") && !histories.open("chat/none") && !histories.open("x"));
        assert_eq!(histories.push(&message("chat/1")), Some(1));
        assert_eq!(histories.push(&message("x")), None);
        assert_eq!(histories.len(), 1);
        assert_eq!(histories.audit(|name| name == "chat/1"), Ok(()));
    }

    #[test]
    fn history_outlives_room_until_expiry() {
        let mut histories = histories();
        histories.open("chat/1");
        histories.push(&message("chat/1"));
        let epoch = histories.get("chat/1").unwrap().epoch();
        histories.begin(secs(10));
        histories.close("chat/1");
        assert_eq!(histories.audit(|_| false), Ok(()));
        histories.begin(secs(69));
        assert!(histories.open("chat/1"));
        assert_eq!(histories.push(&message("chat/1")), Some(2));
        assert_eq!(histories.get("chat/1").unwrap().epoch(), epoch);
        histories.begin(secs(70));
        histories.close("chat/1");
        histories.begin(secs(130));
        assert_eq!((histories.len(), histories.bytes()), (0, 0));
        histories.open("chat/1");
        assert_ne!(histories.get("chat/1").unwrap().epoch(), epoch);
        assert_eq!(histories.push(&message("chat/1")), Some(1));
        assert_eq!(histories.audit(|_| true), Ok(()));
    }

    #[test]
    fn histories_stay_below_total_limit() {
        let history = History::last(1000).max_bytes(10_000);
        let mut histories = Histories::new(0, 20_000, HashKey([1; 16]));
        histories.add_pattern("*", history);
        let fill = |histories: &mut Histories, room: &str| {
            (0..100).for_each(|_| {
                let payload = &[b'x'; 100];
                histories.push(&PacketRef { payload, ..message(room) });
            });
            histories.audit(|name| name == "b" || name == "c").unwrap();
            assert!(histories.bytes() <= 20_000, "{}", histories.bytes());
        };
        histories.open("a");
        (0..50).for_each(|_| assert!(histories.push(&message("a")).is_some()));
        histories.close("a");
        assert!(histories.open("b") && histories.open("c"));
        fill(&mut histories, "b");
        // The history of the room without members is discarded first.
        fill(&mut histories, "c");
        assert_eq!((histories.get("a").is_none(), histories.len()), (true, 2));
        let len = |histories: &Histories, room| histories.get(room).unwrap().bytes();
        let (b, c) = (len(&histories, "b"), len(&histories, "c"));
        // Once all such histories are discarded, only the growing room loses messages.
        fill(&mut histories, "c");
        assert_eq!(len(&histories, "b"), b);
        assert!(b > 9_000 && c > 8_000, "{b} {c}");
    }

    #[test]
    fn expired_histories_are_removed_incrementally() {
        let mut histories = histories();
        for room in 0..10 {
            let name = format!("chat/{room}");
            histories.open(&name);
            histories.begin(secs(room));
            histories.close(&name);
        }
        let left: Vec<_> = (0..4)
            .map(|_| {
                histories.begin(secs(68));
                histories.len()
            })
            .collect();
        assert_eq!(left, [6, 2, 1, 1]);
        assert_eq!(histories.audit(|_| false), Ok(()));
    }
}

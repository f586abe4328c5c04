//! What the good clients know together: what was said, and in which order the reference observed it.
//!
//! The reference is a client that is in every watched room from the beginning to the end and never
//! speaks. What it hears of a room is that room's log; what anybody else hears, from its coming to
//! its going, must be the same stretch of it, one's own messages left out.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use roomer_conformance::wire;

/// A client's id, as a number of the log's.
pub(super) type ClientIndex = u32;

/// A room, as an index. Root is the first.
pub(super) type Room = usize;

/// How good clients' payloads begin; a number follows.
const MARK: &[u8; 4] = b"good";

/// How long a suspected loss is not reported: the server may have closed the sender, and the report of
/// that, which fails the test first, has the reason.
const LOSS_GRACE: Duration = Duration::from_secs(3);

#[derive(Default)]
pub(super) struct DeliveryLog {
    ids: HashMap<String, ClientIndex>,
    names: Vec<String>,
    pub(super) rooms: Vec<String>,
    /// The logs of the rooms that the reference is in.
    logs: BTreeMap<Room, Log>,
    said: HashMap<(ClientIndex, Room), SentCount>,
    told: BTreeMap<(ClientIndex, ClientIndex), u32>,
    /// Good clients that went without ado: their last messages may be lost.
    cut: HashSet<ClientIndex>,
    close_kinds: HashMap<ClientIndex, &'static str>,
    /// Visits that are over, of which not everything is in the log yet.
    unfinished: Vec<(ClientIndex, LogCursor)>,
    suspected_loss: Option<(Instant, String)>,
    pub(super) checked: Checked,
}

/// How much was checked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Checked {
    pub(super) clients: usize,
    pub(super) broadcasts: usize,
    pub(super) directs: usize,
    pub(super) notices: usize,
    pub(super) acks: usize,
    /// Of these, compared with the log.
    pub(super) compared: usize,
}

/// What a good client has said in one room.
#[derive(Default)]
struct SentCount {
    said: u32,
    /// How much it had said whenever it left.
    ends: Vec<u32>,
}

#[derive(Default)]
struct Log {
    observed: Vec<Observed>,
    /// For each client the places after its joined_at.
    joined_at: HashMap<ClientIndex, Vec<usize>>,
}

/// Something that a member hears of its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Observed {
    Joined(ClientIndex),
    Left(ClientIndex),
    /// By whom, and a hash of what.
    Broadcast(ClientIndex, u64),
}

impl Observed {
    pub(super) fn said(by: ClientIndex, event: &[u8], payload: &[u8]) -> Observed {
        let mut hasher = DefaultHasher::new();
        // The rest is filler, which is checked in another way.
        let start = &payload[..payload.len().min(32)];
        (event, start, payload.len()).hash(&mut hasher);
        Observed::Broadcast(by, hasher.finish())
    }
}

/// One stay in a room, from `join_ack` to the end.
pub(super) struct LogCursor {
    room: Room,
    /// How many visits of the same client to this room came before.
    nth: usize,
    /// Where in the log it has come to.
    place: Option<usize>,
    /// What was observed and is not in the log yet.
    ahead: VecDeque<Observed>,
}

impl DeliveryLog {
    pub(super) fn new(rooms: Vec<String>, watched: usize) -> DeliveryLog {
        let logs = (0..watched).map(|room| (room, Log::default())).collect();
        DeliveryLog { rooms, logs, ..DeliveryLog::default() }
    }

    pub(super) fn who(&mut self, id: &[u8]) -> ClientIndex {
        let id = std::str::from_utf8(id).expect("ids are text");
        if let Some(who) = self.ids.get(id) {
            return *who;
        }
        assert_eq!(id.len(), 36, "no id: {id:?}");
        let who = self.names.len() as ClientIndex;
        self.ids.insert(id.into(), who);
        self.names.push(id.into());
        who
    }

    pub(super) fn id(&self, who: ClientIndex) -> &str {
        &self.names[who as usize]
    }

    pub(super) fn room(&self, name: &[u8]) -> Room {
        let room = self.rooms.iter().position(|room| room.as_bytes() == name);
        room.unwrap_or_else(|| panic!("observed of the room {}", name.escape_ascii()))
    }

    /// The payload of what `who` is about to say in a room.
    pub(super) fn say(&mut self, who: ClientIndex, room: Room, filler: usize) -> Vec<u8> {
        let count = self.said.entry((who, room)).or_default();
        count.said += 1;
        payload(count.said - 1, filler)
    }

    /// The payload of what `from` is about to tell `to`.
    pub(super) fn tell(&mut self, from: ClientIndex, to: ClientIndex, filler: usize) -> Vec<u8> {
        let told = self.told.entry((from, to)).or_default();
        *told += 1;
        payload(*told - 1, filler)
    }

    /// `who` is about to leave the room, after all it has said.
    pub(super) fn leave(&mut self, who: ClientIndex, room: Room) {
        let count = self.said.entry((who, room)).or_default();
        count.ends.push(count.said);
    }

    /// `who` goes at once, whatever of its messages is still on the way.
    pub(super) fn cut(&mut self, who: ClientIndex) {
        self.cut.insert(who);
    }

    /// Whether `next` can be the first that a member hears of a newcomer.
    pub(super) fn is_start(&self, who: ClientIndex, room: Room, next: u32) -> bool {
        next == 0 || self.said.get(&(who, room)).is_some_and(|count| count.ends.contains(&next))
    }

    /// `who` has left the room, and message `next` has not come: there must be none.
    pub(super) fn check_end(&mut self, who: ClientIndex, room: Room, next: u32) {
        let Some(count) = self.said.get(&(who, room)) else { return };
        if !(count.ends.contains(&next) || self.cut.contains(&who) && next <= count.said) {
            let suspected_loss = format!(
                "{} has left {}, and message {next} of {} is lost; it had left after {:?}, and {}",
                self.names[who as usize],
                self.rooms[room],
                count.said,
                count.ends,
                self.close_kinds.get(&who).unwrap_or(&"was to stay"),
            );
            self.suspected_loss.get_or_insert((Instant::now() + LOSS_GRACE, suspected_loss));
        }
    }

    /// How somebody takes its leave, for whoever looks for a loss.
    pub(super) fn note(&mut self, who: Option<ClientIndex>, manner: &'static str) {
        self.close_kinds.extend(who.map(|who| (who, manner)));
    }

    /// A loss is a loss, unless it turns out that the server has closed the one who spoke, which
    /// is worse and has a reason to tell.
    pub(super) fn check_suspected_loss(&self) {
        if let Some((deadline, suspected_loss)) = &self.suspected_loss {
            assert!(Instant::now() < *deadline, "{suspected_loss}");
        }
    }

    /// What those who were not cut have told `to`.
    pub(super) fn told(&self, to: ClientIndex) -> impl Iterator<Item = (ClientIndex, u32)> {
        let told = self
            .told
            .iter()
            .filter(move |((from, other), _)| *other == to && !self.cut.contains(from));
        told.map(|((from, _), count)| (*from, *count))
    }

    /// The reference has observed something.
    pub(super) fn monitor(&mut self, room: Room, observed: Observed) {
        let Some(log) = self.logs.get_mut(&room) else { return };
        log.observed.push(observed);
        if let Observed::Joined(who) = observed {
            log.joined_at.entry(who).or_default().push(log.observed.len());
        }
    }

    pub(super) fn cursor(&self, room: Room, nth: usize) -> LogCursor {
        LogCursor { room, nth, place: None, ahead: VecDeque::new() }
    }

    /// Somebody on a cursor has observed something.
    pub(super) fn hear(&mut self, who: ClientIndex, cursor: &mut LogCursor, observed: Observed) {
        if self.logs.contains_key(&cursor.room) {
            cursor.ahead.push_back(observed);
            self.follow(who, cursor);
        }
    }

    /// Compares what somebody has observed with the log, as far as that has come.
    pub(super) fn follow(&mut self, who: ClientIndex, cursor: &mut LogCursor) {
        let Some(log) = self.logs.get(&cursor.room) else { return };
        if cursor.place.is_none() {
            cursor.place =
                log.joined_at.get(&who).and_then(|places| places.get(cursor.nth)).copied();
        }
        let Some(place) = &mut cursor.place else { return };
        while let Some(observed) = cursor.ahead.front() {
            let is_own =
                |entry: &Observed| matches!(entry, Observed::Broadcast(by, _) if *by == who);
            *place += log.observed[*place..].iter().take_while(|entry| is_own(entry)).count();
            let Some(entry) = log.observed.get(*place) else { return };
            assert!(
                observed == entry,
                "in {}, {} ({who}) observed {observed:?} where the reference observed, from 4 before: {:?}",
                self.rooms[cursor.room],
                self.names[who as usize],
                &log.observed[place.saturating_sub(4)..log.observed.len().min(*place + 4)],
            );
            *place += 1;
            self.checked.compared += 1;
            cursor.ahead.pop_front();
        }
    }

    /// A cursor is over; what it has observed must still turn up in the log.
    pub(super) fn end(&mut self, who: ClientIndex, cursor: LogCursor) {
        if !cursor.ahead.is_empty() {
            self.unfinished.push((who, cursor));
        }
    }

    /// Looks once more at visits that are over. Whether at most so much of them is not in the log
    /// yet.
    pub(super) fn settle(&mut self, ahead: usize) -> bool {
        let mut unfinished = std::mem::take(&mut self.unfinished);
        unfinished.iter_mut().for_each(|(who, cursor)| self.follow(*who, cursor));
        unfinished.retain(|(_, cursor)| !cursor.ahead.is_empty());
        self.unfinished = unfinished;
        self.unfinished.iter().map(|(_, cursor)| cursor.ahead.len()).sum::<usize>() <= ahead
    }
}

impl LogCursor {
    /// Whether the log has everything.
    pub(super) fn is_settled(&self) -> bool {
        self.ahead.is_empty()
    }
}

/// What payloads are filled with.
static FILLER: LazyLock<Vec<u8>> = LazyLock::new(|| wire::filler(LONGEST));

/// The most filler of a payload.
pub(super) const LONGEST: usize = 20_000;

fn payload(number: u32, filler: usize) -> Vec<u8> {
    [MARK, &number.to_be_bytes()[..], &FILLER[..filler]].concat()
}

/// The number of a good client's payload, which must be whole.
pub(super) fn number(payload: &[u8]) -> Option<u32> {
    let (number, filler) = payload.strip_prefix(MARK)?.split_first_chunk()?;
    FILLER.starts_with(filler).then_some(u32::from_be_bytes(*number))
}

//! What the good clients know together: what was said, and in which order the witness heard it.
//!
//! The witness is a client that is in every watched room from the beginning to the end and never
//! speaks. What it hears of a room is that room's log; what anybody else hears, from its coming to
//! its going, must be the same stretch of it, one's own messages left out.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use roomer_conformance::wire;

/// A client's id, as a number of the ledger's.
pub(super) type Who = u32;

/// A room, as an index. Root is the first.
pub(super) type Room = usize;

/// How good clients' payloads begin; a number follows.
const MARK: &[u8; 4] = b"good";

#[derive(Default)]
pub(super) struct Ledger {
    ids: HashMap<String, Who>,
    names: Vec<String>,
    pub(super) rooms: Vec<String>,
    /// The logs of the rooms that the witness is in.
    logs: BTreeMap<Room, Log>,
    said: HashMap<(Who, Room), Tally>,
    told: BTreeMap<(Who, Who), u32>,
    /// Good clients that went without ado: their last messages may be lost.
    cut: HashSet<Who>,
    manners: HashMap<Who, &'static str>,
    /// Visits that are over, of which not everything is in the log yet.
    tails: Vec<(Who, Visit)>,
    doubt: Option<(Instant, String)>,
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
struct Tally {
    said: u32,
    /// How much it had said whenever it left.
    ends: Vec<u32>,
}

#[derive(Default)]
struct Log {
    heard: Vec<Heard>,
    /// For each client the places after its comings.
    comings: HashMap<Who, Vec<usize>>,
}

/// Something that a member hears of its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Came(Who),
    Went(Who),
    /// By whom, and a hash of what.
    Said(Who, u64),
}

impl Heard {
    pub(super) fn said(by: Who, event: &[u8], payload: &[u8]) -> Heard {
        let mut hasher = DefaultHasher::new();
        // The rest is filler, which is checked in another way.
        let start = &payload[..payload.len().min(32)];
        (event, start, payload.len()).hash(&mut hasher);
        Heard::Said(by, hasher.finish())
    }
}

/// One stay in a room, from `join_ack` to the end.
pub(super) struct Visit {
    room: Room,
    /// How many visits of the same client to this room came before.
    nth: usize,
    /// Where in the log it has come to.
    place: Option<usize>,
    /// What was heard and is not in the log yet.
    ahead: VecDeque<Heard>,
}

impl Ledger {
    pub(super) fn new(rooms: Vec<String>, watched: usize) -> Ledger {
        let logs = (0..watched).map(|room| (room, Log::default())).collect();
        Ledger { rooms, logs, ..Ledger::default() }
    }

    pub(super) fn who(&mut self, id: &[u8]) -> Who {
        let id = std::str::from_utf8(id).expect("ids are text");
        if let Some(who) = self.ids.get(id) {
            return *who;
        }
        assert_eq!(id.len(), 36, "no id: {id:?}");
        let who = self.names.len() as Who;
        self.ids.insert(id.into(), who);
        self.names.push(id.into());
        who
    }

    pub(super) fn id(&self, who: Who) -> &str {
        &self.names[who as usize]
    }

    pub(super) fn room(&self, name: &[u8]) -> Room {
        let room = self.rooms.iter().position(|room| room.as_bytes() == name);
        room.unwrap_or_else(|| panic!("heard of the room {}", name.escape_ascii()))
    }

    /// The payload of what `who` is about to say in a room.
    pub(super) fn say(&mut self, who: Who, room: Room, filler: usize) -> Vec<u8> {
        let tally = self.said.entry((who, room)).or_default();
        tally.said += 1;
        payload(tally.said - 1, filler)
    }

    /// The payload of what `from` is about to tell `to`.
    pub(super) fn tell(&mut self, from: Who, to: Who, filler: usize) -> Vec<u8> {
        let told = self.told.entry((from, to)).or_default();
        *told += 1;
        payload(*told - 1, filler)
    }

    /// `who` is about to leave the room, after all it has said.
    pub(super) fn leave(&mut self, who: Who, room: Room) {
        let tally = self.said.entry((who, room)).or_default();
        tally.ends.push(tally.said);
    }

    /// `who` goes at once, whatever of its messages is still on the way.
    pub(super) fn cut(&mut self, who: Who) {
        self.cut.insert(who);
    }

    /// Whether `next` can be the first that a member hears of a newcomer.
    pub(super) fn is_start(&self, who: Who, room: Room, next: u32) -> bool {
        next == 0 || self.said.get(&(who, room)).is_some_and(|tally| tally.ends.contains(&next))
    }

    /// `who` has left the room, and message `next` has not come: there must be none.
    pub(super) fn check_end(&mut self, who: Who, room: Room, next: u32) {
        let Some(tally) = self.said.get(&(who, room)) else { return };
        if !(tally.ends.contains(&next) || self.cut.contains(&who) && next <= tally.said) {
            let doubt = format!(
                "{} has left {}, and message {next} of {} is lost; it had left after {:?}, and {}",
                self.names[who as usize],
                self.rooms[room],
                tally.said,
                tally.ends,
                self.manners.get(&who).unwrap_or(&"was to stay"),
            );
            self.doubt.get_or_insert((Instant::now(), doubt));
        }
    }

    /// How somebody takes its leave, for whoever looks for a loss.
    pub(super) fn note(&mut self, who: Option<Who>, manner: &'static str) {
        self.manners.extend(who.map(|who| (who, manner)));
    }

    /// A loss is a loss, unless it turns out that the server has closed the one who spoke, which
    /// is worse and has a reason to tell.
    pub(super) fn check_doubt(&self) {
        if let Some((since, doubt)) = &self.doubt {
            assert!(since.elapsed() < Duration::from_secs(3), "{doubt}");
        }
    }

    /// What those who were not cut have told `to`.
    pub(super) fn told(&self, to: Who) -> impl Iterator<Item = (Who, u32)> {
        let told = self
            .told
            .iter()
            .filter(move |((from, other), _)| *other == to && !self.cut.contains(from));
        told.map(|((from, _), count)| (*from, *count))
    }

    /// The witness has heard something.
    pub(super) fn monitor(&mut self, room: Room, heard: Heard) {
        let Some(log) = self.logs.get_mut(&room) else { return };
        log.heard.push(heard);
        if let Heard::Came(who) = heard {
            log.comings.entry(who).or_default().push(log.heard.len());
        }
    }

    pub(super) fn visit(&self, room: Room, nth: usize) -> Visit {
        Visit { room, nth, place: None, ahead: VecDeque::new() }
    }

    /// Somebody on a visit has heard something.
    pub(super) fn hear(&mut self, who: Who, visit: &mut Visit, heard: Heard) {
        if self.logs.contains_key(&visit.room) {
            visit.ahead.push_back(heard);
            self.follow(who, visit);
        }
    }

    /// Compares what somebody has heard with the log, as far as that has come.
    pub(super) fn follow(&mut self, who: Who, visit: &mut Visit) {
        let Some(log) = self.logs.get(&visit.room) else { return };
        if visit.place.is_none() {
            visit.place = log.comings.get(&who).and_then(|places| places.get(visit.nth)).copied();
        }
        let Some(place) = &mut visit.place else { return };
        while let Some(heard) = visit.ahead.front() {
            let is_own = |entry: &Heard| matches!(entry, Heard::Said(by, _) if *by == who);
            *place += log.heard[*place..].iter().take_while(|entry| is_own(entry)).count();
            let Some(entry) = log.heard.get(*place) else { return };
            assert!(
                heard == entry,
                "in {}, {} ({who}) heard {heard:?} where the witness heard, from 4 before: {:?}",
                self.rooms[visit.room],
                self.names[who as usize],
                &log.heard[place.saturating_sub(4)..log.heard.len().min(*place + 4)],
            );
            *place += 1;
            self.checked.compared += 1;
            visit.ahead.pop_front();
        }
    }

    /// A visit is over; what it has heard must still turn up in the log.
    pub(super) fn end(&mut self, who: Who, visit: Visit) {
        if !visit.ahead.is_empty() {
            self.tails.push((who, visit));
        }
    }

    /// Looks once more at visits that are over. Whether at most so much of them is not in the log
    /// yet.
    pub(super) fn settle(&mut self, ahead: usize) -> bool {
        let mut tails = std::mem::take(&mut self.tails);
        tails.iter_mut().for_each(|(who, visit)| self.follow(*who, visit));
        tails.retain(|(_, visit)| !visit.ahead.is_empty());
        self.tails = tails;
        self.tails.iter().map(|(_, visit)| visit.ahead.len()).sum::<usize>() <= ahead
    }
}

impl Visit {
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

//! A record, shared by all honest clients, of the messages sent and the order of their arrival.
//!
//! The reference client never sends, and is a member of every watched room during the whole test.
//! The packets that it receives in a room are the log of that room. What another client receives
//! from its join to its leave must be the same section of the log, without that client's own
//! messages.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use roomer_conformance::wire;

/// A client, given by its index in the log's list of ids.
pub(super) type ClientIndex = u32;

/// A room, given by its index. The index of `root` is 0.
pub(super) type Room = usize;

/// The prefix of the payloads that honest clients send. A number follows it.
const MARK: &[u8; 4] = b"good";

/// The time for which a loss must be suspected before the test fails. If the server has closed the
/// sender, another check fails within this time, and reports the reason for the close.
const LOSS_GRACE: Duration = Duration::from_secs(3);

#[derive(Default)]
pub(super) struct DeliveryLog {
    ids: HashMap<String, ClientIndex>,
    names: Vec<String>,
    pub(super) rooms: Vec<String>,
    /// For each watched room, its log.
    logs: BTreeMap<Room, Log>,
    sent: HashMap<(ClientIndex, Room), SentCount>,
    direct_counts: BTreeMap<(ClientIndex, ClientIndex), u32>,
    /// The honest clients that have reset or dropped their connections. The last messages of these
    /// clients may be lost.
    cut: HashSet<ClientIndex>,
    close_kinds: HashMap<ClientIndex, &'static str>,
    /// Memberships that have ended, and whose last packets are not in the log yet.
    unfinished: Vec<(ClientIndex, LogCursor)>,
    suspected_loss: Option<(Instant, String)>,
    pub(super) checked: Checked,
}

/// The numbers of packets that were checked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Checked {
    pub(super) clients: usize,
    pub(super) broadcasts: usize,
    pub(super) directs: usize,
    pub(super) notices: usize,
    pub(super) acks: usize,
    /// The number of packets that were compared with the log.
    pub(super) compared: usize,
}

/// The messages that an honest client has sent to one room.
#[derive(Default)]
struct SentCount {
    sent: u32,
    /// For each leave, the number of messages that were sent before it.
    ends: Vec<u32>,
}

#[derive(Default)]
struct Log {
    observed: Vec<Observed>,
    /// For each client, the positions in the log that follow its joins.
    joined_at: HashMap<ClientIndex, Vec<usize>>,
}

/// A packet that a member of a room has received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Observed {
    Joined(ClientIndex),
    Left(ClientIndex),
    /// A message, as its sender and a hash of its contents.
    Broadcast(ClientIndex, u64),
}

impl Observed {
    pub(super) fn sent(by: ClientIndex, event: &[u8], payload: &[u8]) -> Observed {
        let mut hasher = DefaultHasher::new();
        // The rest of the payload is filler, which `number` checks.
        let start = &payload[..payload.len().min(32)];
        (event, start, payload.len()).hash(&mut hasher);
        Observed::Broadcast(by, hasher.finish())
    }
}

/// The position in the log of one membership, which lasts from `join_ack` to the leave.
pub(super) struct LogCursor {
    room: Room,
    /// The number of memberships that the client has had in this room before.
    nth: usize,
    /// The index of the next entry in the log. `None` until it is known.
    place: Option<usize>,
    /// Packets that the member has received, and that are not in the log yet.
    ahead: VecDeque<Observed>,
}

impl DeliveryLog {
    pub(super) fn new(rooms: Vec<String>, watched: usize) -> DeliveryLog {
        let logs = (0..watched).map(|room| (room, Log::default())).collect();
        DeliveryLog { rooms, logs, ..DeliveryLog::default() }
    }

    pub(super) fn client(&mut self, id: &[u8]) -> ClientIndex {
        let id = std::str::from_utf8(id).expect("ids are text");
        if let Some(client) = self.ids.get(id) {
            return *client;
        }
        assert_eq!(id.len(), 36, "not an id: {id:?}");
        let client = self.names.len() as ClientIndex;
        self.ids.insert(id.into(), client);
        self.names.push(id.into());
        client
    }

    pub(super) fn id(&self, client: ClientIndex) -> &str {
        &self.names[client as usize]
    }

    pub(super) fn room(&self, name: &[u8]) -> Room {
        let room = self.rooms.iter().position(|room| room.as_bytes() == name);
        room.unwrap_or_else(|| panic!("a packet of an unknown room {}", name.escape_ascii()))
    }

    /// Returns the payload for the client's next message to a room.
    pub(super) fn say(&mut self, client: ClientIndex, room: Room, filler: usize) -> Vec<u8> {
        let count = self.sent.entry((client, room)).or_default();
        count.sent += 1;
        payload(count.sent - 1, filler)
    }

    /// Returns the payload for the client's next direct message to another client.
    pub(super) fn tell(&mut self, from: ClientIndex, to: ClientIndex, filler: usize) -> Vec<u8> {
        let direct_counts = self.direct_counts.entry((from, to)).or_default();
        *direct_counts += 1;
        payload(*direct_counts - 1, filler)
    }

    /// Records that a client is about to leave a room.
    pub(super) fn leave(&mut self, client: ClientIndex, room: Room) {
        let count = self.sent.entry((client, room)).or_default();
        count.ends.push(count.sent);
    }

    /// Records that a client drops its connection, possibly with messages in flight.
    pub(super) fn cut(&mut self, client: ClientIndex) {
        self.cut.insert(client);
    }

    /// Returns true if a member may receive `next` as the first message from a new member.
    pub(super) fn is_start(&self, client: ClientIndex, room: Room, next: u32) -> bool {
        next == 0 || self.sent.get(&(client, room)).is_some_and(|count| count.ends.contains(&next))
    }

    /// Checks that a client has not sent message number `next` before it left the room.
    pub(super) fn check_end(&mut self, client: ClientIndex, room: Room, next: u32) {
        let Some(count) = self.sent.get(&(client, room)) else { return };
        if !(count.ends.contains(&next) || self.cut.contains(&client) && next <= count.sent) {
            let suspected_loss = format!(
                "{} has left {}, and message {next} of {} is lost; its leaves were after {:?}; it {}",
                self.names[client as usize],
                self.rooms[room],
                count.sent,
                count.ends,
                self.close_kinds.get(&client).unwrap_or(&"did not disconnect"),
            );
            self.suspected_loss.get_or_insert((Instant::now() + LOSS_GRACE, suspected_loss));
        }
    }

    /// Records how a client has disconnected, for reports of lost messages.
    pub(super) fn note(&mut self, client: Option<ClientIndex>, manner: &'static str) {
        self.close_kinds.extend(client.map(|client| (client, manner)));
    }

    /// Fails the test if a loss has been suspected for longer than [`LOSS_GRACE`].
    pub(super) fn check_suspected_loss(&self) {
        if let Some((deadline, suspected_loss)) = &self.suspected_loss {
            assert!(Instant::now() < *deadline, "{suspected_loss}");
        }
    }

    /// Returns each client that has sent direct messages to this one, with the number of those
    /// messages. Omits clients that have dropped their connections.
    pub(super) fn direct_counts(
        &self,
        to: ClientIndex,
    ) -> impl Iterator<Item = (ClientIndex, u32)> {
        let direct_counts = self
            .direct_counts
            .iter()
            .filter(move |((from, other), _)| *other == to && !self.cut.contains(from));
        direct_counts.map(|((from, _), count)| (*from, *count))
    }

    /// Appends a packet to the log. The reference client has received it.
    pub(super) fn monitor(&mut self, room: Room, observed: Observed) {
        let Some(log) = self.logs.get_mut(&room) else { return };
        log.observed.push(observed);
        if let Observed::Joined(client) = observed {
            log.joined_at.entry(client).or_default().push(log.observed.len());
        }
    }

    pub(super) fn cursor(&self, room: Room, nth: usize) -> LogCursor {
        LogCursor { room, nth, place: None, ahead: VecDeque::new() }
    }

    /// Compares a packet that a member has received with the log.
    pub(super) fn observe(
        &mut self,
        client: ClientIndex,
        cursor: &mut LogCursor,
        observed: Observed,
    ) {
        if self.logs.contains_key(&cursor.room) {
            cursor.ahead.push_back(observed);
            self.follow(client, cursor);
        }
    }

    /// Compares the packets that a member has received with the log, up to the first that is not in
    /// the log yet.
    pub(super) fn follow(&mut self, client: ClientIndex, cursor: &mut LogCursor) {
        let Some(log) = self.logs.get(&cursor.room) else { return };
        if cursor.place.is_none() {
            cursor.place =
                log.joined_at.get(&client).and_then(|places| places.get(cursor.nth)).copied();
        }
        let Some(place) = &mut cursor.place else { return };
        while let Some(observed) = cursor.ahead.front() {
            let is_own =
                |entry: &Observed| matches!(entry, Observed::Broadcast(by, _) if *by == client);
            *place += log.observed[*place..].iter().take_while(|entry| is_own(entry)).count();
            let Some(entry) = log.observed.get(*place) else { return };
            assert!(
                observed == entry,
                "in {}, {} ({client}) observed {observed:?} where the reference observed, from 4 before: {:?}",
                self.rooms[cursor.room],
                self.names[client as usize],
                &log.observed[place.saturating_sub(4)..log.observed.len().min(*place + 4)],
            );
            *place += 1;
            self.checked.compared += 1;
            cursor.ahead.pop_front();
        }
    }

    /// Ends a membership. The packets that remain must appear in the log later.
    pub(super) fn end(&mut self, client: ClientIndex, cursor: LogCursor) {
        if !cursor.ahead.is_empty() {
            self.unfinished.push((client, cursor));
        }
    }

    /// Compares the memberships that have ended with the log. Returns true if at most `ahead` of
    /// their packets are not in the log yet.
    pub(super) fn settle(&mut self, ahead: usize) -> bool {
        let mut unfinished = std::mem::take(&mut self.unfinished);
        unfinished.iter_mut().for_each(|(client, cursor)| self.follow(*client, cursor));
        unfinished.retain(|(_, cursor)| !cursor.ahead.is_empty());
        self.unfinished = unfinished;
        self.unfinished.iter().map(|(_, cursor)| cursor.ahead.len()).sum::<usize>() <= ahead
    }
}

impl LogCursor {
    /// Returns true if all packets that members have received are in the log.
    pub(super) fn is_settled(&self) -> bool {
        self.ahead.is_empty()
    }
}

/// The filler bytes of all payloads.
static FILLER: LazyLock<Vec<u8>> = LazyLock::new(|| wire::filler(LONGEST));

/// The maximum length of the filler in a payload.
pub(super) const LONGEST: usize = 20_000;

fn payload(number: u32, filler: usize) -> Vec<u8> {
    [MARK, &number.to_be_bytes()[..], &FILLER[..filler]].concat()
}

/// Returns the number in the payload of an honest client. Returns `None` if the payload was
/// damaged.
pub(super) fn number(payload: &[u8]) -> Option<u32> {
    let (number, filler) = payload.strip_prefix(MARK)?.split_first_chunk()?;
    FILLER.starts_with(filler).then_some(u32::from_be_bytes(*number))
}

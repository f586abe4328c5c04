//! The state machine.

mod limits;
mod rules;

use std::time::Duration;

use hashbrown::HashTable;
use roomer_proto::{PacketRef, ROOT, is_built_in};
use slotmap::{Key, SlotMap};

use self::limits::RejectReason;
use crate::action::{Actions, Members, Permission, Record};
use crate::config::{Config, Presence, RejectedPackets};
use crate::hash::HashKey;
use crate::input::{Command, Input};
use crate::keys::{ConnKey, HandlerKey, RoomKey};
use crate::room::{Conn, Member, Room, Seat};
use roomer_proto::ConnId;

/// Records that are kept allocated between inputs.
const SPARE_RECORDS: usize = 64;

/// Connections, rooms, members and rules. See the [crate's page](crate).
#[derive(Debug)]
pub struct Hub {
    pub(crate) config: Config,
    /// [`Config::has_rates`].
    has_rates: bool,
    key: HashKey,
    pub(crate) conns: SlotMap<ConnKey, Conn>,
    pub(crate) ids: HashTable<ConnKey>,
    pub(crate) rooms: SlotMap<RoomKey, Room>,
    pub(crate) names: HashTable<RoomKey>,
    events: hashbrown::HashMap<Box<str>, HandlerKey, HashKey>,
    rejected_packets: RejectedPackets,
    records: Vec<Record>,
    /// Which rooms have another membership than full: the first name or `prefix*` that fits.
    memberships: Vec<(Box<str>, Presence)>,
    /// The rooms that the last input has closed.
    closed: Vec<(RoomKey, Box<str>)>,
    /// The payload of the last input's `join_ack`, in a room whose membership is not full.
    pub(crate) answer: Vec<u8>,
    /// The id of the connection that the last input is about, which may be gone by now.
    pub(crate) subject: Option<ConnId>,
}

/// Whether the application has been asked about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Required,
    Done,
}

/// Why an event cannot have a handler. The caller is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The name is empty.
    #[error("an event needs a name")]
    Empty,
    /// The name means something to the protocol, so that no such message reaches a handler.
    #[error("the event {0:?} belongs to the protocol; choose another name")]
    Reserved(String),
    /// There is a handler already.
    #[error("the event {0:?} already has a handler")]
    Duplicate(String),
}

impl Hub {
    /// A hub without connections.
    #[must_use]
    pub fn new(config: Config, key: HashKey) -> Self {
        Hub {
            config,
            has_rates: config.has_rates(),
            key,
            conns: SlotMap::with_key(),
            ids: HashTable::new(),
            rooms: SlotMap::with_key(),
            names: HashTable::new(),
            events: hashbrown::HashMap::with_hasher(key),
            rejected_packets: RejectedPackets::default(),
            records: Vec::new(),
            memberships: Vec::new(),
            closed: Vec::new(),
            answer: Vec::new(),
            subject: None,
        }
    }

    /// Has messages of this event handed to a handler ([`Action::Call`](crate::Action::Call))
    /// instead of being broadcast.
    ///
    /// # Errors
    ///
    /// [`RegisterError`] when the name is empty, the protocol's own or taken.
    pub fn register(&mut self, event: &str) -> Result<HandlerKey, RegisterError> {
        if event.is_empty() {
            return Err(RegisterError::Empty);
        }
        if is_built_in(event) {
            return Err(RegisterError::Reserved(event.into()));
        }
        let key = HandlerKey(self.events.len());
        match self.events.try_insert(event.into(), key) {
            Ok(_) => Ok(key),
            Err(_) => Err(RegisterError::Duplicate(event.into())),
        }
    }

    /// Decides what the members of a room hear of each other, once it is made. `pattern` is a
    /// room's name, or the beginning of names with a `*` behind. The first pattern that fits
    /// counts; without one it is [`Presence::Full`].
    pub fn set_presence(&mut self, pattern: &str, presence: Presence) {
        self.memberships.push((pattern.into(), presence));
    }

    /// The one door: something happened at the time `now` (since whatever the caller counts
    /// from), and these are the actions that follow.
    ///
    /// The same inputs give the same actions, always: nothing in here reads a clock, rolls dice
    /// or follows the order of a hash table. An input about a connection that is gone gives no
    /// actions.
    pub fn handle<'a>(&'a mut self, now: Duration, input: Input<'a>) -> Actions<'a> {
        self.records.clear();
        self.records.shrink_to(SPARE_RECORDS);
        self.closed.clear();
        self.subject = None;
        let (conn, except, packet) = match input {
            Input::Open { id } => {
                let conn = self.open(now, id);
                (conn, Some(conn), PacketRef { room: ROOT, ..PacketRef::default() })
            }
            Input::Packet { conn, packet } | Input::Allowed { conn, packet } => {
                let is_asked = matches!(input, Input::Allowed { .. });
                let asking = if is_asked { Check::Done } else { Check::Required };
                self.packet(now, conn, &packet, asking);
                (conn, Some(conn), packet)
            }
            Input::Denied { conn, packet } => {
                self.denied(conn, &packet);
                (conn, Some(conn), packet)
            }
            Input::Gone { conn } => {
                self.gone(conn);
                (conn, Some(conn), PacketRef::default())
            }
            Input::Command(command) => self.command(command),
        };
        Actions { records: self.records.iter(), hub: self, conn, except, packet }
    }

    /// What has been refused so far.
    #[must_use]
    pub fn rejected_packets(&self) -> RejectedPackets {
        self.rejected_packets
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// How many rooms there are, `root` included.
    #[must_use]
    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// The id of a connection, `None` when it is gone.
    #[must_use]
    pub fn id(&self, conn: ConnKey) -> Option<ConnId> {
        self.conns.get(conn).map(|conn| conn.id)
    }

    /// When a connection was opened, on the clock of [`handle`](Self::handle).
    #[must_use]
    pub fn opened(&self, conn: ConnKey) -> Option<Duration> {
        self.conns.get(conn).map(|conn| conn.opened)
    }

    /// The connection with exactly this id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<ConnKey> {
        let conns = &self.conns;
        self.ids.find(self.key.hash(id), |&conn| conns[conn].id.as_str() == id).copied()
    }

    /// The room with exactly this name.
    #[must_use]
    pub fn room(&self, name: &str) -> Option<RoomKey> {
        let rooms = &self.rooms;
        self.names.find(self.key.hash(name), |&room| *rooms[room].name == *name).copied()
    }

    /// The name of a room, `None` when it is gone.
    #[must_use]
    pub fn name(&self, room: RoomKey) -> Option<&str> {
        self.rooms.get(room).map(|room| &*room.name)
    }

    /// The name of a room that there is, or that the last input has closed.
    pub(crate) fn room_name_or_closed(&self, room: RoomKey) -> &str {
        let closed = || self.closed.iter().find(|(key, _)| *key == room);
        self.name(room).or_else(|| Some(&*closed()?.1)).unwrap_or_default()
    }

    /// The names of all rooms, with their keys, in no particular but always the same order.
    pub fn iter_rooms(&self) -> impl Iterator<Item = (RoomKey, &str)> {
        self.rooms.iter().map(|(key, room)| (key, &*room.name))
    }

    /// The members of a room; none when it is gone.
    #[must_use]
    pub fn members(&self, room: RoomKey) -> Members<'_> {
        self.rooms.get(room).map_or(Members(&[]), Room::members)
    }

    /// Whether a connection is in a room.
    #[must_use]
    pub fn is_member(&self, conn: ConnKey, room: RoomKey) -> bool {
        self.seat(conn, room).is_some()
    }

    /// The rooms that a connection is in; none when it is gone.
    pub fn rooms_of(&self, conn: ConnKey) -> impl ExactSizeIterator<Item = RoomKey> {
        let seats = self.conns.get(conn).map_or(&[][..], |conn| &conn.seats);
        seats.iter().map(|seat| seat.room)
    }

    fn open(&mut self, now: Duration, id: ConnId) -> ConnKey {
        if self.find(id.as_str()).is_some() {
            self.records.push(Record::Rejected);
            return ConnKey::null();
        }
        let (seats, buckets) = (Vec::new(), None);
        let conn = self.conns.insert(Conn { id, opened: now, seats, buckets });
        let (key, conns) = (self.key, &self.conns);
        self.ids.insert_unique(key.hash(id.as_str()), conn, |&other| {
            key.hash(conns[other].id.as_str())
        });
        self.subject = Some(id);
        self.records.push(Record::Opened);
        self.join_as_server(conn, ROOT);
        conn
    }

    fn command<'a>(&mut self, command: Command<'a>) -> (ConnKey, Option<ConnKey>, PacketRef<'a>) {
        let nothing = PacketRef::default();
        match command {
            Command::Broadcast { from, except, room, event, payload } => {
                let from = self.acting_as(from);
                if let (Some(_), Some(room)) = (from, self.room(room)) {
                    self.records.push(Record::Broadcast(room));
                }
                let packet = PacketRef { room, event, payload, ..nothing };
                (from.unwrap_or_default(), except, packet)
            }
            Command::Send { from, dst, room, event, payload } => {
                let from = self.acting_as(from);
                if let (Some(_), Some(to)) = (from, self.find(dst)) {
                    self.records.push(Record::Direct(to));
                }
                let packet = PacketRef { room, event, dst, payload, ..nothing };
                (from.unwrap_or_default(), None, packet)
            }
            Command::Join { conn, room } => {
                if self.acting_as(Some(conn)).is_some() {
                    self.join_as_server(conn, room);
                }
                (conn, Some(conn), PacketRef { room, ..nothing })
            }
            Command::Leave { conn, room } => {
                if self.acting_as(Some(conn)).is_some() {
                    self.leave(conn, room);
                }
                (conn, Some(conn), PacketRef { room, ..nothing })
            }
            Command::Close { conn, code, reason } => {
                if self.gone(conn) {
                    self.records.push(Record::Close(code));
                }
                (conn, Some(conn), PacketRef { payload: reason.as_bytes(), ..nothing })
            }
        }
    }

    /// Makes the one on whose behalf a command is the subject. `None` when it is gone; the null
    /// key when it is nobody.
    fn acting_as(&mut self, from: Option<ConnKey>) -> Option<ConnKey> {
        let Some(conn) = from else {
            return Some(ConnKey::null());
        };
        self.subject = Some(self.conns.get(conn)?.id);
        Some(conn)
    }

    /// A join that the server asks for: a refusal is not the client's fault.
    fn join_as_server(&mut self, conn: ConnKey, name: &str) {
        if let Err(why) = self.join(conn, name, Check::Done) {
            self.rejected_packets.count(why);
        }
    }

    /// Joins a room, made if need be; a refusal is answered with `leave_ack`. The caller has set
    /// the subject.
    fn join(&mut self, conn: ConnKey, name: &str, asking: Check) -> Result<(), RejectReason> {
        let known = self.room(name);
        if let Some(room) = known.filter(|&room| self.is_member(conn, room)) {
            self.acknowledge(room, self.config.announce_rejoin);
            return Ok(());
        }
        let is_full = self.conns[conn].seats.len() >= self.config.max_rooms;
        if is_full || name.len() > self.config.max_name {
            self.records.push(Record::LeaveAck);
            let is_long = name.len() > self.config.max_name;
            return Err(if is_long { RejectReason::LongName } else { RejectReason::TooManyRooms });
        }
        if self.config.authorize_join && asking == Check::Required {
            self.records.push(Record::Ask(Permission::Join));
            return Ok(());
        }
        let room = known.unwrap_or_else(|| self.make_room(name));
        let joiner = &mut self.conns[conn];
        let member = Member { conn, seat: joiner.seats.len() as u32 };
        let place = self.rooms[room].push(member, &joiner.id);
        if joiner.seats.is_empty() {
            // Most connections stay in one or two rooms.
            joiner.seats.reserve_exact(2);
        }
        joiner.seats.push(Seat { room, place });
        self.records.push(Record::Joined(room));
        self.acknowledge(room, self.rooms[room].members().len() > 1);
        Ok(())
    }

    /// Tells the subject who is in a room that it is in, and the others, if they are to know, of
    /// the subject.
    fn acknowledge(&mut self, room: RoomKey, announce: bool) {
        self.records.push(Record::JoinAck(room));
        let Room { presence, .. } = self.rooms[room];
        let answer = &mut self.answer;
        answer.clear();
        match presence {
            Presence::Full if announce => self.records.push(Record::NewMember(room)),
            Presence::Full => {}
            Presence::Count => {
                answer.extend_from_slice(self.rooms[room].members().len().to_string().as_bytes());
            }
            Presence::Off => {
                let id = self.subject.as_ref().map_or("", ConnId::as_str);
                answer.extend_from_slice(b"[\"");
                answer.extend_from_slice(id.as_bytes());
                answer.extend_from_slice(b"\"]");
            }
        }
    }

    fn make_room(&mut self, name: &str) -> RoomKey {
        let fits = |pattern: &str| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == pattern,
        };
        let chosen = self.memberships.iter().find(|(pattern, _)| fits(pattern));
        let presence = chosen.map(|(_, presence)| *presence).unwrap_or_default();
        let room = self.rooms.insert(Room::new(name, presence));
        let (key, rooms) = (self.key, &self.rooms);
        self.names.insert_unique(key.hash(name), room, |&other| key.hash(&rooms[other].name));
        room
    }

    /// Leaves a room and acknowledges it, whether there was one or not. The caller has set the
    /// subject.
    fn leave(&mut self, conn: ConnKey, name: &str) {
        let found = self.room(name).and_then(|room| Some((room, self.seat(conn, room)?)));
        let Some((room, seat)) = found else {
            return self.records.push(Record::LeaveAck);
        };
        self.records.push(Record::Left(room));
        self.records.push(Record::LeaveAck);
        self.leave_seat(conn, seat);
    }

    /// Takes a connection out of the tables. False when it was not in them.
    fn gone(&mut self, conn: ConnKey) -> bool {
        let Some(leaver) = self.conns.get(conn) else {
            return false;
        };
        let id = leaver.id;
        self.subject = Some(id);
        while let Some(seat) = self.conns[conn].seats.last() {
            self.records.push(Record::Left(seat.room));
            self.leave_seat(conn, self.conns[conn].seats.len() - 1);
        }
        if let Ok(entry) = self.ids.find_entry(self.key.hash(id.as_str()), |&other| other == conn) {
            entry.remove();
        }
        self.conns.remove(conn);
        true
    }

    /// Gives up a seat: tells the other members, or drops the room if there are none.
    fn leave_seat(&mut self, conn: ConnKey, seat: usize) {
        let Seat { room: key, place } = self.conns[conn].seats.swap_remove(seat);
        if let Some(&moved) = self.conns[conn].seats.get(seat) {
            self.rooms[moved.room].member_mut(moved.place).seat = seat as u32;
        }
        let room = &mut self.rooms[key];
        if let Some(moved) = room.swap_remove(place) {
            self.conns[moved.conn].seats[moved.seat as usize].place = place;
        }
        if !room.is_empty() {
            if room.is_full() {
                self.records.push(Record::MemberLeft(key));
            }
            return;
        }
        let hash = self.key.hash(&room.name);
        if let Ok(entry) = self.names.find_entry(hash, |&other| other == key) {
            entry.remove();
        }
        self.closed.extend(self.rooms.remove(key).map(|room| (key, room.name)));
        self.records.push(Record::RoomClosed(key));
    }

    /// Where a connection sits in a room, found on the shorter of the two lists.
    fn seat(&self, conn: ConnKey, room: RoomKey) -> Option<usize> {
        let seats = &self.conns.get(conn)?.seats;
        let members = self.rooms.get(room)?.members().0;
        if members.len() < seats.len() {
            let member = members.iter().find(|member| member.conn == conn)?;
            return Some(member.seat as usize);
        }
        seats.iter().position(|seat| seat.room == room)
    }
}

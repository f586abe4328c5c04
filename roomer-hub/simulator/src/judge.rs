//! One input to the real hub, and everything that comes of it held against the model and against
//! what clients can know.

use std::time::Duration;

use roomer_hub::{
    Action, Command, Config, ConnId, ConnKey, HashKey, Hub, Input, Members, Presence,
    RegisterError, RoomKey, Snapshot,
};
use roomer_proto::{JOIN_ACK, PacketRef, ROOT, is_built_in};
use slotmap::{Key, SecondaryMap};

use super::clients::{CELL, Clients};
use super::fault::{Fault, ensure};
use super::model::Model;
use super::names::{IDS, Person, RESERVED, person};
use super::op::{Effect, Op, Set};
use super::plan::{LIMITS, PACES, Plan};
use super::show;
use super::trace::Trace;

/// The hub and its judges.
#[derive(Debug)]
pub struct Court {
    pub hub: Hub,
    pub bench: Bench,
}

/// All that judges: it sees the hub's actions, never the hub's mind.
#[derive(Debug)]
pub struct Bench {
    pub model: Model,
    pub clients: Clients,
    pub trace: Trace,
    /// By number of client.
    pub keys: Vec<ConnKey>,
    /// By number of room.
    pub rooms: Vec<RoomKey>,
    /// The last input's actions in words, for whoever wants to read them.
    pub told: Option<Vec<String>>,
    numbers: SecondaryMap<ConnKey, u16>,
    now: Duration,
    /// What the application sends under a built-in event's name is its own affair.
    is_posing: bool,
    is_command: bool,
    receivers: Vec<u16>,
    wire: Vec<u8>,
    text: Vec<u8>,
}

impl Court {
    pub fn new(plan: &Plan, key: HashKey) -> Result<Self, Fault> {
        let mut hub = Hub::new(plan.config(), key);
        let defaults = [Config::default(), Config::compat()];
        let limits = defaults.map(|config| (config.max_name, config.max_rooms));
        ensure!(limits == [LIMITS; 2], "limits by default: {limits:?}");
        for config in defaults {
            let paces =
                [config.message_rate, config.byte_rate, config.join_rate, config.violation_rate]
                    .map(|rate| rate.map(|rate| (rate.per_second(), rate.burst())));
            ensure!(paces == PACES && !config.shared_room_only, "rates by default: {paces:?}");
        }
        ids(person(plan.key % IDS as u16))?;
        let config = plan.rules();
        let events: Vec<&'static str> = plan.handlers.iter().map(|handler| handler.event).collect();
        for (number, event) in events.iter().enumerate() {
            let handler = hub.register(event).map(|handler| handler.index());
            ensure!(handler == Ok(number), "register({event:?}) is {handler:?}");
            let again = hub.register(event);
            ensure!(again == Err(RegisterError::Duplicate((*event).into())), "{again:?}");
        }
        for event in RESERVED.into_iter().chain(["join", "leave"]) {
            let reserved = hub.register(event);
            ensure!(reserved == Err(RegisterError::Reserved(event.into())), "{reserved:?}");
        }
        let nameless = hub.register("");
        ensure!(nameless == Err(RegisterError::Empty), "{nameless:?}");
        for (pattern, presence) in &plan.memberships {
            hub.set_presence(pattern, *presence);
        }
        let (members_only, announces_rejoins) = (config.members_only, config.announce_rejoin);
        let clients = Clients::new(members_only, announces_rejoins);
        let mut model = Model::new(config, events);
        model.memberships.clone_from(&plan.memberships);
        (model.paces, model.shared_room_only) = (plan.paces, plan.shared_room_only);
        let bench = Bench {
            model,
            clients,
            trace: Trace::new(),
            keys: Vec::new(),
            rooms: Vec::new(),
            told: None,
            numbers: SecondaryMap::new(),
            now: Duration::ZERO,
            is_posing: false,
            is_command: false,
            receivers: Vec::new(),
            wire: Vec::new(),
            text: Vec::new(),
        };
        Ok(Court { hub, bench })
    }

    /// Gives one input to model and hub and compares what comes of it.
    pub fn input(&mut self, now: Duration, op: Op) -> Result<(), Fault> {
        let Court { hub, bench } = self;
        bench.begin(now, op);
        let actions = hub.handle(now, bench.hub_input(op));
        let (hub, mut left) = (actions.hub(), actions.len());
        let closes = matches!(bench.model.due.last(), Some(Effect::Close { .. }));
        let mut due = Due { taken: 0, any_order: closes || matches!(op, Op::Gone { .. }) };
        for action in actions {
            if let Some(told) = &mut bench.told {
                told.push(show::action(&action));
            }
            ensure!(left > 0, "more actions than were announced");
            left -= 1;
            bench.action(hub, action, &mut due)?;
        }
        ensure!(left == 0, "{left} actions fewer than were announced");
        let missing = due.missing(&bench.model.due);
        ensure!(missing.is_none(), "not done: {}", missing.map_or(String::new(), show::effect));
        let (counted, due) = (hub.rejected_packets(), bench.model.rejected_packets);
        ensure!(counted == due, "the hub has counted {counted:?}, due are {due:?}");
        ensure!(hub.rooms() == bench.model.rooms.len(), "{} rooms", hub.rooms());
        Ok(())
    }
}

/// An id is read as it stands on the wire, and in no other way.
fn ids(person: &Person) -> Result<(), Fault> {
    let read = ConnId::parse(&person.text);
    ensure!(read == Some(person.id), "{} is read as {read:?}", person.text);
    for other in [&person.upper, &person.padded, &person.cut] {
        let read = ConnId::parse(other);
        ensure!(read.is_none(), "{other:?} is read as {read:?}");
    }
    Ok(())
}

/// Which of the effects that are due have come.
struct Due {
    taken: u128,
    /// A connection that ends leaves its rooms in any order: only within a room there is one.
    any_order: bool,
}

impl Due {
    fn missing<'a>(&self, due: &'a [Effect]) -> Option<&'a Effect> {
        due.get(self.taken.trailing_ones() as usize)
    }

    /// The effect that is next, or next for this room.
    fn next<'a>(&mut self, due: &'a [Effect], room: Option<u32>) -> Option<&'a Effect> {
        let mut at = self.taken.trailing_ones() as usize;
        if self.any_order && room.is_some() {
            let is_next = |&at: &usize| self.taken & 1 << at == 0 && due[at].room() == room;
            at = (at..due.len()).find(is_next)?;
        }
        let effect = due.get(at)?;
        self.taken |= 1 << at;
        Some(effect)
    }
}

impl Bench {
    /// The number of a client that is or was there under this key.
    pub fn who(&self, conn: ConnKey) -> Option<u16> {
        self.numbers.get(conn).copied()
    }

    pub fn id(&self, conn: ConnKey) -> Option<u16> {
        self.who(conn).map(|who| self.clients.id(who))
    }

    fn key(&self, who: u16) -> ConnKey {
        self.keys[usize::from(who)]
    }

    fn begin(&mut self, now: Duration, op: Op) {
        self.now = now;
        self.model.input(now, op);
        self.told.as_mut().map(Vec::clear);
        self.is_command = matches!(op, Op::Broadcast { .. } | Op::Send { .. });
        self.is_posing = match op {
            Op::Broadcast { event, .. } | Op::Send { event, .. } => is_built_in(event),
            _ => false,
        };
        if let Op::Gone { who } = op {
            self.clients.end(who);
        }
    }

    fn hub_input(&self, op: Op) -> Input<'static> {
        let from = |from: Option<u16>| from.map(|who| self.key(who));
        Input::Command(match op {
            Op::Open { id } => return Input::Open { id: person(id).id },
            Op::Packet { who, packet } => return Input::Packet { conn: self.key(who), packet },
            Op::Allowed { who, packet } => return Input::Allowed { conn: self.key(who), packet },
            Op::Denied { who, packet } => return Input::Denied { conn: self.key(who), packet },
            Op::Gone { who } => return Input::Gone { conn: self.key(who) },
            Op::Broadcast { from: who, except, room, event, payload } => {
                Command::Broadcast { from: from(who), except: from(except), room, event, payload }
            }
            Op::Send { from: who, dst, event, payload } => {
                Command::Send { from: from(who), dst, room: ROOT, event, payload }
            }
            Op::Join { who, room } => Command::Join { conn: self.key(who), room },
            Op::Leave { who, room } => Command::Leave { conn: self.key(who), room },
            Op::Close { who, code, reason } => Command::Close { conn: self.key(who), code, reason },
        })
    }

    fn action(&mut self, hub: &Hub, action: Action<'_>, due: &mut Due) -> Result<(), Fault> {
        let mut room = None;
        match action {
            Action::Broadcast { members, except, room: key, .. } => {
                self.receive(members, except)?;
                if self.receivers.is_empty() {
                    return Ok(());
                }
                room = Some(key);
            }
            Action::Left { room: key, .. } | Action::RoomClosed { room: key } => room = Some(key),
            _ => {}
        }
        let room = match room {
            Some(key) => {
                let number = self.rooms.iter().rposition(|known| *known == key);
                ensure!(number.is_some(), "an action about a room that never was");
                number.map(|number| number as u32)
            }
            None => None,
        };
        let Some(&effect) = due.next(&self.model.due, room) else {
            return Err(Fault::new(format!("not due: {}", show::action(&action))));
        };
        let is_due = self.compare(hub, &action, room, &effect)?;
        ensure!(is_due, "done: {}, due: {}", show::action(&action), show::effect(&effect));
        Ok(())
    }

    /// Works out who is to get a broadcast.
    fn receive(&mut self, members: Members<'_>, except: Option<ConnKey>) -> Result<(), Fault> {
        self.receivers.clear();
        for conn in members.iter().filter(|&conn| Some(conn) != except) {
            let Some(who) = self.who(conn) else {
                return Err(Fault::new(format!("a broadcast to {conn:?}, who never was")));
            };
            self.receivers.push(who);
        }
        let count = members.iter().len();
        ensure!(members.len() == count && members.is_empty() == (count == 0), "{count} members");
        Ok(())
    }

    /// Whether an action is the one that is due, and right for the clients that hear of it.
    fn compare(
        &mut self,
        hub: &Hub,
        action: &Action<'_>,
        number: Option<u32>,
        effect: &Effect,
    ) -> Result<bool, Fault> {
        Ok(match (*action, *effect) {
            (Action::Opened { conn }, Effect::Opened { who }) => {
                self.open(hub, conn, who)?;
                true
            }
            (Action::Rejected, Effect::Refused) => {
                self.trace.number(1);
                true
            }
            (
                Action::Joined { conn, room, name },
                Effect::Joined { who, room: number, name: due },
            ) => {
                ensure!(name == due, "{name:?} is joined, {due:?} was meant");
                if number as usize == self.rooms.len() {
                    ensure!(!self.rooms.contains(&room), "a room's key is used again");
                    self.rooms.push(room);
                }
                conn == self.key(who) && room == self.rooms[number as usize]
            }
            (Action::Left { conn, name, .. }, Effect::Left { who, room, name: due }) => {
                conn == self.key(who) && number == Some(room) && name == due
            }
            (Action::RoomClosed { .. }, Effect::RoomClosed { room }) => number == Some(room),
            (
                Action::JoinAck { to, id, room, snapshot },
                Effect::JoinAck { to: who, room: name, shows, members },
            ) => {
                let own = &*person(self.clients.id(who)).text;
                let fits = to == self.key(who) && id == own && room == name;
                fits && self.join_ack(hub, who, name, &snapshot, (shows, members))?
            }
            (Action::Send { to, packet }, Effect::Send { to: who, packet: due }) => {
                let fits = to == self.key(who) && packet == due;
                if fits {
                    self.encode(u64::from(who), &packet)?;
                    if !self.is_posing {
                        self.clients.direct(who, &packet, Presence::Full)?;
                    }
                }
                fits
            }
            (Action::Broadcast { packet, .. }, Effect::Broadcast { room, to, packet: due }) => {
                let mut reached = Set::default();
                for &who in &self.receivers {
                    ensure!(reached.insert(self.clients.id(who)), "a broadcast reaches one twice");
                }
                let fits = reached == to && packet == due && number == Some(room);
                if fits {
                    self.encode(u64::from(room) << 32, &packet)?;
                    for &who in &self.receivers {
                        self.trace.number(who.into());
                    }
                    if !self.is_posing {
                        let receivers = self.receivers.iter().copied();
                        let shows = self.model.presence(packet.room);
                        self.clients.broadcast(receivers, &packet, self.is_command, shows)?;
                    }
                }
                fits
            }
            (
                Action::Call { conn, handler, packet },
                Effect::Call { who, handler: at, packet: due },
            ) => {
                self.encode(u64::from(who) << 16, &packet)?;
                conn == self.key(who) && handler.index() == at && packet == due
            }
            (
                Action::Ask { conn, about, packet },
                Effect::Ask { who, about: due, packet: sent },
            ) => {
                self.encode(u64::from(who) << 8, &packet)?;
                conn == self.key(who) && about == due && packet == sent
            }
            (
                Action::Close { conn, code, reason },
                Effect::Close { who, code: due, reason: why },
            ) => {
                self.trace.number(u64::from(code) << 16 | u64::from(who));
                self.trace.bytes(reason.as_bytes());
                self.clients.end(who);
                conn == self.key(who) && code == due && reason == why
            }
            _ => false,
        })
    }

    fn open(&mut self, hub: &Hub, conn: ConnKey, who: u16) -> Result<(), Fault> {
        ensure!(!self.keys.contains(&conn) && !conn.is_null(), "a connection's key is used again");
        ensure!(hub.opened(conn) == Some(self.now), "opened at {:?}", hub.opened(conn));
        self.keys.push(conn);
        self.numbers.insert(conn, who);
        let id = self.model.clients[usize::from(who)].id;
        self.clients.open(id);
        self.trace.number(conn.data().as_ffi());
        Ok(())
    }

    /// Compares the snapshot with the members that are due, and its order with the hub's.
    fn join_ack(
        &mut self,
        hub: &Hub,
        who: u16,
        room: &str,
        snapshot: &Snapshot<'_>,
        (shows, due): (Presence, Set),
    ) -> Result<bool, Fault> {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        snapshot.pages().iter().for_each(|page| text.extend_from_slice(page));
        snapshot.write_tail(&mut text);
        ensure!(snapshot.len() == text.len(), "a snapshot of {} bytes", snapshot.len());
        let src = &*person(self.clients.id(who)).text;
        let told = match shows {
            Presence::Full => None,
            Presence::Off => Some(format!("[\"{src}\"]")),
            _ => Some(due.len().to_string()),
        };
        if let Some(told) = told {
            ensure!(text == told.as_bytes(), "not {told} but {}", text.escape_ascii());
            let packet = PacketRef { room, event: JOIN_ACK, dst: "", src, payload: &text };
            self.encode(who.into(), &packet)?;
            self.clients.direct(who, &packet, shows)?;
            self.text = text;
            return Ok(true);
        }
        let members = hub.room(room).map(|room| hub.members(room));
        let mut listed = Set::default();
        let mut cells = text.chunks(CELL);
        for conn in members.into_iter().flat_map(|members| members.iter()) {
            let Some(id) = self.id(conn) else { return Ok(false) };
            let cell = cells.next().and_then(|cell| cell.get(2..CELL - 1));
            let is_there = cell == Some(person(id).text.as_bytes());
            ensure!(is_there && listed.insert(id), "a snapshot in another order than its room");
        }
        ensure!(cells.len() == 1, "a snapshot with more than its room's members");
        let packet = PacketRef { room, event: JOIN_ACK, dst: "", src, payload: &text };
        self.encode(who.into(), &packet)?;
        self.clients.direct(who, &packet, shows)?;
        self.text = text;
        Ok(listed == due)
    }

    /// Encodes what goes out, and adds it to the trace.
    fn encode(&mut self, to: u64, packet: &PacketRef<'_>) -> Result<(), Fault> {
        self.wire.clear();
        let encoded = packet.encode(&mut self.wire);
        ensure!(encoded.is_ok(), "{encoded:?}");
        self.trace.number(to);
        self.trace.bytes(&self.wire);
        Ok(())
    }
}

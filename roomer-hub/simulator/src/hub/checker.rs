//! One input to the real hub, and everything that comes of it held against the model and against
//! what clients can know.

use std::time::Duration;

use roomer_hub::{
    Action, Command, Config, ConnId, ConnKey, HashKey, Hub, Input, Members, Presence,
    RegisterError, RoomKey, Snapshot, Tables,
};
use roomer_proto::{JOIN_ACK, PacketRef, ROOT, is_built_in};
use slotmap::SecondaryMap;

use super::clients::{Clients, ENTRY_LEN};
use super::display;
use super::model::Model;
use super::op::{Effect, Op, Set};
use super::plan::{DEFAULT_LIMITS, DEFAULT_RATES, Plan};
use crate::alphabet::{IDS, Identity, RESERVED, identity};
use crate::fault::{Fault, ensure};
use crate::trace::Trace;

/// The hub and its judges.
#[derive(Debug)]
pub struct CheckedHub {
    pub hub: Hub,
    pub checker: Checker,
}

/// All that judges: it sees the hub's actions, never the hub's mind.
#[derive(Debug)]
pub struct Checker {
    pub model: Model,
    pub clients: Clients,
    pub trace: Trace,
    /// By number of client.
    pub keys: Vec<ConnKey>,
    /// By number of room.
    pub rooms: Vec<RoomKey>,
    /// The last input's actions in words, for whoever wants to read them.
    pub log: Option<Vec<String>>,
    numbers: SecondaryMap<ConnKey, u16>,
    now: Duration,
    /// What the application sends under a built-in event's name is its own affair.
    imitates_built_in: bool,
    is_command: bool,
    receivers: Vec<u16>,
    wire: Vec<u8>,
    text: Vec<u8>,
}

impl CheckedHub {
    pub fn new(plan: &Plan, key: HashKey) -> Result<Self, Fault> {
        let mut hub = Hub::new(plan.config(), key);
        let defaults = [Config::default(), Config::compat()];
        let limits = defaults.map(|config| (config.max_name, config.max_rooms));
        ensure!(limits == [DEFAULT_LIMITS; 2], "limits by default: {limits:?}");
        for config in defaults {
            let rates =
                [config.message_rate, config.byte_rate, config.join_rate, config.violation_rate]
                    .map(|rate| rate.map(|rate| (rate.per_second(), rate.burst())));
            ensure!(
                rates == DEFAULT_RATES && !config.shared_room_only,
                "rates by default: {rates:?}"
            );
        }
        ids(identity(plan.key % IDS as u16))?;
        let config = plan.model_config();
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
        for (pattern, presence) in &plan.presence_rules {
            hub.set_presence(pattern, *presence);
        }
        let (members_only, announces_rejoins) = (config.members_only, config.announce_rejoin);
        let clients = Clients::new(members_only, announces_rejoins);
        let mut model = Model::new(config, events);
        model.presence_rules.clone_from(&plan.presence_rules);
        (model.rates, model.shared_room_only) = (plan.rates, plan.shared_room_only);
        let checker = Checker {
            model,
            clients,
            trace: Trace::new(),
            keys: Vec::new(),
            rooms: Vec::new(),
            log: None,
            numbers: SecondaryMap::new(),
            now: Duration::ZERO,
            imitates_built_in: false,
            is_command: false,
            receivers: Vec::new(),
            wire: Vec::new(),
            text: Vec::new(),
        };
        Ok(CheckedHub { hub, checker })
    }

    /// Gives one input to model and hub and compares what comes of it.
    pub fn input(&mut self, now: Duration, op: Op) -> Result<(), Fault> {
        let CheckedHub { hub, checker } = self;
        checker.begin(now, op);
        let actions = hub.handle(now, checker.hub_input(op));
        let (tables, mut left) = (actions.tables(), actions.len());
        let closes = matches!(checker.model.effects.last(), Some(Effect::Close { .. }));
        let mut expected =
            Expected { taken: 0, any_order: closes || matches!(op, Op::Gone { .. }) };
        for action in actions {
            if let Some(log) = &mut checker.log {
                log.push(display::action(&action));
            }
            ensure!(left > 0, "more actions than were announced");
            left -= 1;
            checker.action(tables, action, &mut expected)?;
        }
        ensure!(left == 0, "{left} actions fewer than were announced");
        let missing = expected.missing(&checker.model.effects);
        ensure!(missing.is_none(), "not done: {}", missing.map_or(String::new(), display::effect));
        let (counted, expected) = (hub.rejected_packets(), checker.model.rejected_packets);
        ensure!(counted == expected, "the hub has counted {counted:?}, due are {expected:?}");
        let rooms = hub.tables().room_count();
        ensure!(rooms == checker.model.rooms.len(), "{rooms} rooms");
        Ok(())
    }
}

/// An id is read as it stands on the wire, and in no other way.
fn ids(identity: &Identity) -> Result<(), Fault> {
    let read = ConnId::parse(&identity.text);
    ensure!(read == Some(identity.id), "{} is read as {read:?}", identity.text);
    for other in [&identity.upper, &identity.padded, &identity.cut] {
        let read = ConnId::parse(other);
        ensure!(read.is_none(), "{other:?} is read as {read:?}");
    }
    Ok(())
}

/// Which of the effects that are due have come.
struct Expected {
    taken: u128,
    /// A connection that ends leaves its rooms in any order: only within a room there is one.
    any_order: bool,
}

impl Expected {
    fn missing<'a>(&self, expected: &'a [Effect]) -> Option<&'a Effect> {
        expected.get(self.taken.trailing_ones() as usize)
    }

    /// The effect that is next, or next for this room.
    fn next<'a>(&mut self, expected: &'a [Effect], room: Option<u32>) -> Option<&'a Effect> {
        let mut at = self.taken.trailing_ones() as usize;
        if self.any_order && room.is_some() {
            let is_next = |&at: &usize| self.taken & 1 << at == 0 && expected[at].room() == room;
            at = (at..expected.len()).find(is_next)?;
        }
        let effect = expected.get(at)?;
        self.taken |= 1 << at;
        Some(effect)
    }
}

impl Checker {
    /// The number of a client that is or was there under this key.
    pub fn client(&self, conn: ConnKey) -> Option<u16> {
        self.numbers.get(conn).copied()
    }

    pub fn id(&self, conn: ConnKey) -> Option<u16> {
        self.client(conn).map(|client| self.clients.id(client))
    }

    fn key(&self, client: u16) -> ConnKey {
        self.keys[usize::from(client)]
    }

    fn begin(&mut self, now: Duration, op: Op) {
        self.now = now;
        self.model.input(now, op);
        self.log.as_mut().map(Vec::clear);
        self.is_command = matches!(op, Op::Broadcast { .. } | Op::Send { .. });
        self.imitates_built_in = match op {
            Op::Broadcast { event, .. } | Op::Send { event, .. } => is_built_in(event),
            _ => false,
        };
        if let Op::Gone { client } = op {
            self.clients.end(client);
        }
    }

    fn hub_input(&self, op: Op) -> Input<'static> {
        let from = |from: Option<u16>| from.map(|client| self.key(client));
        Input::Command(match op {
            Op::Open { id } => return Input::Open { id: identity(id).id },
            Op::Packet { client, packet } => {
                return Input::Packet { conn: self.key(client), packet };
            }
            Op::Allowed { client, packet } => {
                return Input::Allowed { conn: self.key(client), packet };
            }
            Op::Denied { client, packet } => {
                return Input::Denied { conn: self.key(client), packet };
            }
            Op::Gone { client } => return Input::Gone { conn: self.key(client) },
            Op::Broadcast { from: client, except, room, event, payload } => Command::Broadcast {
                from: from(client),
                except: from(except),
                room,
                event,
                payload,
            },
            Op::Send { from: client, dst, event, payload } => {
                Command::Send { from: from(client), dst, room: ROOT, event, payload }
            }
            Op::Join { client, room } => Command::Join { conn: self.key(client), room },
            Op::Leave { client, room } => Command::Leave { conn: self.key(client), room },
            Op::Close { client, code, reason } => {
                Command::Close { conn: self.key(client), code, reason }
            }
        })
    }

    fn action(
        &mut self,
        tables: &Tables,
        action: Action<'_>,
        expected: &mut Expected,
    ) -> Result<(), Fault> {
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
        let Some(&effect) = expected.next(&self.model.effects, room) else {
            return Err(Fault::new(format!("not due: {}", display::action(&action))));
        };
        let is_due = self.compare(tables, &action, room, &effect)?;
        ensure!(is_due, "done: {}, due: {}", display::action(&action), display::effect(&effect));
        Ok(())
    }

    /// Works out who is to get a broadcast.
    fn receive(&mut self, members: Members<'_>, except: Option<ConnKey>) -> Result<(), Fault> {
        self.receivers.clear();
        for conn in members.iter().filter(|&conn| Some(conn) != except) {
            let Some(client) = self.client(conn) else {
                return Err(Fault::new(format!("a broadcast to {conn:?}, who never was")));
            };
            self.receivers.push(client);
        }
        let count = members.iter().len();
        ensure!(members.len() == count && members.is_empty() == (count == 0), "{count} members");
        Ok(())
    }

    /// Whether an action is the one that is due, and right for the clients that hear of it.
    fn compare(
        &mut self,
        tables: &Tables,
        action: &Action<'_>,
        number: Option<u32>,
        effect: &Effect,
    ) -> Result<bool, Fault> {
        Ok(match (*action, *effect) {
            (Action::Opened { conn }, Effect::Opened { client }) => {
                self.open(tables, conn, client)?;
                true
            }
            (Action::Rejected, Effect::Refused) => {
                self.trace.number(1);
                true
            }
            (
                Action::Joined { conn, room, name },
                Effect::Joined { client, room: number, name: expected },
            ) => {
                ensure!(name == expected, "{name:?} is joined, {expected:?} was meant");
                if number as usize == self.rooms.len() {
                    ensure!(!self.rooms.contains(&room), "a room's key is used again");
                    self.rooms.push(room);
                }
                conn == self.key(client) && room == self.rooms[number as usize]
            }
            (Action::Left { conn, name, .. }, Effect::Left { client, room, name: expected }) => {
                conn == self.key(client) && number == Some(room) && name == expected
            }
            (Action::RoomClosed { .. }, Effect::RoomClosed { room }) => number == Some(room),
            (
                Action::JoinAck { to, id, room, snapshot },
                Effect::JoinAck { to: client, room: name, shows, members },
            ) => {
                let own = &*identity(self.clients.id(client)).text;
                let fits = to == self.key(client) && id == own && room == name;
                fits && self.join_ack(tables, client, name, &snapshot, (shows, members))?
            }
            (Action::Send { to, packet }, Effect::Send { to: client, packet: expected }) => {
                let fits = to == self.key(client) && packet == expected;
                if fits {
                    self.encode(u64::from(client), &packet)?;
                    if !self.imitates_built_in {
                        self.clients.direct(client, &packet, Presence::Full)?;
                    }
                }
                fits
            }
            (
                Action::Broadcast { packet, .. },
                Effect::Broadcast { room, to, packet: expected },
            ) => {
                let mut reached = Set::default();
                for &client in &self.receivers {
                    ensure!(
                        reached.insert(self.clients.id(client)),
                        "a broadcast reaches one twice"
                    );
                }
                let fits = reached == to && packet == expected && number == Some(room);
                if fits {
                    self.encode(u64::from(room) << 32, &packet)?;
                    for &client in &self.receivers {
                        self.trace.number(client.into());
                    }
                    if !self.imitates_built_in {
                        let receivers = self.receivers.iter().copied();
                        let shows = self.model.presence(packet.room);
                        self.clients.broadcast(receivers, &packet, self.is_command, shows)?;
                    }
                }
                fits
            }
            (
                Action::Call { conn, handler, packet },
                Effect::Call { client, handler: at, packet: expected },
            ) => {
                self.encode(u64::from(client) << 16, &packet)?;
                conn == self.key(client) && handler.index() == at && packet == expected
            }
            (
                Action::Authorize { conn, permission, packet },
                Effect::Ask { client, about: expected, packet: sent },
            ) => {
                self.encode(u64::from(client) << 8, &packet)?;
                conn == self.key(client) && permission == expected && packet == sent
            }
            (
                Action::Close { conn, code, reason },
                Effect::Close { client, code: expected, reason: why },
            ) => {
                self.trace.number(u64::from(code) << 16 | u64::from(client));
                self.trace.bytes(reason.as_bytes());
                self.clients.end(client);
                conn == self.key(client) && code == expected && reason == why
            }
            _ => false,
        })
    }

    fn open(&mut self, tables: &Tables, conn: ConnKey, client: u16) -> Result<(), Fault> {
        ensure!(
            !self.keys.contains(&conn) && conn != ConnKey::default(),
            "a connection's key is used again"
        );
        ensure!(tables.opened_at(conn) == Some(self.now), "opened at {:?}", tables.opened_at(conn));
        self.keys.push(conn);
        self.numbers.insert(conn, client);
        let id = self.model.clients[usize::from(client)].id;
        self.clients.open(id);
        self.trace.number(conn.as_u64());
        Ok(())
    }

    /// Compares the snapshot with the members that are due, and its order with the hub's.
    fn join_ack(
        &mut self,
        tables: &Tables,
        client: u16,
        room: &str,
        snapshot: &Snapshot<'_>,
        (shows, expected): (Presence, Set),
    ) -> Result<bool, Fault> {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        snapshot.pages().iter().for_each(|page| text.extend_from_slice(page));
        snapshot.write_tail(&mut text);
        ensure!(snapshot.len() == text.len(), "a snapshot of {} bytes", snapshot.len());
        let src = &*identity(self.clients.id(client)).text;
        let listed_text = match shows {
            Presence::Full => None,
            Presence::Off => Some(format!("[\"{src}\"]")),
            _ => Some(expected.len().to_string()),
        };
        if let Some(listed_text) = listed_text {
            ensure!(
                text == listed_text.as_bytes(),
                "not {listed_text} but {}",
                text.escape_ascii()
            );
            let packet = PacketRef { room, event: JOIN_ACK, dst: "", src, payload: &text };
            self.encode(client.into(), &packet)?;
            self.clients.direct(client, &packet, shows)?;
            self.text = text;
            return Ok(true);
        }
        let members = tables.find_room(room).map(|room| tables.members(room));
        let mut listed = Set::default();
        let mut entries = text.chunks(ENTRY_LEN);
        for conn in members.into_iter().flat_map(|members| members.iter()) {
            let Some(id) = self.id(conn) else { return Ok(false) };
            let entry = entries.next().and_then(|entry| entry.get(2..ENTRY_LEN - 1));
            let is_there = entry == Some(identity(id).text.as_bytes());
            ensure!(is_there && listed.insert(id), "a snapshot in another order than its room");
        }
        ensure!(entries.len() == 1, "a snapshot with more than its room's members");
        let packet = PacketRef { room, event: JOIN_ACK, dst: "", src, payload: &text };
        self.encode(client.into(), &packet)?;
        self.clients.direct(client, &packet, shows)?;
        self.text = text;
        Ok(listed == expected)
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

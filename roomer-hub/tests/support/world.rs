//! The real hub, seen as the model sees it: clients and rooms by number.

use std::time::Duration;

use roomer_hub::{Action, Command, ConnId, ConnKey, HashKey, Hub, Input, RoomKey};
use roomer_proto::{JOIN_ACK, PacketRef};

use crate::support::check;
use crate::support::naive::{Effect, Letter, Step, id_of};
use crate::support::plan::Plan;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) hub: Hub,
    known: Known,
    steps: u64,
}

/// Whoever and whatever there ever was, by number.
#[derive(Debug, Default)]
struct Known {
    people: Vec<(ConnId, ConnKey)>,
    rooms: Vec<RoomKey>,
}

impl World {
    pub(crate) fn new(plan: &Plan, key: HashKey) -> Self {
        let mut hub = Hub::new(plan.config, key);
        for (number, event) in plan.handlers.iter().enumerate() {
            assert_eq!(hub.register(event).unwrap().index(), number);
        }
        World { hub, known: Known::default(), steps: 0 }
    }

    /// Carries out a step on the real hub.
    pub(crate) fn step(&mut self, step: &Step) -> Vec<Effect> {
        self.steps += 1;
        let now = Duration::from_secs(self.steps);
        let actions = self.hub.handle(now, self.known.input(step));
        let (hub, length, mut effects) = (actions.hub(), actions.len(), Vec::new());
        for action in actions {
            match action {
                Action::Opened { conn } => {
                    assert_eq!(hub.opened(conn), Some(now));
                    self.known.open(step, conn);
                }
                Action::Joined { room, .. } if !self.known.rooms.contains(&room) => {
                    self.known.rooms.push(room);
                }
                _ => {}
            }
            effects.push(self.known.effect(action));
        }
        assert_eq!(length, effects.len(), "the actions were miscounted");
        effects
    }

    /// Carries out a step and writes its actions down, keys and order and all.
    pub(crate) fn transcript(&mut self, step: &Step) -> String {
        let actions = self.hub.handle(Duration::ZERO, self.known.input(step));
        let mut lines = String::new();
        for action in actions {
            if let Action::Opened { conn } = action {
                self.known.open(step, conn);
            }
            lines += &format!("{action:?}\n");
        }
        lines
    }

    /// Checks the tables against each other, and the members against those that the model has.
    pub(crate) fn check(&mut self, rooms: &[(String, Vec<usize>)]) {
        // Of those that are gone only the latest: to ask about all after each step takes long.
        let (people, known) = (self.known.people.iter(), self.known.rooms.iter());
        let hub = &mut self.hub;
        let people = latest(people, |person| hub.id(person.1).is_some());
        let known = latest(known, |&room| hub.name(room).is_some());
        check::tables(hub, &people, &known);
        check::snapshots(hub, &known);
        assert_eq!(self.hub.rooms(), rooms.len());
        for (name, members) in rooms {
            let room = self.hub.room(name).unwrap();
            let mut found: Vec<usize> =
                self.hub.members(room).iter().map(|conn| self.known.who(conn)).collect();
            found.sort();
            assert_eq!(found, *members, "the members of {name:?}");
        }
    }
}

impl Known {
    fn open(&mut self, step: &Step, conn: ConnKey) {
        let Step::Open { who } = *step else { panic!("{step:?} opens a connection") };
        assert_eq!(who, self.people.len());
        assert!(self.people.iter().all(|(_, key)| *key != conn), "a key is used again");
        self.people.push((id_of(who), conn));
    }

    fn who(&self, conn: ConnKey) -> usize {
        self.people.iter().position(|person| person.1 == conn).expect("a key of nobody")
    }

    fn room(&self, room: RoomKey) -> usize {
        self.rooms.iter().position(|&known| known == room).expect("a key of no room")
    }

    fn key(&self, who: usize) -> ConnKey {
        self.people[who].1
    }

    fn input<'a>(&self, step: &'a Step) -> Input<'a> {
        match step {
            Step::Open { who } => Input::Open { id: id_of(*who) },
            Step::Packet { who, packet: Letter { room, event, dst, src, payload } } => {
                let packet = PacketRef { room, event, dst, src, payload };
                Input::Packet { conn: self.key(*who), packet }
            }
            Step::Gone { who } => Input::Gone { conn: self.key(*who) },
            Step::Broadcast { from, room, event, payload } => {
                let from = from.map(|who| self.key(who));
                Input::Command(Command::Broadcast { from, room, event, payload })
            }
            Step::Send { from, dst, event, payload } => {
                let from = from.map(|who| self.key(who));
                Input::Command(Command::Send { from, dst, event, payload })
            }
            Step::Join { who, room } => {
                Input::Command(Command::Join { conn: self.key(*who), room })
            }
            Step::Leave { who, room } => {
                Input::Command(Command::Leave { conn: self.key(*who), room })
            }
            Step::Close { who, code, reason } => {
                Input::Command(Command::Close { conn: self.key(*who), code: *code, reason })
            }
        }
    }

    fn effect(&self, action: Action<'_>) -> Effect {
        match action {
            Action::Opened { conn } => Effect::Opened { who: self.who(conn) },
            Action::Refused => Effect::Refused,
            Action::Joined { conn, room } => {
                Effect::Joined { who: self.who(conn), room: self.room(room) }
            }
            Action::Left { conn, room } => {
                Effect::Left { who: self.who(conn), room: self.room(room) }
            }
            Action::RoomClosed { room } => Effect::RoomClosed { room: self.room(room) },
            Action::JoinAck { to, id, room, snapshot } => {
                assert_eq!(snapshot.len(), snapshot.to_vec().len(), "a wrong length");
                // The order in a snapshot is free.
                let mut ids = check::read_snapshot(&snapshot.to_vec());
                ids.sort_by_key(|&id| self.people.iter().position(|person| person.0 == id));
                let ids: Vec<&str> = ids.iter().map(ConnId::as_str).collect();
                let payload = format!("[\"{}\"]", ids.join("\",\""));
                let payload = payload.as_bytes();
                let packet = PacketRef { room, event: JOIN_ACK, dst: "", src: id, payload };
                Effect::Send { to: self.who(to), packet: letter(packet) }
            }
            Action::Send { to, packet } => {
                Effect::Send { to: self.who(to), packet: letter(packet) }
            }
            Action::Broadcast { room, members, except, packet } => {
                let to = members.iter().filter(|&member| Some(member) != except);
                let mut to: Vec<usize> = to.map(|member| self.who(member)).collect();
                to.sort();
                Effect::Broadcast { room: self.room(room), to, packet: letter(packet) }
            }
            Action::Call { conn, handler, packet } => Effect::Call {
                who: self.who(conn),
                handler: handler.index(),
                packet: letter(packet),
            },
            Action::Close { conn, code, reason } => {
                Effect::Close { who: self.who(conn), code, reason: reason.into() }
            }
            other => panic!("an action of a new kind: {other:?}"),
        }
    }
}

/// Those that there are, and the last few in any case.
fn latest<'a, T: Copy + 'a>(
    all: impl ExactSizeIterator<Item = &'a T>,
    is_there: impl Fn(&T) -> bool,
) -> Vec<T> {
    let old = all.len().saturating_sub(6);
    let items = all.enumerate().filter(|(at, item)| *at >= old || is_there(item));
    items.map(|(_, item)| *item).collect()
}

fn letter(packet: PacketRef<'_>) -> Letter {
    Letter {
        room: packet.room.into(),
        event: packet.event.into(),
        dst: packet.dst.into(),
        src: packet.src.into(),
        payload: packet.payload.into(),
    }
}

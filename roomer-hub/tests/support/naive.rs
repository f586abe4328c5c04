//! The rules of rooms once more, as naively as can be: vectors, linear search, and nothing that is
//! kept up to date beside them. Written from the protocol's text, not from the hub.
//!
//! Connections are known by their number in order of opening, rooms by theirs in order of making.

use roomer_hub::{Config, ConnId, Refusals};

/// Something that happened, complete.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Open { who: usize },
    Packet { who: usize, packet: Letter },
    Gone { who: usize },
    Broadcast { from: Option<usize>, room: String, event: String, payload: Vec<u8> },
    Send { from: Option<usize>, dst: String, event: String, payload: Vec<u8> },
    Join { who: usize, room: String },
    Leave { who: usize, room: String },
    Close { who: usize, code: u16, reason: String },
}

/// What is to be done because of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Opened { who: usize },
    Refused,
    Joined { who: usize, room: usize },
    Left { who: usize, room: usize },
    RoomClosed { room: usize },
    Send { to: usize, packet: Letter },
    Broadcast { room: usize, to: Vec<usize>, packet: Letter },
    Call { who: usize, handler: usize, packet: Letter },
    Close { who: usize, code: u16, reason: String },
}

/// A packet with its own fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) room: String,
    pub(crate) event: String,
    pub(crate) dst: String,
    pub(crate) src: String,
    pub(crate) payload: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) config: Config,
    pub(crate) handlers: Vec<String>,
    pub(crate) clients: Vec<Client>,
    pub(crate) rooms: Vec<Room>,
    pub(crate) refusals: Refusals,
    rooms_made: usize,
    effects: Vec<Effect>,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) is_here: bool,
}

#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) number: usize,
    pub(crate) name: String,
    pub(crate) members: Vec<usize>,
}

/// The id of a connection: differs from all others, has digits and letters.
pub(crate) fn id_of(who: usize) -> ConnId {
    ConnId::from_random_bytes([
        0xa0,
        who as u8,
        (who >> 8) as u8,
        7,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0xf,
    ])
}

impl Model {
    pub(crate) fn new(config: Config, handlers: Vec<String>) -> Self {
        Model {
            config,
            handlers,
            clients: Vec::new(),
            rooms: Vec::new(),
            refusals: Refusals::default(),
            rooms_made: 0,
            effects: Vec::new(),
        }
    }

    /// What is due after a step.
    pub(crate) fn step(&mut self, step: &Step) -> Vec<Effect> {
        match step.clone() {
            Step::Open { who } if self.is_here(who) => self.effects.push(Effect::Refused),
            Step::Open { who } => {
                assert_eq!(who, self.clients.len());
                self.clients.push(Client { id: id_of(who).to_string(), is_here: true });
                self.effects.push(Effect::Opened { who });
                self.join(who, "root");
            }
            Step::Packet { who, packet } if self.is_here(who) => self.packet(who, packet),
            Step::Gone { who } if self.is_here(who) => self.gone(who),
            Step::Broadcast { from, room, event, payload } if self.may_speak(from) => {
                let src = self.id(from);
                self.broadcast(from, Letter { room, event, src, payload, dst: String::new() });
            }
            Step::Send { from, dst, event, payload } if self.may_speak(from) => {
                let (room, src) = (String::from("root"), self.id(from));
                self.direct(Letter { room, event, dst, src, payload });
            }
            Step::Join { who, room } if self.is_here(who) => self.join(who, &room),
            Step::Leave { who, room } if self.is_here(who) => self.leave(who, &room),
            Step::Close { who, code, reason } if self.is_here(who) => {
                self.gone(who);
                self.effects.push(Effect::Close { who, code, reason });
            }
            _ => {} // about one who is not here
        }
        std::mem::take(&mut self.effects)
    }

    /// The rooms that there are, with their members.
    pub(crate) fn views(&self) -> Vec<(String, Vec<usize>)> {
        let mut views: Vec<_> =
            self.rooms.iter().map(|room| (room.name.clone(), room.members.clone())).collect();
        views.iter_mut().for_each(|view| view.1.sort());
        views
    }

    pub(crate) fn is_here(&self, who: usize) -> bool {
        self.clients.get(who).is_some_and(|client| client.is_here)
    }

    fn may_speak(&self, from: Option<usize>) -> bool {
        from.is_none_or(|who| self.is_here(who))
    }

    fn id(&self, who: Option<usize>) -> String {
        who.map_or(String::new(), |who| self.clients[who].id.clone())
    }

    fn room(&mut self, name: &str) -> Option<&mut Room> {
        self.rooms.iter_mut().find(|room| room.name == name)
    }

    fn packet(&mut self, who: usize, mut packet: Letter) {
        packet.src = self.id(Some(who));
        let from_servers = ["join_ack", "leave_ack", "new_member", "member_left", "open", "close"];
        if packet.event == "join" {
            return self.join(who, &packet.room);
        }
        if packet.event == "leave" {
            return self.leave(who, &packet.room);
        }
        if from_servers.contains(&packet.event.as_str()) {
            self.refusals.reserved += 1;
            return;
        }
        let limit = self.config.max_name;
        if packet.room.len() > limit || packet.event.len() > limit {
            self.refusals.long_name += 1;
            return;
        }
        if !packet.dst.is_empty() {
            if !self.direct(packet) {
                self.refusals.unknown_dst += 1;
            }
            return;
        }
        let in_room = self.room(&packet.room).is_some_and(|room| room.members.contains(&who));
        if self.config.members_only && !in_room {
            self.refusals.not_member += 1;
            return;
        }
        match self.handlers.iter().position(|event| *event == packet.event) {
            Some(handler) => self.effects.push(Effect::Call { who, handler, packet }),
            None => self.broadcast(Some(who), packet),
        }
    }

    fn direct(&mut self, packet: Letter) -> bool {
        let is_meant = |client: &Client| client.is_here && client.id == packet.dst;
        let receiver = self.clients.iter().position(is_meant);
        self.effects.extend(receiver.map(|to| Effect::Send { to, packet }));
        receiver.is_some()
    }

    fn broadcast(&mut self, except: Option<usize>, packet: Letter) {
        let Some(room) = self.room(&packet.room) else { return };
        let mut to: Vec<usize> = room.members.clone();
        to.retain(|&member| Some(member) != except);
        to.sort();
        let room = room.number;
        self.effects.push(Effect::Broadcast { room, to, packet });
    }

    fn join(&mut self, who: usize, name: &str) {
        let taken = self.rooms.iter().filter(|room| room.members.contains(&who)).count();
        let in_room = self.room(name).is_some_and(|room| room.members.contains(&who));
        if !in_room && name.len() > self.config.max_name {
            self.refusals.long_name += 1;
            return self.leave_ack(who, name);
        }
        if !in_room && taken >= self.config.max_rooms {
            self.refusals.too_many_rooms += 1;
            return self.leave_ack(who, name);
        }
        if !in_room {
            if self.room(name).is_none() {
                let (name, number) = (name.into(), self.rooms_made);
                self.rooms.push(Room { number, name, members: Vec::new() });
                self.rooms_made += 1;
            }
            let room = self.room(name).unwrap();
            room.members.push(who);
            let room = room.number;
            self.effects.push(Effect::Joined { who, room });
        }
        let mut members = self.room(name).unwrap().members.clone();
        members.sort();
        let ids: Vec<String> = members.iter().map(|&who| self.id(Some(who))).collect();
        let packet = Letter {
            room: name.into(),
            event: "join_ack".into(),
            dst: String::new(),
            src: self.id(Some(who)),
            payload: format!("[\"{}\"]", ids.join("\",\"")).into(),
        };
        self.effects.push(Effect::Send { to: who, packet });
        if !in_room || self.config.announce_rejoin {
            self.notice(who, name, "new_member");
        }
    }

    fn leave(&mut self, who: usize, name: &str) {
        let Some(room) = self.room(name).filter(|room| room.members.contains(&who)) else {
            return self.leave_ack(who, name);
        };
        room.members.retain(|&member| member != who);
        let room = room.number;
        self.effects.push(Effect::Left { who, room });
        self.leave_ack(who, name);
        self.after_leaving(who, name);
    }

    fn gone(&mut self, who: usize) {
        self.clients[who].is_here = false;
        let mine: Vec<String> = (self.rooms.iter())
            .filter(|room| room.members.contains(&who))
            .map(|room| room.name.clone())
            .collect();
        for name in mine {
            let room = self.room(&name).unwrap();
            room.members.retain(|&member| member != who);
            let room = room.number;
            self.effects.push(Effect::Left { who, room });
            self.after_leaving(who, &name);
        }
    }

    fn after_leaving(&mut self, who: usize, name: &str) {
        let room = self.room(name).unwrap();
        if room.members.is_empty() {
            let room = room.number;
            self.rooms.retain(|other| other.number != room);
            return self.effects.push(Effect::RoomClosed { room });
        }
        self.notice(who, name, "member_left");
    }

    fn leave_ack(&mut self, who: usize, name: &str) {
        let id = self.id(Some(who));
        let (room, event, payload) = (name.into(), "leave_ack".into(), id.clone().into());
        let packet = Letter { room, event, dst: String::new(), src: id, payload };
        self.effects.push(Effect::Send { to: who, packet });
    }

    fn notice(&mut self, about: usize, name: &str, event: &str) {
        let payload = self.id(Some(about)).into();
        let (room, event) = (name.into(), event.into());
        self.broadcast(Some(about), Letter { room, event, payload, ..Letter::default() });
    }
}

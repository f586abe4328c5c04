//! The rules of rooms once more, as naively as can be: vectors, linear search, and nothing that is
//! kept up to date beside them. Written from the protocol's text, not from the hub.
//!
//! Connections are known by their number in order of opening, rooms by theirs in order of making.

use std::time::Duration;

use roomer_hub::{Config, Permission, Presence, RejectedPackets};
use roomer_proto::PacketRef;

use super::bucket::{Bucket, Draught, Pace, Supply};
use super::names::person;
use super::op::{Effect, Op};

#[derive(Debug)]
pub struct Model {
    pub config: Config,
    pub handlers: Vec<&'static str>,
    pub clients: Vec<Client>,
    pub rooms: Vec<Room>,
    pub rejected_packets: RejectedPackets,
    /// What members hear of each other, where that is not everything, by name or `prefix*`.
    pub memberships: Vec<(&'static str, Presence)>,
    /// What is due after the last input. What nobody hears is not told.
    pub due: Vec<Effect>,
    /// What a connection may use up: messages, bytes, joins, refusals.
    pub paces: [Option<Pace>; 4],
    pub shared_room_only: bool,
    /// What the last input has used up, or tried to.
    pub draughts: Vec<Draught>,
    rooms_made: u32,
}

#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The number of its id.
    pub id: u16,
    pub is_here: bool,
    pub buckets: [Option<Bucket>; 4],
}

#[derive(Debug)]
pub struct Room {
    pub number: u32,
    pub name: &'static str,
    pub members: Vec<u16>,
}

type Letter = PacketRef<'static>;

impl Model {
    pub fn new(config: Config, handlers: Vec<&'static str>) -> Self {
        let (clients, rooms, due) = (Vec::new(), Vec::new(), Vec::new());
        let rejected_packets = RejectedPackets::default();
        Model {
            config,
            handlers,
            clients,
            rooms,
            rejected_packets,
            memberships: Vec::new(),
            due,
            paces: [None; 4],
            shared_room_only: false,
            draughts: Vec::new(),
            rooms_made: 0,
        }
    }

    /// Works out what is due after an input.
    pub fn input(&mut self, now: Duration, op: Op) {
        self.due.clear();
        self.draughts.clear();
        match op {
            Op::Open { id } if self.find(&person(id).text).is_some() => {
                self.due.push(Effect::Refused)
            }
            Op::Open { id } => {
                let who = self.clients.len() as u16;
                self.clients.push(Client { id, is_here: true, buckets: [None; 4] });
                self.due.push(Effect::Opened { who });
                self.join(who, "root");
            }
            Op::Packet { who, packet }
                if self.is_here(who) && self.has_enough(now, who, packet) =>
            {
                self.packet(now, who, PacketRef { src: self.id(Some(who)), ..packet }, false)
            }
            Op::Allowed { who, packet } if self.is_here(who) => {
                self.packet(now, who, PacketRef { src: self.id(Some(who)), ..packet }, true)
            }
            Op::Denied { who, packet }
                if packet.event == "join" && self.is_in(who, packet.room) =>
            {
                _ = self.join(who, packet.room)
            }
            Op::Denied { who, packet } if self.is_here(who) => {
                self.rejected_packets.by_application += 1;
                if packet.event == "join" {
                    self.leave_ack(who, packet.room);
                }
            }
            Op::Gone { who } if self.is_here(who) => self.gone(who),
            Op::Broadcast { from, except, room, event, payload } if self.may_speak(from) => {
                let src = self.id(from);
                self.broadcast(except, PacketRef { room, event, src, payload, dst: "" });
            }
            Op::Send { from, dst, event, payload } if self.may_speak(from) => {
                let src = self.id(from);
                self.direct(PacketRef { room: "root", event, dst, src, payload });
            }
            Op::Join { who, room } if self.is_here(who) => _ = self.join(who, room),
            Op::Leave { who, room } if self.is_here(who) => self.leave(who, room),
            Op::Close { who, code, reason } if self.is_here(who) => {
                self.gone(who);
                self.due.push(Effect::Close { who, code, reason });
            }
            _ => {} // about one who is not here
        }
    }

    pub fn is_here(&self, who: u16) -> bool {
        self.clients[usize::from(who)].is_here
    }

    pub fn room(&self, name: &str) -> Option<&Room> {
        self.rooms.iter().find(|room| room.name == name)
    }

    pub fn is_in(&self, who: u16, name: &str) -> bool {
        self.room(name).is_some_and(|room| room.members.contains(&who))
    }

    /// How many rooms a connection is in.
    pub fn rooms_of(&self, who: u16) -> usize {
        self.rooms.iter().filter(|room| room.members.contains(&who)).count()
    }

    fn may_speak(&self, from: Option<u16>) -> bool {
        from.is_none_or(|who| self.is_here(who))
    }

    fn id(&self, who: Option<u16>) -> &'static str {
        who.map_or("", |who| &person(self.clients[usize::from(who)].id).text)
    }

    pub fn find(&self, id: &str) -> Option<u16> {
        let is_meant = |client: &Client| client.is_here && person(client.id).text == id;
        self.clients.iter().position(is_meant).map(|who| who as u16)
    }

    /// What members of a room hear of each other.
    pub fn presence(&self, name: &str) -> Presence {
        let fits = |pattern: &str| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        };
        let chosen = self.memberships.iter().find(|(pattern, _)| fits(pattern));
        chosen.map_or(Presence::Full, |chosen| chosen.1)
    }

    /// Takes tokens from one of a connection's buckets.
    fn take(&mut self, now: Duration, who: u16, of: Supply, count: usize) -> bool {
        let Some(pace) = self.paces[of as usize] else { return true };
        let slot = &mut self.clients[usize::from(who)].buckets[of as usize];
        let draught = Bucket::take(slot, of, pace, now, count);
        self.draughts.push(draught);
        draught.is_enough()
    }

    /// Whether a connection may send this packet now. If not, it is closed.
    fn has_enough(&mut self, now: Duration, who: u16, packet: Letter) -> bool {
        let PacketRef { room, event, dst, src, payload } = packet;
        let bytes = 20 + room.len() + event.len() + dst.len() + src.len() + payload.len();
        let is_enough = self.take(now, who, Supply::Messages, 1)
            && self.take(now, who, Supply::Bytes, bytes)
            && (event != "join" || self.take(now, who, Supply::Joins, 1));
        if !is_enough {
            self.rejected_packets.rate += 1;
            self.expel(who, "rate");
        }
        is_enough
    }

    /// A client has done what it should have known better.
    fn strike(&mut self, now: Duration, who: u16) {
        if !self.take(now, who, Supply::Strikes, 1) {
            self.rejected_packets.violations += 1;
            self.expel(who, "too many violations");
        }
    }

    fn expel(&mut self, who: u16, reason: &'static str) {
        self.gone(who);
        self.due.push(Effect::Close { who, code: 1008, reason });
    }

    /// Whether two are in one room, root aside.
    pub fn are_roommates(&self, one: u16, other: u16) -> bool {
        let both = |room: &Room| room.members.contains(&one) && room.members.contains(&other);
        self.rooms.iter().any(|room| room.name != "root" && both(room))
    }

    fn packet(&mut self, now: Duration, who: u16, packet: Letter, is_allowed: bool) {
        let from_servers = ["join_ack", "leave_ack", "new_member", "member_left", "open", "close"];
        if packet.event == "join" {
            let asks = self.config.authorize_join && !is_allowed;
            let is_new = !self.is_in(who, packet.room);
            let fits = packet.room.len() <= self.config.max_name
                && self.rooms_of(who) < self.config.max_rooms;
            if asks && is_new && fits {
                return self.due.push(Effect::Ask { who, about: Permission::Join, packet });
            }
            if !self.join(who, packet.room) {
                self.strike(now, who);
            }
            return;
        }
        if packet.event == "leave" {
            return self.leave(who, packet.room);
        }
        if from_servers.contains(&packet.event) {
            self.rejected_packets.reserved += 1;
            return self.strike(now, who);
        }
        let limit = self.config.max_name;
        if packet.room.len() > limit || packet.event.len() > limit {
            self.rejected_packets.long_name += 1;
            return self.strike(now, who);
        }
        if !packet.dst.is_empty() {
            let receiver = self.find(packet.dst).filter(|to| *to != who && self.shared_room_only);
            if receiver.is_some_and(|to| !self.are_roommates(who, to)) {
                self.rejected_packets.no_shared_room += 1;
                return self.strike(now, who);
            }
            if self.config.authorize_direct && !is_allowed && self.find(packet.dst).is_some() {
                return self.due.push(Effect::Ask { who, about: Permission::Direct, packet });
            }
            if !self.direct(packet) {
                self.rejected_packets.unknown_dst += 1;
            }
            return;
        }
        if self.config.members_only && !self.is_in(who, packet.room) {
            self.rejected_packets.not_member += 1;
            return self.strike(now, who);
        }
        if self.config.authorize_publish && !is_allowed {
            return self.due.push(Effect::Ask { who, about: Permission::Publish, packet });
        }
        match self.handlers.iter().position(|event| *event == packet.event) {
            Some(handler) => self.due.push(Effect::Call { who, handler, packet }),
            None => self.broadcast(Some(who), packet),
        }
    }

    fn direct(&mut self, packet: Letter) -> bool {
        let receiver = self.find(packet.dst);
        self.due.extend(receiver.map(|to| Effect::Send { to, packet }));
        receiver.is_some()
    }

    fn broadcast(&mut self, except: Option<u16>, packet: Letter) {
        let Some(room) = self.room(packet.room) else { return };
        let others = room.members.iter().filter(|&&member| Some(member) != except);
        let to = others.map(|&who| self.clients[usize::from(who)].id).collect();
        let effect = Effect::Broadcast { room: room.number, to, packet };
        if to.len() > 0 {
            self.due.push(effect);
        }
    }

    /// False when it is refused.
    fn join(&mut self, who: u16, name: &'static str) -> bool {
        let was_in = self.is_in(who, name);
        if !was_in && name.len() > self.config.max_name {
            self.rejected_packets.long_name += 1;
            self.leave_ack(who, name);
            return false;
        }
        if !was_in && self.rooms_of(who) >= self.config.max_rooms {
            self.rejected_packets.too_many_rooms += 1;
            self.leave_ack(who, name);
            return false;
        }
        if !was_in {
            if self.room(name).is_none() {
                self.rooms.push(Room { number: self.rooms_made, name, members: Vec::new() });
                self.rooms_made += 1;
            }
            if let Some(room) = self.rooms.iter_mut().find(|room| room.name == name) {
                room.members.push(who);
                self.due.push(Effect::Joined { who, room: room.number, name });
            }
        }
        let shows = self.presence(name);
        let members = self.room(name).map_or(&[][..], |room| &room.members);
        let members = members.iter().map(|&who| self.clients[usize::from(who)].id).collect();
        self.due.push(Effect::JoinAck { to: who, room: name, shows, members });
        if !was_in || self.config.announce_rejoin {
            self.notice(who, name, "new_member");
        }
        true
    }

    fn leave(&mut self, who: u16, name: &'static str) {
        let Some(room) = self.rooms.iter_mut().find(|room| room.name == name) else {
            return self.leave_ack(who, name);
        };
        if !room.members.contains(&who) {
            return self.leave_ack(who, name);
        }
        room.members.retain(|&member| member != who);
        self.due.push(Effect::Left { who, room: room.number, name });
        self.leave_ack(who, name);
        self.after_leaving(who, name);
    }

    fn gone(&mut self, who: u16) {
        self.clients[usize::from(who)].is_here = false;
        while let Some(room) = self.rooms.iter_mut().find(|room| room.members.contains(&who)) {
            room.members.retain(|&member| member != who);
            let name = room.name;
            self.due.push(Effect::Left { who, room: room.number, name });
            self.after_leaving(who, name);
        }
    }

    fn after_leaving(&mut self, who: u16, name: &'static str) {
        if let Some(at) = self.rooms.iter().position(|room| room.members.is_empty()) {
            let room = self.rooms.remove(at).number;
            return self.due.push(Effect::RoomClosed { room });
        }
        self.notice(who, name, "member_left");
    }

    fn leave_ack(&mut self, who: u16, room: &'static str) {
        let src = self.id(Some(who));
        let packet = PacketRef { room, event: "leave_ack", dst: "", src, payload: src.as_bytes() };
        self.due.push(Effect::Send { to: who, packet });
    }

    fn notice(&mut self, about: u16, room: &'static str, event: &'static str) {
        if self.presence(room) != Presence::Full {
            return;
        }
        let payload = self.id(Some(about)).as_bytes();
        self.broadcast(Some(about), PacketRef { room, event, dst: "", src: "", payload });
    }
}

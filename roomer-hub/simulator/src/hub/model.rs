//! A naive model of the rules for rooms: vectors and linear search, without derived state.
//!
//! It was written from the protocol's text, not from the hub's code. Connections are numbered in
//! the order of opening, rooms in the order of creation.

use std::time::Duration;

use roomer_hub::{Config, Permission, Presence, RejectedPackets};
use roomer_proto::PacketRef;

use super::guests::model::{Abroad, Peers};
use super::guests::op::PeerSet;
use super::op::{Effect, IdSet, Op};
use super::token_bucket::{Bucket, Quota, RateSpec, Withdrawal};
use crate::alphabet::identity;

#[derive(Debug)]
pub struct Model {
    pub config: Config,
    pub handlers: Vec<&'static str>,
    pub clients: Vec<Client>,
    pub rooms: Vec<Room>,
    pub rejected_packets: RejectedPackets,
    /// The presence modes other than `Full`, each with its rooms' name or `prefix*`.
    pub presence_rules: Vec<(&'static str, Presence)>,
    /// The effects of the last input. Messages that have no receivers are omitted.
    pub effects: Vec<Effect>,
    /// The rates of a connection for messages, bytes, joins and violations, in this order.
    pub rates: [Option<RateSpec>; 4],
    pub shared_room_only: bool,
    /// The last input's attempts to take tokens.
    pub withdrawals: Vec<Withdrawal>,
    pub peers: Peers,
    pub rooms_made: u32,
}

#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The number of the connection's id.
    pub id: u16,
    pub is_connected: bool,
    pub buckets: [Option<Bucket>; 4],
}

#[derive(Debug)]
pub struct Room {
    pub number: u32,
    pub name: &'static str,
    pub members: Vec<u16>,
    pub abroad: Abroad,
}

impl Room {
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.abroad.is_empty()
    }
}

type Packet = PacketRef<'static>;

impl Model {
    pub fn new(config: Config, handlers: Vec<&'static str>) -> Self {
        let (clients, rooms, effects) = (Vec::new(), Vec::new(), Vec::new());
        let rejected_packets = RejectedPackets::default();
        Model {
            config,
            handlers,
            clients,
            rooms,
            rejected_packets,
            presence_rules: Vec::new(),
            effects,
            rates: [None; 4],
            shared_room_only: false,
            withdrawals: Vec::new(),
            peers: Peers::default(),
            rooms_made: 0,
        }
    }

    /// Replaces the effects with those of the next input.
    pub fn input(&mut self, now: Duration, op: Op) {
        self.effects.clear();
        self.withdrawals.clear();
        match op {
            Op::Open { id }
                if self.find(&identity(id).text).is_some() || self.peer_of_guest(id).is_some() =>
            {
                self.effects.push(Effect::Rejected)
            }
            Op::Open { id } => {
                let client = self.clients.len() as u16;
                self.clients.push(Client { id, is_connected: true, buckets: [None; 4] });
                self.effects.push(Effect::Opened { client });
                self.join(client, "root");
            }
            Op::Packet { client, packet }
                if self.is_connected(client) && self.has_enough(now, client, packet) =>
            {
                self.packet(now, client, PacketRef { src: self.id(Some(client)), ..packet }, false)
            }
            Op::Allowed { client, packet } if self.is_connected(client) => {
                self.packet(now, client, PacketRef { src: self.id(Some(client)), ..packet }, true)
            }
            Op::Denied { client, packet }
                if packet.event == "join" && self.is_in(client, packet.room) =>
            {
                _ = self.join(client, packet.room)
            }
            Op::Denied { client, packet } if self.is_connected(client) => {
                self.rejected_packets.by_application += 1;
                if packet.event == "join" {
                    self.leave_ack(client, packet.room);
                }
            }
            Op::Gone { client } if self.is_connected(client) => self.gone(client),
            Op::Broadcast { from, except, except_guest, room, event, payload }
                if self.is_sender_valid(from) =>
            {
                let src = self.id(from);
                let packet = PacketRef { room, event, src, payload, dst: "" };
                self.broadcast(except, packet, Some(except_guest));
            }
            Op::Send { from, dst, event, payload } if self.is_sender_valid(from) => {
                let src = self.id(from);
                let packet = PacketRef { room: "root", event, dst, src, payload };
                let _ = self.direct(packet) || self.forward(packet);
            }
            Op::Join { client, room } if self.is_connected(client) => _ = self.join(client, room),
            Op::Leave { client, room } if self.is_connected(client) => self.leave(client, room),
            Op::Close { client, code, reason } if self.is_connected(client) => {
                self.gone(client);
                self.effects.push(Effect::Close { client, code, reason });
            }
            Op::Peer { peer, op } => self.peer_input(peer, op),
            _ => {} // the connection is closed
        }
    }

    pub fn is_connected(&self, client: u16) -> bool {
        self.clients[usize::from(client)].is_connected
    }

    pub fn room(&self, name: &str) -> Option<&Room> {
        self.rooms.iter().find(|room| room.name == name)
    }

    pub fn is_in(&self, client: u16, name: &str) -> bool {
        self.room(name).is_some_and(|room| room.members.contains(&client))
    }

    /// Returns the number of rooms that a connection is in.
    pub fn rooms_of(&self, client: u16) -> usize {
        self.rooms.iter().filter(|room| room.members.contains(&client)).count()
    }

    fn is_sender_valid(&self, from: Option<u16>) -> bool {
        from.is_none_or(|client| self.is_connected(client))
    }

    fn id(&self, client: Option<u16>) -> &'static str {
        client.map_or("", |client| &identity(self.clients[usize::from(client)].id).text)
    }

    pub fn find(&self, id: &str) -> Option<u16> {
        let is_meant = |client: &Client| client.is_connected && identity(client.id).text == id;
        self.clients.iter().position(is_meant).map(|client| client as u16)
    }

    /// Returns a room's presence mode.
    pub fn presence(&self, name: &str) -> Presence {
        let fits = |pattern: &str| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        };
        let chosen = self.presence_rules.iter().find(|(pattern, _)| fits(pattern));
        chosen.map_or(Presence::Full, |chosen| chosen.1)
    }

    /// Takes tokens from a connection's bucket. Returns true if the bucket contained enough.
    fn take(&mut self, now: Duration, client: u16, of: Quota, count: usize) -> bool {
        let Some(spec) = self.rates[of as usize] else { return true };
        let slot = &mut self.clients[usize::from(client)].buckets[of as usize];
        let withdrawal = Bucket::take(slot, of, spec, now, count);
        self.withdrawals.push(withdrawal);
        withdrawal.is_granted()
    }

    /// Returns true if a connection's rates permit this packet. Otherwise closes the connection.
    fn has_enough(&mut self, now: Duration, client: u16, packet: Packet) -> bool {
        // The encoded length: the five fields, and a prefix of four bytes for each.
        let PacketRef { room, event, dst, src, payload } = packet;
        let bytes = 20 + room.len() + event.len() + dst.len() + src.len() + payload.len();
        let is_granted = self.take(now, client, Quota::Messages, 1)
            && self.take(now, client, Quota::Bytes, bytes)
            && (event != "join" || self.take(now, client, Quota::Joins, 1));
        if !is_granted {
            self.rejected_packets.rate += 1;
            self.close_for(client, "rate");
        }
        is_granted
    }

    /// Counts a violation. Closes the connection if its violation bucket is empty.
    pub(crate) fn violation(&mut self, now: Duration, client: u16) {
        if !self.take(now, client, Quota::Violations, 1) {
            self.rejected_packets.violations += 1;
            self.close_for(client, "too many violations");
        }
    }

    fn close_for(&mut self, client: u16, reason: &'static str) {
        self.gone(client);
        self.effects.push(Effect::Close { client, code: 1008, reason });
    }

    /// Returns true if two connections share a room other than `root`.
    pub fn share_room(&self, one: u16, other: u16) -> bool {
        let both = |room: &Room| room.members.contains(&one) && room.members.contains(&other);
        self.rooms.iter().any(|room| room.name != "root" && both(room))
    }

    fn packet(&mut self, now: Duration, client: u16, packet: Packet, is_allowed: bool) {
        let from_servers = ["join_ack", "leave_ack", "new_member", "member_left", "open", "close"];
        if packet.event == "join" {
            let authorize = self.config.authorize_join && !is_allowed;
            let is_new = !self.is_in(client, packet.room);
            let fits = packet.room.len() <= self.config.max_name
                && self.rooms_of(client) < self.config.max_rooms;
            // The application is not asked about joins that are repeated or rejected anyway.
            if authorize && is_new && fits {
                return self.authorize(client, Permission::Join, packet);
            }
            if !self.join(client, packet.room) && packet.room.len() > self.config.max_name {
                self.violation(now, client);
            }
            return;
        }
        if packet.event == "leave" {
            return self.leave(client, packet.room);
        }
        if from_servers.contains(&packet.event) {
            self.rejected_packets.reserved += 1;
            return self.violation(now, client);
        }
        let limit = self.config.max_name;
        if packet.room.len() > limit || packet.event.len() > limit {
            self.rejected_packets.long_name += 1;
            return self.violation(now, client);
        }
        if !packet.dst.is_empty() {
            if self.find(packet.dst).is_none() {
                return self.message_abroad(client, packet, is_allowed);
            }
            let receiver =
                self.find(packet.dst).filter(|to| *to != client && self.shared_room_only);
            if receiver.is_some_and(|to| !self.share_room(client, to)) {
                self.rejected_packets.no_shared_room += 1;
                return;
            }
            if self.config.authorize_direct && !is_allowed {
                return self.authorize(client, Permission::Direct, packet);
            }
            self.direct(packet);
            return;
        }
        if self.config.members_only && !self.is_in(client, packet.room) {
            self.rejected_packets.not_member += 1;
            return;
        }
        if self.config.authorize_publish && !is_allowed {
            return self.authorize(client, Permission::Publish, packet);
        }
        match self.handlers.iter().position(|event| *event == packet.event) {
            Some(handler) => self.effects.push(Effect::Call { client, handler, packet }),
            None => self.broadcast(Some(client), packet, Some(None)),
        }
    }

    pub(crate) fn authorize(&mut self, client: u16, permission: Permission, packet: Packet) {
        self.effects.push(Effect::Authorize { client, permission, packet });
    }

    pub(crate) fn direct(&mut self, packet: Packet) -> bool {
        let receiver = self.find(packet.dst);
        self.effects.extend(receiver.map(|to| Effect::Send { to, packet }));
        receiver.is_some()
    }

    /// Sends a packet to a room's members. If `to_peers` is `Some`, also sends it to the peers with
    /// members in the room, except to the guest in `to_peers`.
    pub(crate) fn broadcast(
        &mut self,
        except: Option<u16>,
        packet: Packet,
        to_peers: Option<Option<u16>>,
    ) {
        let Some(room) = self.room(packet.room) else { return };
        let others = room.members.iter().filter(|&&member| Some(member) != except);
        let to = others.map(|&client| self.clients[usize::from(client)].id).collect();
        let peers = to_peers.map_or(PeerSet::default(), |_| room.abroad.peers());
        let except_guest = to_peers.flatten();
        let to: IdSet = to;
        if !to.is_empty() || !peers.is_empty() {
            let room = room.number;
            self.effects.push(Effect::Broadcast { room, to, packet, peers, except_guest });
        }
    }

    pub(crate) fn room_or_new(&mut self, name: &'static str) -> &mut Room {
        let known = self.rooms.iter().position(|room| room.name == name);
        let at = known.unwrap_or_else(|| {
            let (number, members) = (self.rooms_made, Vec::new());
            self.rooms_made += 1;
            self.rooms.push(Room { number, name, members, abroad: Abroad::default() });
            self.rooms.len() - 1
        });
        &mut self.rooms[at]
    }

    /// Handles a join. Returns false if it is rejected.
    fn join(&mut self, client: u16, name: &'static str) -> bool {
        let was_in = self.is_in(client, name);
        if !was_in && name.len() > self.config.max_name {
            self.rejected_packets.long_name += 1;
            self.leave_ack(client, name);
            return false;
        }
        if !was_in && self.rooms_of(client) >= self.config.max_rooms {
            self.rejected_packets.too_many_rooms += 1;
            self.leave_ack(client, name);
            return false;
        }
        if !was_in {
            let room = self.room_or_new(name);
            room.members.push(client);
            let room = room.number;
            self.effects.push(Effect::Joined { client, room, name });
        }
        let presence = self.presence(name);
        let (mut members, mut count) = (IdSet::default(), 0);
        if let Some(room) = self.room(name) {
            let own = room.members.iter().map(|&client| self.clients[usize::from(client)].id);
            members = own.chain(room.abroad.guests.iter().map(|guest| guest.1)).collect();
            count = room.members.len() as u64 + room.abroad.len();
        }
        self.effects.push(Effect::JoinAck { to: client, room: name, presence, members, count });
        if !was_in || self.config.announce_rejoin {
            self.notice(client, name, "new_member");
        }
        true
    }

    fn leave(&mut self, client: u16, name: &'static str) {
        let Some(room) = self.rooms.iter_mut().find(|room| room.name == name) else {
            return self.leave_ack(client, name);
        };
        if !room.members.contains(&client) {
            return self.leave_ack(client, name);
        }
        room.members.retain(|&member| member != client);
        self.effects.push(Effect::Left { client, room: room.number, name });
        self.leave_ack(client, name);
        self.after_leaving(client, name);
    }

    fn gone(&mut self, client: u16) {
        self.clients[usize::from(client)].is_connected = false;
        while let Some(room) = self.rooms.iter_mut().find(|room| room.members.contains(&client)) {
            room.members.retain(|&member| member != client);
            let name = room.name;
            self.effects.push(Effect::Left { client, room: room.number, name });
            self.after_leaving(client, name);
        }
    }

    fn after_leaving(&mut self, client: u16, name: &'static str) {
        // At most one room is empty: the one just left. Other empty rooms have been closed.
        if let Some(at) = self.rooms.iter().position(Room::is_empty) {
            let room = self.rooms.remove(at).number;
            return self.effects.push(Effect::RoomClosed { room });
        }
        self.notice(client, name, "member_left");
    }

    fn leave_ack(&mut self, client: u16, room: &'static str) {
        let src = self.id(Some(client));
        let packet = PacketRef { room, event: "leave_ack", dst: "", src, payload: src.as_bytes() };
        self.effects.push(Effect::Send { to: client, packet });
    }

    fn notice(&mut self, about: u16, room: &'static str, event: &'static str) {
        if self.presence(room) != Presence::Full {
            return;
        }
        let payload = self.id(Some(about)).as_bytes();
        // Do not notify the peers: each node notifies its own members.
        self.broadcast(Some(about), PacketRef { room, event, dst: "", src: "", payload }, None);
    }
}

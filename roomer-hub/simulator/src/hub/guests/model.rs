//! The part of the naive model that concerns peers and guests.
//!
//! For each room, it stores a list of guests and the counts that peers have reported, and nothing
//! derived from them.

use roomer_hub::{Permission, Presence, RejectedPeerInputs};
use roomer_proto::PacketRef;

use super::op::{PEERS, PeerOp, PeerSet};
use crate::alphabet::{id_number, identity, tag_of};
use crate::hub::model::{Model, Room};
use crate::hub::op::{Effect, IdSet, Op};

type Packet = PacketRef<'static>;

/// The state that belongs to peers rather than to rooms.
#[derive(Debug, Default)]
pub struct Peers {
    /// For each peer, its tag while it is connected.
    pub tags: [Option<u8>; PEERS],
    pub rejected: RejectedPeerInputs,
    /// True if any peer has ever been connected.
    pub are_used: bool,
}

/// The members of a room on other nodes.
#[derive(Debug, Default)]
pub struct Abroad {
    /// The guests in the room, each with its peer.
    pub guests: Vec<(u8, u16)>,
    pub counts: [u32; PEERS],
}

impl Abroad {
    pub fn is_empty(&self) -> bool {
        self.guests.is_empty() && self.counts == [0; PEERS]
    }

    /// Returns the peers that have members in the room.
    pub fn peers(&self) -> PeerSet {
        let has = |peer: &u8| {
            self.counts[usize::from(*peer)] > 0 || self.guests.iter().any(|guest| guest.0 == *peer)
        };
        (0..PEERS as u8).filter(has).collect()
    }

    /// Returns the number of members on other nodes.
    pub fn len(&self) -> u64 {
        self.counts.iter().map(|&count| u64::from(count)).sum::<u64>() + self.guests.len() as u64
    }

    pub fn ids(&self) -> IdSet {
        self.guests.iter().map(|guest| guest.1).collect()
    }
}

impl Model {
    /// Returns the peer of a guest, or `None` if the guest is not in any room.
    pub fn peer_of_guest(&self, id: u16) -> Option<u8> {
        let mut guests = self.rooms.iter().flat_map(|room| &room.abroad.guests);
        guests.find(|guest| guest.1 == id).map(|guest| guest.0)
    }

    /// Returns the number of rooms that a guest is in.
    pub fn rooms_of_guest(&self, id: u16) -> usize {
        self.rooms.iter().filter(|room| room.abroad.ids().contains(id)).count()
    }

    /// Returns the guests that leave because the input removes their peer.
    pub fn leaving_guests(&self, op: Op) -> IdSet {
        let Op::Peer { peer, op: PeerOp::Gone } = op else { return IdSet::default() };
        let guests = self.rooms.iter().flat_map(|room| &room.abroad.guests);
        guests.filter(|guest| guest.0 == peer).map(|guest| guest.1).collect()
    }

    pub(crate) fn peer_input(&mut self, peer: u8, op: PeerOp) {
        let index = usize::from(peer);
        let tag = self.peers.tags[index];
        if let PeerOp::Up { tag: new } = op {
            self.peers.are_used = true;
            match tag {
                None => self.peers.tags[index] = Some(new),
                Some(_) => self.peers.rejected.wrong_peer += 1,
            }
            return;
        }
        let Some(tag) = tag else {
            self.peers.rejected.wrong_peer += 1;
            return;
        };
        match op {
            PeerOp::Up { .. } => {}
            PeerOp::Gone => self.peer_gone(peer),
            PeerOp::Joined { room, .. } | PeerOp::Count { room, .. }
                if room.len() > self.config.max_name =>
            {
                self.peers.rejected.long_name += 1;
            }
            PeerOp::Joined { guest, .. } if tag_of(guest) != Some(tag) => {
                self.peers.rejected.foreign_id += 1;
            }
            PeerOp::Joined { guest, .. }
                if self.find(&identity(guest).text).is_some()
                    || self.peer_of_guest(guest).is_some_and(|other| other != peer) =>
            {
                self.peers.rejected.duplicate_id += 1;
            }
            PeerOp::Joined { room, guest } => {
                let guests = &mut self.room_or_new(room).abroad.guests;
                if !guests.contains(&(peer, guest)) {
                    guests.push((peer, guest));
                    self.guest_notice(room, guest, "new_member");
                }
            }
            PeerOp::Left { room, guest } => {
                if self.take_guest(room, (peer, guest)) {
                    self.after_guest(room, Some(guest));
                }
            }
            // A count of 0 must not create the room.
            PeerOp::Count { room, members } if members > 0 || self.room(room).is_some() => {
                self.room_or_new(room).abroad.counts[index] = members;
                self.after_guest(room, None);
            }
            PeerOp::Count { .. } => {}
            PeerOp::Broadcast { except, packet } => {
                if self.admits(tag, packet) {
                    let except = except.and_then(|id| self.find(&identity(id).text));
                    self.broadcast(except, PacketRef { dst: "", ..packet }, None);
                }
            }
            PeerOp::Direct { packet } => {
                if self.admits(tag, packet) && !self.direct(packet) {
                    self.peers.rejected.unknown_dst += 1;
                }
            }
        }
    }

    fn peer_gone(&mut self, peer: u8) {
        self.peers.tags[usize::from(peer)] = None;
        let names: Vec<&'static str> = self.rooms.iter().map(|room| room.name).collect();
        for name in names {
            let of_peer = |guest: &&(u8, u16)| guest.0 == peer;
            let guests = self.room(name).map(|room| room.abroad.guests.iter().filter(of_peer));
            let guests: Vec<(u8, u16)> = guests.into_iter().flatten().copied().collect();
            let has_count = self.room(name).is_some_and(|room| room.abroad.peers().contains(peer));
            if has_count {
                self.room_or_new(name).abroad.counts[usize::from(peer)] = 0;
            }
            for &guest in &guests {
                self.take_guest(name, guest);
                self.after_guest(name, Some(guest.1));
            }
            if has_count && guests.is_empty() {
                self.after_guest(name, None);
            }
        }
    }

    /// Removes a guest from a room. Returns false if the guest was not in the room.
    fn take_guest(&mut self, name: &str, guest: (u8, u16)) -> bool {
        let Some(room) = self.rooms.iter_mut().find(|room| room.name == name) else { return false };
        let before = room.abroad.guests.len();
        room.abroad.guests.retain(|other| *other != guest);
        room.abroad.guests.len() < before
    }

    /// Closes the room if it is empty now. Otherwise, if a guest has left, notifies the members.
    fn after_guest(&mut self, name: &'static str, left: Option<u16>) {
        if let Some(at) = self.rooms.iter().position(Room::is_empty) {
            let room = self.rooms.remove(at).number;
            return self.effects.push(Effect::RoomClosed { room });
        }
        if let Some(guest) = left {
            self.guest_notice(name, guest, "member_left");
        }
    }

    fn guest_notice(&mut self, room: &'static str, guest: u16, event: &'static str) {
        if self.presence(room) == Presence::Full {
            let payload = identity(guest).text.as_bytes();
            self.broadcast(None, PacketRef { room, event, dst: "", src: "", payload }, None);
        }
    }

    /// Returns true if the peer with this tag may send this packet.
    fn admits(&mut self, tag: u8, packet: Packet) -> bool {
        let built_in = ["join", "leave", "join_ack", "leave_ack", "new_member", "member_left"];
        let built_in = [&built_in[..], &["open", "close"]].concat();
        if built_in.contains(&packet.event) {
            self.peers.rejected.built_in += 1;
            return false;
        }
        let src = id_number(packet.src.as_bytes());
        let is_true = packet.src.is_empty() || src.and_then(tag_of) == Some(tag);
        self.peers.rejected.foreign_id += u64::from(!is_true);
        is_true
    }

    /// Returns the peers whose tag is that of the id `dst`.
    pub fn peers_of(&self, dst: &str) -> PeerSet {
        let tag = id_number(dst.as_bytes()).and_then(tag_of);
        let tagged = (0..PEERS as u8).filter(|&peer| self.peers.tags[usize::from(peer)] == tag);
        tagged.filter(|_| tag.is_some()).collect()
    }

    /// Forwards a message to all peers whose tag is that of the message's `dst`. Returns false if
    /// there are none.
    pub(crate) fn forward(&mut self, packet: Packet) -> bool {
        let peers = self.peers_of(packet.dst);
        let of = |peer: &u8| peers.contains(*peer);
        // The hub forwards messages in the order of the peers' keys.
        let mut numbers: Vec<u8> = (0..PEERS as u8).filter(of).collect();
        numbers.sort_by_key(|&peer| super::op::key(peer).index());
        self.effects.extend(numbers.iter().map(|&peer| Effect::Forward { peer, packet }));
        !peers.is_empty()
    }

    /// Handles a message that a client sends to an id without a connection on this node.
    pub(crate) fn message_abroad(&mut self, client: u16, packet: Packet, is_allowed: bool) {
        let id = id_number(packet.dst.as_bytes());
        let guest = id.filter(|&id| self.peer_of_guest(id).is_some());
        if self.peers_of(packet.dst).is_empty() || self.shared_room_only && guest.is_none() {
            self.rejected_packets.unknown_dst += 1;
            return;
        }
        if self.shared_room_only && !guest.is_some_and(|id| self.shares_room(client, id)) {
            self.rejected_packets.no_shared_room += 1;
            return;
        }
        match self.config.authorize_direct && !is_allowed {
            true => self.authorize(client, Permission::Direct, packet),
            false => _ = self.forward(packet),
        }
    }

    /// Returns true if a connection and a guest share a room other than `root`.
    pub fn shares_room(&self, client: u16, guest: u16) -> bool {
        let both =
            |room: &Room| room.members.contains(&client) && room.abroad.ids().contains(guest);
        self.rooms.iter().any(|room| room.name != "root" && both(room))
    }
}

//! Handles inputs about peers and guests, which are members whose connections are at other nodes.
//!
//! This module also forwards messages to peers. It changes the tables by the methods in
//! `tables/guests.rs`.

use std::sync::Arc;
use std::time::Duration;

use roomer_proto::extended::Profile;
use roomer_proto::{ConnId, PacketRef, ROOT, is_built_in};

use crate::guest_tables::tag_of;
use crate::hub::Hub;
use crate::input::Input;
use crate::keys::{ConnKey, GuestKey, PeerKey, RoomKey};
use crate::limits::{RejectReason, RejectedPeerInputs};
use crate::permission::{Authorization, Permission};
use crate::record::{Context, RareRecord, Record};

impl Hub {
    /// Returns the number of rejected inputs about peers since the hub was created.
    #[must_use]
    pub fn rejected_peer_inputs(&self) -> RejectedPeerInputs {
        self.rejected_peer_inputs
    }

    /// Handles rare inputs: those about peers, connections that open with a profile, and clients
    /// that go away or come back.
    #[cold]
    #[inline(never)]
    pub(crate) fn rare_input<'a>(&mut self, now: Duration, input: Input<'a>) -> Context<'a> {
        match input {
            Input::OpenWithProfile { id, extended, profile } => {
                return self.open_with_profile(now, id, extended, profile);
            }
            Input::Away { conn, is_away } => return self.set_away(conn, is_away),
            Input::Acknowledge { conn } => self.report_unreported(conn),
            Input::PeerBroadcast { peer, except, packet } => {
                return self.peer_broadcast(peer, except, packet);
            }
            Input::PeerDirect { peer, packet } => return self.peer_direct(peer, packet),
            Input::Ordered { except, packet } => return self.ordered(except, packet),
            Input::Renewed { id, room } => return self.renewed(id, room),
            Input::PeerUp { peer, tag } => self.peer_up(peer, tag),
            Input::PeerGone { peer } => self.peer_gone(peer),
            Input::GuestJoined { peer, room, id, profile } => {
                self.guest_joined(peer, room, id, profile);
            }
            Input::GuestProfile { peer, id, profile } => self.guest_profile(peer, id, profile),
            Input::GuestAway { peer, id, is_away } => self.set_guest_away(peer, id, is_away),
            Input::GuestLeft { peer, room, id } => self.guest_left(peer, room, id),
            Input::GuestCount { peer, room, members } => self.guest_count(peer, room, members),
            // `Hub::handle` has handled these inputs.
            Input::Open { .. }
            | Input::Packet { .. }
            | Input::Allowed { .. }
            | Input::Denied { .. }
            | Input::Gone { .. }
            | Input::Command(_) => debug_assert!(false, "not about a peer: {input:?}"),
        }
        Context::empty()
    }

    pub(crate) fn peer_up(&mut self, peer: PeerKey, tag: [u8; 4]) {
        match self.tables.guest_tables.tag(peer) {
            Some(_) => self.rejected_peer_inputs.wrong_peer += 1,
            None => self.tables.guest_tables.set_tag(peer, Some(tag)),
        }
    }

    /// Removes a peer's guests, counts and tag.
    pub(crate) fn peer_gone(&mut self, peer: PeerKey) {
        if self.peer_tag(peer).is_none() {
            return;
        }
        let guests = self.tables.guest_tables.guests.iter();
        // Collect the keys first, because removing a guest modifies the table.
        let guests: Vec<GuestKey> =
            guests.filter(|(_, guest)| guest.peer == peer).map(|(key, _)| key).collect();
        for guest in guests {
            self.remove_guest(guest);
        }
        let counted = self.tables.rooms.iter().filter(|(_, room)| room.count_of(peer) > 0);
        let counted: Vec<RoomKey> = counted.map(|(key, _)| key).collect();
        for room in counted {
            self.set_guest_count(peer, room, 0);
        }
        self.tables.guest_tables.set_tag(peer, None);
    }

    /// Removes a guest from all its rooms and from the tables.
    fn remove_guest(&mut self, guest: GuestKey) {
        let subject = self.output.subjects.len() as u32;
        self.output.subjects.push(self.tables.guest_tables.guests[guest].id());
        // Start with the last seat so that no other seat moves.
        while let Some(last) = self.tables.guest_tables.guests[guest].seats.len().checked_sub(1) {
            let (room, is_closed) = self.tables.leave_guest(guest, last);
            if is_closed {
                self.output.records.push(Record::RoomClosed(room));
            } else if self.notifies(room) {
                if self.tables.rooms[room].has_plain_members() {
                    self.output.records.push(Record::Rare(RareRecord::GuestLeft { room, subject }));
                }
                let id = self.output.subjects[subject as usize];
                self.announce_guest(room, false, &id);
            } else {
                self.announce_count(room);
            }
        }
        self.tables.guest_tables.remove(self.tables.key, guest);
    }

    pub(crate) fn guest_joined(
        &mut self,
        peer: PeerKey,
        name: &str,
        id: ConnId,
        profile: Option<&Arc<Profile>>,
    ) {
        let Some(tag) = self.peer_tag(peer) else { return };
        if name.len() > self.config.max_name {
            self.rejected_peer_inputs.long_name += 1;
            return;
        }
        if tag_of(id) != tag {
            self.rejected_peer_inputs.foreign_id += 1;
            return;
        }
        let known = self.tables.find_guest(&id);
        let is_of_other =
            known.is_some_and(|guest| self.tables.guest_tables.guests[guest].peer != peer);
        // Reject a second connection with the same id, because a direct message must have exactly
        // one receiver.
        if is_of_other || self.tables.find_conn(id.as_str()).is_some() {
            self.rejected_peer_inputs.duplicate_id += 1;
            return;
        }
        // Create the room after all checks so that a rejected guest does not leave an empty room
        // behind.
        let room = self.room_or_new(name);
        if known.is_some_and(|guest| self.tables.guest_seat_index(guest, room).is_some()) {
            return;
        }
        self.tables.join_guest(peer, known, room, &id, profile);
        if self.notifies(room) {
            self.output.subject = Some(id);
            if self.tables.rooms[room].has_plain_members() {
                self.output.records.push(Record::NewMember(room));
            }
            self.announce_guest(room, true, &id);
        } else {
            self.announce_count(room);
        }
    }

    pub(crate) fn guest_left(&mut self, peer: PeerKey, name: &str, id: ConnId) {
        if self.peer_tag(peer).is_none() {
            return;
        }
        // Only a guest's own peer may remove it.
        let guest = self.tables.find_guest(&id);
        let Some(guest) =
            guest.filter(|&guest| self.tables.guest_tables.guests[guest].peer == peer)
        else {
            return;
        };
        let room = self.tables.find_room(name);
        let seat = room.and_then(|room| self.tables.guest_seat_index(guest, room));
        let Some(seat) = seat else { return };
        let (room, is_closed) = self.tables.leave_guest(guest, seat);
        if self.tables.guest_tables.guests[guest].seats.is_empty() {
            self.tables.guest_tables.remove(self.tables.key, guest);
        }
        if is_closed {
            self.output.records.push(Record::RoomClosed(room));
        } else if self.notifies(room) {
            self.output.subject = Some(id);
            if self.tables.rooms[room].has_plain_members() {
                self.output.records.push(Record::MemberLeft(room));
            }
            self.announce_guest(room, false, &id);
        } else {
            self.announce_count(room);
        }
    }

    pub(crate) fn guest_count(&mut self, peer: PeerKey, name: &str, members: u32) {
        if self.peer_tag(peer).is_none() {
            return;
        }
        if name.len() > self.config.max_name {
            self.rejected_peer_inputs.long_name += 1;
            return;
        }
        // A count of 0 must not create the room.
        let room = match members {
            0 => self.tables.find_room(name),
            _ => Some(self.room_or_new(name)),
        };
        if let Some(room) = room {
            self.set_guest_count(peer, room, members);
        }
    }

    /// Sends a peer's message to a room's members on this node.
    pub(crate) fn peer_broadcast<'a>(
        &mut self,
        peer: PeerKey,
        except: Option<ConnId>,
        packet: PacketRef<'a>,
    ) -> Context<'a> {
        if self.admits(peer, &packet)
            && let Some(room) = self.tables.find_room(packet.room)
            && !self.tables.members(room).is_empty()
        {
            let except = except.and_then(|id| self.tables.find_conn(id.as_str()));
            let record = Record::Rare(RareRecord::Broadcast(room));
            self.broadcast(room, &packet, except, record);
        }
        let except = except.and_then(|id| self.tables.find_conn(id.as_str()));
        let packet = PacketRef { dst: "", ..packet };
        Context { conn: ConnKey::default(), except, packet }
    }

    /// Sends a peer's message to one connection on this node.
    pub(crate) fn peer_direct<'a>(&mut self, peer: PeerKey, packet: PacketRef<'a>) -> Context<'a> {
        if self.admits(peer, &packet) {
            match self.tables.find_conn(packet.dst) {
                Some(to) => self.output.records.push(Record::Direct(to)),
                None => self.peer_to_unknown(peer, &packet),
            }
        }
        Context { conn: ConnKey::default(), except: None, packet }
    }

    /// Handles a client's direct message to an id without a local connection. Forwards it if the id
    /// matches a peer's tag.
    #[cold]
    pub(crate) fn forward_packet(
        &mut self,
        conn: ConnKey,
        dst: &str,
        authorization: Authorization,
    ) -> Result<(), RejectReason> {
        self.check_remote(conn, dst)?;
        if self.config.authorize_direct && authorization == Authorization::Required {
            self.output.records.push(Record::Authorize(Permission::Direct));
        } else {
            self.forward(dst);
        }
        Ok(())
    }

    /// Checks whether a client may send to an id on another node.
    #[cold]
    pub(crate) fn check_remote(&self, conn: ConnKey, dst: &str) -> Result<(), RejectReason> {
        if self.tables.peer_of(dst).is_none() {
            return Err(RejectReason::UnknownDst);
        }
        if self.config.shared_room_only {
            let guest = ConnId::parse(dst).and_then(|id| self.tables.find_guest(&id));
            // The guest may have just left its last room with full presence.
            let guest = guest.ok_or(RejectReason::UnknownDst)?;
            let root = self.tables.find_room(ROOT);
            if !self.tables.share_room_with_guest(conn, guest, root) {
                return Err(RejectReason::NoSharedRoom);
            }
        }
        Ok(())
    }

    /// Forwards a direct message to the peers whose tag matches its `dst`.
    #[cold]
    pub(crate) fn forward(&mut self, dst: &str) {
        let peers = self.tables.guest_tables.peers_of(dst);
        self.output.records.extend(peers.map(|peer| Record::Rare(RareRecord::Forward(peer))));
    }

    /// Checks a peer's message against the rules for peers, and makes its sender the subject.
    /// Returns true if the message is accepted.
    fn admits(&mut self, peer: PeerKey, packet: &PacketRef<'_>) -> bool {
        let Some(tag) = self.peer_tag(peer) else { return false };
        if is_built_in(packet.event) {
            self.rejected_peer_inputs.built_in += 1;
            return false;
        }
        // Messages from the server itself have no sender.
        if packet.src.is_empty() {
            return true;
        }
        self.output.subject = ConnId::parse(packet.src).filter(|&id| tag_of(id) == tag);
        if self.output.subject.is_none() {
            self.rejected_peer_inputs.foreign_id += 1;
        }
        self.output.subject.is_some()
    }

    /// Returns a peer's tag. Counts a rejected input if the peer is not up.
    fn peer_tag(&mut self, peer: PeerKey) -> Option<[u8; 4]> {
        let tag = self.tables.guest_tables.tag(peer);
        self.rejected_peer_inputs.wrong_peer += u64::from(tag.is_none());
        tag
    }

    /// Returns the room with this name, creating it if necessary.
    fn room_or_new(&mut self, name: &str) -> RoomKey {
        match self.tables.find_room(name) {
            Some(room) => room,
            None => self.tables.insert_room(name, self.presence_of(name)),
        }
    }

    fn set_guest_count(&mut self, peer: PeerKey, room: RoomKey, members: u32) {
        let before = self.tables.rooms[room].member_count();
        if self.tables.set_guest_count(peer, room, members) {
            self.output.records.push(Record::RoomClosed(room));
        } else if self.tables.rooms[room].member_count() != before {
            self.announce_count(room);
        }
    }

    /// Returns true if the room has members on this node who are notified of joins and leaves.
    pub(crate) fn notifies(&self, room: RoomKey) -> bool {
        let room = &self.tables.rooms[room];
        room.has_full_presence() && !room.members().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::hash::HashKey;

    #[test]
    fn output_of_removed_peer_is_released_with_next_input() {
        let mut hub = Hub::new(Config::default(), HashKey([7; 16]));
        let peer = PeerKey::new(0);
        let mut count = |input| hub.handle(Duration::ZERO, input).count();
        let id = |number: u16| {
            let mut bytes = [0; 16];
            bytes[14..].copy_from_slice(&number.to_be_bytes());
            ConnId::from_random_bytes(bytes)
        };
        count(Input::PeerUp { peer, tag: [0; 4] });
        count(Input::Open { id: ConnId::from_random_bytes([1; 16]), extended: false });
        for number in 0..1_000 {
            assert_eq!(
                count(Input::GuestJoined { peer, room: ROOT, id: id(number), profile: None }),
                1
            );
        }
        assert_eq!(count(Input::PeerGone { peer }), 1_000);
        assert_eq!(count(Input::PeerUp { peer, tag: [0; 4] }), 0);
        assert_eq!(hub.output.subjects.capacity(), 0);
        assert!(hub.output.records.capacity() < 100, "{}", hub.output.records.capacity());
    }
}

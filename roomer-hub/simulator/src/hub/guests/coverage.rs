//! Coverage of the plans with peers: marks for the situations that runs must reach.

use roomer_hub::Presence;
use roomer_proto::PacketRef;

use super::marks::{Mark, Marks};
use super::model::Peers;
use super::op::{PEERS, PeerOp};
use crate::alphabet::{IDS, id_number, identity, tag_of};
use crate::hub::checker::Checker;
use crate::hub::model::{Model, Room};
use crate::hub::op::{Effect, IdSet, Op};

/// The number of members in a complete chunk of a snapshot.
const CHUNK_MEMBERS: usize = 100;

#[derive(Debug, Default)]
pub struct GuestCoverage {
    pub marks: Marks,
    /// For each peer, the tag with which it was last connected.
    last_tags: [Option<u8>; PEERS],
    /// The guests whose peers have been removed.
    lost: IdSet,
    /// The guests that have been in three rooms.
    well_travelled: IdSet,
    // The state before the current input.
    before: Before,
}

#[derive(Debug, Default)]
struct Before {
    tag: Option<u8>,
    /// The guests of the input's peer, each listed once.
    guests: IdSet,
    /// The number of rooms for which the input's peer has reported counts.
    counts: usize,
    /// True if one of the peer's rooms also contains guests of another peer.
    is_shared: bool,
    /// True if the room of the input exists.
    exists: bool,
    has_members: bool,
    had_guests: bool,
    count: u32,
    /// True if the guest of the input was in the room.
    was_in: bool,
    rejected: roomer_hub::RejectedPeerInputs,
    unknown_dst: u64,
    no_shared_room: u64,
}

impl GuestCoverage {
    /// Saves the state before an input.
    pub fn before(&mut self, checker: &Checker, op: Op) {
        let model = &checker.model;
        let mut before = Before {
            rejected: model.peers.rejected,
            unknown_dst: model.rejected_packets.unknown_dst,
            no_shared_room: model.rejected_packets.no_shared_room,
            ..Before::default()
        };
        let name = match op {
            Op::Peer { op, .. } => match op {
                PeerOp::Joined { room, .. }
                | PeerOp::Left { room, .. }
                | PeerOp::Count { room, .. } => room,
                PeerOp::Broadcast { packet, .. } => packet.room,
                _ => "",
            },
            Op::Leave { room, .. } | Op::Join { room, .. } => room,
            Op::Packet { packet, .. } => packet.room,
            _ => "",
        };
        if let Some(room) = model.room(name) {
            (before.exists, before.has_members) = (true, !room.members.is_empty());
            before.had_guests = !room.abroad.is_empty();
        }
        if let Op::Peer { peer, op } = op {
            let index = usize::from(peer);
            before.tag = model.peers.tags[index];
            let room = model.room(name);
            before.count = room.map_or(0, |room| room.abroad.counts[index]);
            if let PeerOp::Joined { guest, .. } | PeerOp::Left { guest, .. } = op {
                before.was_in = room.is_some_and(|room| room.abroad.ids().contains(guest));
            }
            for room in model.rooms.iter().filter(|room| room.abroad.peers().contains(peer)) {
                let own = room.abroad.guests.iter().filter(|guest| guest.0 == peer);
                own.for_each(|guest| _ = before.guests.insert(guest.1));
                before.counts += usize::from(room.abroad.counts[index] > 0);
                before.is_shared |= room.abroad.guests.iter().any(|guest| guest.0 != peer);
            }
        }
        self.before = before;
    }

    /// Marks the situations with peers that an input and its effects show.
    pub fn after(&mut self, checker: &Checker, op: Op) {
        let model = &checker.model;
        for effect in &model.effects {
            self.effect(model, op, effect);
        }
        match op {
            Op::Peer { peer, op } => self.peer(model, peer, op),
            Op::Open { id } => {
                let is_rejected = matches!(model.effects.first(), Some(Effect::Rejected));
                self.set(is_rejected && model.peer_of_guest(id).is_some(), Mark::IdOfGuest);
                self.set(!is_rejected && usize::from(id) >= IDS, Mark::IdWithTag);
            }
            Op::Packet { client, packet } => self.packet(model, client, packet),
            Op::Allowed { packet, .. } => {
                let is_forwarded = matches!(model.effects.first(), Some(Effect::Forward { .. }));
                self.set(is_forwarded && !packet.dst.is_empty(), Mark::Allowed);
            }
            Op::Send { .. } => {
                let is_forwarded = matches!(model.effects.first(), Some(Effect::Forward { .. }));
                self.set(is_forwarded, Mark::ForwardedByServer);
            }
            Op::Broadcast { from, except_guest, room, .. } => {
                let peers = model.room(room).map_or(0, |room| room.abroad.peers().len());
                let is_sent = !model.effects.is_empty();
                self.set(is_sent && peers > 0 && from.is_none(), Mark::ServersToPeer);
                self.set(is_sent && peers > 0 && except_guest.is_some(), Mark::ExceptGuest);
                self.set(is_sent && peers == 0 && except_guest.is_some(), Mark::ExceptGuestNoPeer);
            }
            Op::Gone { .. } | Op::Close { .. } => {
                let remains = |room: &Room| !room.abroad.is_empty();
                let left = model.effects.iter().filter_map(|effect| match effect {
                    Effect::Left { name, .. } => model.room(name),
                    _ => None,
                });
                let kept = left.filter(|room| remains(room)).count() > 0;
                self.set(kept, Mark::ClosedWithGuests);
            }
            _ => {}
        }
    }

    fn effect(&mut self, model: &Model, op: Op, effect: &Effect) {
        match *effect {
            Effect::Left { name, .. } => {
                let room = model.room(name).filter(|room| room.members.is_empty());
                let has_guests = room.is_some_and(|room| !room.abroad.guests.is_empty());
                let has_counts = room.is_some_and(|room| room.abroad.counts != [0; PEERS]);
                self.set(has_guests, Mark::KeptByGuest);
                self.set(has_counts && !has_guests, Mark::KeptByCount);
            }
            Effect::RoomClosed { .. } => {
                let by = match op {
                    Op::Peer { op: PeerOp::Left { .. }, .. } => Mark::ClosedByGuest,
                    Op::Peer { op: PeerOp::Count { .. }, .. } => Mark::ClosedByCount,
                    Op::Peer { .. } => Mark::ClosedByPeer,
                    _ => Mark::ClosedByMember,
                };
                self.marks.mark(true, by);
            }
            Effect::JoinAck { room, presence, members, count, .. } => {
                let Some(entry) = model.room(room).filter(|room| !room.abroad.is_empty()) else {
                    return;
                };
                let guests = entry.abroad.guests.len();
                let is_full = presence == Presence::Full;
                self.set(presence == Presence::Count, Mark::Counted);
                self.set(presence == Presence::Count && guests > 0, Mark::CountedGuests);
                self.set(presence == Presence::Off, Mark::ShownAlone);
                self.set(is_full && guests > 0 && members.len() as u64 <= count, Mark::TwoRuns);
                self.set(is_full && guests == CHUNK_MEMBERS, Mark::PageFull);
                self.set(is_full && guests == CHUNK_MEMBERS + 1, Mark::PageNew);
                self.set(count > u64::from(u32::MAX), Mark::CountLarge);
                let is_join = |effect: &Effect| matches!(effect, Effect::Joined { room, .. } if *room == entry.number);
                let is_new = model.effects.iter().any(is_join);
                self.set(!is_new, Mark::RejoinWithGuests);
            }
            Effect::Broadcast { to, peers, .. } if matches!(op, Op::Packet { .. }) => {
                self.set(!peers.is_empty(), Mark::ToPeer);
                self.set(peers.len() == 2, Mark::ToTwoPeers);
                self.set(to.is_empty(), Mark::AbroadAlone);
                let anywhere = model.rooms.iter().any(|room| !room.abroad.is_empty());
                self.set(peers.is_empty() && anywhere, Mark::NotToThePeer);
            }
            _ => {}
        }
    }

    fn peer(&mut self, model: &Model, peer: u8, op: PeerOp) {
        let (before, rejected) = (std::mem::take(&mut self.before), model.peers.rejected);
        let index = usize::from(peer);
        if rejected.wrong_peer > before.rejected.wrong_peer {
            let mark = match op {
                PeerOp::Up { .. } => Mark::UpTwice,
                _ if self.last_tags[index].is_none() => Mark::NotUp,
                _ => Mark::StalePeer,
            };
            return self.set(true, mark);
        }
        self.peer_rejection(model, op, &before);
        let is_duplicate = rejected.duplicate_id > before.rejected.duplicate_id;
        match op {
            PeerOp::Up { tag } => {
                let is_other = self.last_tags[index].is_some_and(|last| last != tag);
                self.set(is_other, Mark::OtherTag);
                self.last_tags[index] = Some(tag);
            }
            PeerOp::Gone => {
                self.set(before.guests.len() >= 10, Mark::GoneWithMany);
                self.set(before.counts > 0, Mark::GoneWithCount);
                self.set(before.guests.is_empty() && before.counts == 0, Mark::GoneWithNothing);
                self.set(before.is_shared, Mark::GoneFromShared);
                self.lost = before.guests;
            }
            PeerOp::Joined { guest, .. } if is_duplicate => {
                let is_connected = model.find(&identity(guest).text).is_some();
                let id = if is_connected { Mark::IdOfConnection } else { Mark::IdOfOtherPeer };
                self.set(true, id);
            }
            PeerOp::Joined { room, guest } if model.peer_of_guest(guest) == Some(peer) => {
                self.joined(model, room, guest, &before);
            }
            PeerOp::Left { guest, .. } => {
                let owner = model.peer_of_guest(guest);
                self.set(!before.was_in, Mark::LeavesNowhere);
                self.set(owner.is_some_and(|owner| owner != peer), Mark::OthersGuestLeaves);
                let is_back = model.rooms_of_guest(guest) == 1;
                self.set(is_back && self.well_travelled.contains(guest), Mark::BackToOneRoom);
            }
            PeerOp::Count { members, .. } => {
                self.set(members > 0 && !before.exists, Mark::RoomByCount);
                self.set(members == 0 && before.count > 0, Mark::CountZero);
                self.set(members == 0 && !before.exists, Mark::CountZeroNowhere);
            }
            PeerOp::Broadcast { except, packet } => {
                self.peer_broadcast(model, except, packet, &before);
            }
            PeerOp::Direct { .. } => self.set(!model.effects.is_empty(), Mark::Direct),
            PeerOp::Joined { .. } => {}
        }
    }

    /// Marks the reason for which an input about a peer was rejected, if it was.
    fn peer_rejection(&mut self, model: &Model, op: PeerOp, before: &Before) {
        let rejected = model.peers.rejected;
        self.set(
            rejected.foreign_id > before.rejected.foreign_id,
            match op {
                PeerOp::Broadcast { packet, .. } | PeerOp::Direct { packet }
                    if id_number(packet.src.as_bytes()).is_none() =>
                {
                    Mark::MalformedSrc
                }
                PeerOp::Joined { .. } => Mark::ForeignGuest,
                _ => Mark::ForeignSrc,
            },
        );
        self.set(rejected.built_in > before.rejected.built_in, Mark::BuiltIn);
        self.set(rejected.long_name > before.rejected.long_name, Mark::LongName);
        self.set(rejected.unknown_dst > before.rejected.unknown_dst, Mark::DirectUnknown);
    }

    fn joined(&mut self, model: &Model, room: &str, guest: u16, before: &Before) {
        let rooms = model.rooms_of_guest(guest);
        self.set(!model.effects.is_empty(), Mark::Announced);
        self.set(before.was_in, Mark::AlreadyThere);
        self.set(rooms == 2, Mark::SecondRoom);
        self.set(rooms == 3, Mark::ThirdRoom);
        self.set(!before.exists, Mark::RoomByGuest);
        self.set(room.len() == model.config.max_name, Mark::NameAtLimit);
        self.set(self.lost.contains(guest), Mark::Returned);
        if rooms >= 3 {
            self.well_travelled.insert(guest);
        }
    }

    fn peer_broadcast(
        &mut self,
        model: &Model,
        except: Option<u16>,
        packet: PacketRef<'_>,
        before: &Before,
    ) {
        if model.peers.rejected != before.rejected {
            return;
        }
        let is_received = !model.effects.is_empty();
        let src = id_number(packet.src.as_bytes());
        let room = model.room(packet.room);
        let is_guest =
            src.is_some_and(|src| room.is_some_and(|room| room.abroad.ids().contains(src)));
        self.set(is_received, Mark::FromPeer);
        self.set(!is_received && before.exists && !before.has_members, Mark::FromPeerToNone);
        self.set(is_received && src.is_some() && !is_guest, Mark::FromStranger);
        self.set(is_received && src.is_none(), Mark::FromPeersServer);
        let left_out = except.map(|id| model.find(&identity(id).text));
        let is_member = |client: u16| model.is_in(client, packet.room);
        self.set(is_received && left_out.flatten().is_some_and(is_member), Mark::FromPeerExcept);
        self.set(is_received && left_out == Some(None), Mark::FromPeerExceptUnknown);
        let is_handled = model.handlers.contains(&packet.event);
        self.set(is_received && is_handled, Mark::FromPeerHandled);
    }

    /// Marks the situations of a client's direct message to a guest.
    fn packet(&mut self, model: &Model, client: u16, packet: PacketRef<'_>) {
        if packet.dst.is_empty() || matches!(packet.event, "join" | "leave") {
            return;
        }
        let before = std::mem::take(&mut self.before);
        let is_unknown = model.rejected_packets.unknown_dst > before.unknown_dst;
        let is_unshared = model.rejected_packets.no_shared_room > before.no_shared_room;
        let Some(id) = id_number(packet.dst.as_bytes()) else {
            let is_tagged = packet.dst.starts_with("b0b0b0") || packet.dst.starts_with("B0B0B0");
            return self.set(is_unknown && is_tagged, Mark::MalformedTagged);
        };
        let Some(tag) = tag_of(id) else { return };
        let (is_guest, only) = (model.peer_of_guest(id).is_some(), model.shared_room_only);
        let Peers { tags, .. } = &model.peers;
        let has_peer = tags.contains(&Some(tag));
        match model.effects[..] {
            [Effect::Forward { .. }, ref rest @ ..] => {
                self.set(is_guest, Mark::Forwarded);
                self.set(!is_guest, Mark::ForwardedUnknown);
                self.set(!rest.is_empty(), Mark::ForwardedTwice);
                self.set(only, Mark::SharedWithGuest);
            }
            [Effect::Authorize { .. }] => self.set(model.find(packet.dst).is_none(), Mark::Asked),
            [Effect::Send { .. }] => self.set(has_peer, Mark::LocalWithTag),
            _ => {
                self.set(is_unknown && !has_peer, Mark::NotForwarded);
                self.set(is_unknown && has_peer && only, Mark::UnseenGuest);
                self.set(is_unshared && is_guest, Mark::NotSharedWithGuest);
                let both =
                    |room: &Room| room.members.contains(&client) && room.abroad.ids().contains(id);
                let share_root = model.room("root").is_some_and(both);
                self.set(is_unshared && is_guest && share_root, Mark::OnlyRootShared);
            }
        }
    }

    fn set(&mut self, condition: bool, mark: Mark) {
        self.marks.mark(condition, mark);
    }
}

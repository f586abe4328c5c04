//! Coverage of the hub plans: each mark is set when a run reaches the situation that it names.

use roomer_hub::{ConnKey, Presence, RejectedPackets};
use roomer_proto::PacketRef;

use super::checker::Checker;
use super::marks::{Mark, Marks};
use super::model::Model;
use super::op::{Effect, Op};
use super::token_bucket::Quota;
use crate::alphabet::{ROOMS, id_number, room_number};

/// The number of members in a complete chunk of a snapshot.
const CHUNK_MEMBERS: u32 = 100;

#[derive(Debug, Default)]
pub struct Coverage {
    pub marks: Marks,
    /// For each room by its number, the index of its name.
    names: Vec<u8>,
    /// The names of rooms that have closed, as a bit set.
    closed: u32,
    /// The names of rooms that closed in the last input, as a bit set.
    just_closed: u32,
    /// The slot that the last input has freed in the hub's connection table.
    freed: Option<u32>,
    emptied: bool,
    /// True if no time has passed since a connection was last opened.
    opened_now: bool,
    // The following fields describe the state before the current input.
    was_in: bool,
    rooms_before: usize,
    ids_before: usize,
    rejected_before: RejectedPackets,
    /// For each of the sender's four token buckets, true if it was empty.
    empty_before: [bool; 4],
}

impl Coverage {
    pub fn clock(&mut self, millis: i64) {
        self.marks.mark(millis < 0, Mark::ClockBack);
        self.opened_now &= millis == 0;
    }

    /// Marks the situation of a handler's command, before the command is executed.
    pub fn command(&mut self, model: &Model, op: Op, caller: u16, packet: &PacketRef<'_>) {
        let is_connected = model.is_connected(caller);
        match op {
            Op::Close { client, .. } if client == caller => {
                self.marks.mark(is_connected, Mark::HandlerClosesCaller);
            }
            Op::Close { client, .. } => {
                self.marks.mark(model.is_in(client, packet.room), Mark::HandlerClosesOther);
            }
            Op::Broadcast { from, event, .. } => {
                self.marks.mark(is_connected, Mark::HandlerBroadcasts);
                self.marks.mark(event == packet.event, Mark::HandlerCallsItself);
                self.marks.mark(from == Some(caller) && !is_connected, Mark::HandlerActsAfterClose);
            }
            Op::Join { client, .. } | Op::Leave { client, .. } if client == caller => {
                self.marks.mark(is_connected, Mark::HandlerMovesCaller);
                self.marks.mark(!is_connected, Mark::HandlerActsAfterClose);
            }
            _ => {}
        }
    }

    /// Marks the situation in which the application decides on a packet, before the decision is
    /// passed to the hub.
    pub fn answer(&mut self, is_connected: bool, is_allowed: bool, is_join: bool) {
        self.marks.mark(!is_connected, Mark::AnswerTooLate);
        self.marks.mark(is_connected && is_allowed, Mark::AskedAndAllowed);
        self.marks.mark(is_connected && !is_allowed, Mark::AskedAndDenied);
        self.marks.mark(is_connected && !is_allowed && is_join, Mark::JoinDenied);
    }

    /// Saves the state before an input.
    pub fn before(&mut self, checker: &Checker, op: Op) {
        let model = &checker.model;
        let (client, room) = match op {
            Op::Packet { client, packet }
            | Op::Allowed { client, packet }
            | Op::Denied { client, packet } => (Some(client), packet.room),
            Op::Join { client, room } | Op::Leave { client, room } => (Some(client), room),
            Op::Broadcast { from, room, .. } => (from, room),
            Op::Gone { client } | Op::Close { client, .. } => (Some(client), ""),
            Op::Send { from, .. } => (from, ""),
            Op::Open { .. } | Op::Peer { .. } => (None, ""),
        };
        if let Some(client) = client {
            self.rooms_before = model.rooms_of(client);
            self.was_in = model.is_in(client, room);
            self.rejected_before = model.rejected_packets;
            self.empty_before = model.clients[usize::from(client)]
                .buckets
                .map(|bucket| bucket.is_some_and(|bucket| bucket.is_empty()));
            if !model.is_connected(client) {
                self.marks.mark(true, Mark::Stale);
                self.marks.mark(matches!(op, Op::Gone { .. }), Mark::GoneTwice);
                // A stale key is interesting only if another connection now has its slot.
                let place = place(checker.keys[usize::from(client)]);
                let here = checker.keys.iter().enumerate().skip(usize::from(client));
                let mut here = here.filter(|(client, _)| model.is_connected(*client as u16));
                self.marks.mark(here.any(|(_, key)| self::place(*key) == place), Mark::StaleReused);
            }
        }
        if let Op::Open { .. } = op {
            self.ids_before = model.clients.len();
        }
    }

    /// Marks the situations that an input and its effects show.
    pub fn after(&mut self, checker: &Checker, op: Op) {
        let closes = self.effects(checker);
        self.input(checker, op, closes);
        self.limits(&checker.model, op);
        let counts = &checker.model.rejected_packets;
        for (count, mark) in [
            (counts.no_shared_room, Mark::NoSharedRoom),
            (counts.reserved, Mark::Reserved),
            (counts.not_member, Mark::NotMember),
            (counts.long_name, Mark::LongName),
            (counts.too_many_rooms, Mark::TooManyRooms),
            (counts.unknown_dst, Mark::UnknownDst),
        ] {
            self.marks.mark(count > 0, mark);
        }
    }

    /// Marks the situations shown by the effects of the last input. Returns true if a room has
    /// closed.
    fn effects(&mut self, checker: &Checker) -> bool {
        let model = &checker.model;
        let just_closed = std::mem::take(&mut self.just_closed);
        let freed = self.freed.take();
        let mut closes = false;
        for effect in &model.effects {
            match *effect {
                Effect::Rejected => self.marks.mark(true, Mark::IdInUse),
                Effect::Opened { client } => self.opened(checker, client, freed),
                Effect::Joined { client, room, .. } if room as usize == self.names.len() => {
                    let name = model.rooms.iter().find(|known| known.number == room);
                    self.room_created(model, name.map_or("", |room| room.name), just_closed);
                    self.marks
                        .mark(model.rooms_of(client) == model.config.max_rooms, Mark::RoomsAtLimit);
                }
                Effect::Joined { client, .. } => {
                    self.marks
                        .mark(model.rooms_of(client) == model.config.max_rooms, Mark::RoomsAtLimit);
                }
                Effect::RoomClosed { room } => {
                    closes = true;
                    self.just_closed |= 1 << self.names[room as usize];
                }
                Effect::JoinAck { presence, members, .. } => {
                    self.marks.mark(presence == Presence::Off, Mark::SelfOnly);
                    self.marks.mark(presence == Presence::Count, Mark::Counted);
                    if presence == Presence::Full {
                        self.snapshot(members.len());
                    }
                }
                Effect::Broadcast { to, packet, .. } if !packet.src.is_empty() => {
                    self.marks.mark(to.len() >= 4, Mark::BroadcastToFour);
                }
                _ => {}
            }
        }
        self.closed |= self.just_closed;
        closes
    }

    /// Marks the situations in which an input occurs. `closes` is true if its effects close a room.
    fn input(&mut self, checker: &Checker, op: Op, closes: bool) {
        let model = &checker.model;
        let expected = &model.effects[..];
        match op {
            Op::Packet { client, .. } | Op::Allowed { client, .. }
                if matches!(expected.last(), Some(Effect::Close { .. })) =>
            {
                self.marks.mark(self.rooms_before >= 3, Mark::LimitedInThree);
                self.ended(checker, client);
            }
            Op::Packet { client, packet } if model.is_connected(client) => {
                self.packet(model, client, packet, expected)
            }
            Op::Join { room, .. } => self.join(model, room, expected),
            Op::Leave { client, room } => self.leave(model, client, room, expected),
            Op::Gone { client } => {
                self.marks.mark(closes, Mark::GoneEmptiesRoom);
                self.marks.mark(self.rooms_before >= 3, Mark::GoneFromThree);
                self.ended(checker, client);
            }
            Op::Close { client, .. } if !expected.is_empty() => {
                self.marks.mark(closes, Mark::CloseEmptiesRoom);
                self.marks.mark(self.rooms_before >= 3, Mark::CloseFromThree);
                self.ended(checker, client);
            }
            Op::Broadcast { from, room, .. } => {
                self.marks.mark(from.is_none() && !expected.is_empty(), Mark::CommandFromServer);
                self.marks.mark(model.room(room).is_none(), Mark::CommandNowhere);
                let is_foreign = from.is_some() && !self.was_in && !expected.is_empty();
                self.marks.mark(is_foreign, Mark::ForeignCommand);
            }
            _ => {}
        }
    }

    /// Marks the situations in which rates and violations count.
    fn limits(&mut self, model: &Model, op: Op) {
        for withdrawal in &model.withdrawals {
            let (over, last) = match withdrawal.of {
                Quota::Messages => (Mark::TooManyMessages, Mark::LastMessage),
                Quota::Bytes => (Mark::TooManyBytes, Mark::LastByte),
                Quota::Joins => (Mark::TooManyJoins, Mark::LastJoin),
                Quota::Violations => (Mark::TooManyViolations, Mark::LastViolation),
            };
            let (misses_part, misses_one) = withdrawal.is_close();
            self.marks.mark(!withdrawal.is_granted(), over);
            self.marks.mark(withdrawal.is_exact, last);
            self.marks.mark(misses_one && withdrawal.of == Quota::Bytes, Mark::OneByteOver);
            self.marks.mark(misses_part, Mark::TooEarly);
            self.marks.mark(withdrawal.by_refill, Mark::PassesByTime);
            self.marks.mark(withdrawal.overflowed, Mark::Overflows);
            self.marks.mark(withdrawal.clock_went_back, Mark::FilledByClock);
        }
        let is_rejected = model.rejected_packets != self.rejected_before;
        let was_empty = |supply: Quota| self.empty_before[supply as usize];
        let (rate_empty, violations_empty) =
            (was_empty(Quota::Messages), was_empty(Quota::Violations));
        match op {
            Op::Allowed { .. } => {
                self.marks
                    .mark(rate_empty && !model.effects.is_empty(), Mark::AllowedWithoutTokens);
                self.marks.mark(is_rejected, Mark::RejectedAfterAllow);
                let parted =
                    model.rejected_packets.no_shared_room > self.rejected_before.no_shared_room;
                self.marks.mark(parted, Mark::PartedWhileWaiting);
            }
            Op::Packet { .. } => {
                let (before, after) = (&self.rejected_before, &model.rejected_packets);
                for (has_crossed, mark) in [
                    (after.unknown_dst > before.unknown_dst, Mark::UnknownDstIsNoViolation),
                    (after.not_member > before.not_member, Mark::NotMemberIsNoViolation),
                    (after.no_shared_room > before.no_shared_room, Mark::PartedIsNoViolation),
                    (after.too_many_rooms > before.too_many_rooms, Mark::FullIsNoViolation),
                ] {
                    self.marks.mark(has_crossed && violations_empty, mark);
                }
            }
            Op::Join { .. } => {
                self.marks.mark(is_rejected && violations_empty, Mark::CommandIsNoViolation);
            }
            _ => {}
        }
    }

    /// Marks the situations of a direct message in `shared_room_only` mode.
    fn direct_with_shared_room(&mut self, model: &Model, client: u16, to: u16, passes: bool) {
        let is_common = model.share_room(client, to);
        self.marks.mark(passes && is_common && client != to, Mark::ToRoommate);
        self.marks.mark(passes && !is_common && client == to, Mark::ToSelfWithoutRoom);
        let in_root = model.is_in(client, "root") && model.is_in(to, "root");
        let is_rejected =
            model.rejected_packets.no_shared_room > self.rejected_before.no_shared_room;
        self.marks.mark(is_rejected && in_root, Mark::OnlyRootShared);
    }

    fn opened(&mut self, checker: &Checker, client: u16, freed: Option<u32>) {
        let model = &checker.model;
        let (id, key) = (model.clients[usize::from(client)].id, checker.keys[usize::from(client)]);
        let earlier = &model.clients[..self.ids_before];
        self.marks.mark(earlier.iter().any(|client| client.id == id), Mark::IdAgain);
        self.marks.mark(freed == Some(place(key)), Mark::SlotReused);
        self.marks.mark(self.emptied, Mark::Emptied);
        self.marks.mark(self.opened_now, Mark::ClockStands);
        self.marks.mark(model.rooms_of(client) == 0, Mark::RootRejected);
        (self.opened_now, self.emptied) = (true, false);
    }

    fn ended(&mut self, checker: &Checker, client: u16) {
        self.freed = Some(place(checker.keys[usize::from(client)]));
        self.emptied = checker.model.clients.iter().all(|client| !client.is_connected);
        self.marks.mark(self.rooms_before == 0, Mark::GoneFromNoRoom);
    }

    fn room_created(&mut self, model: &Model, name: &str, just_closed: u32) {
        let number = room_number(name).unwrap_or_default();
        self.names.push(number);
        self.marks.mark(self.closed & 1 << number != 0, Mark::RoomRecreated);
        self.marks.mark(just_closed & 1 << number != 0, Mark::RecreatedAtOnce);
        self.marks.mark(name.is_empty(), Mark::EmptyRoomName);
        let others = || model.rooms.iter().map(|room| room.name).filter(|other| *other != name);
        let is_begun = others().any(|other| !other.is_empty() && name.starts_with(other));
        self.marks.mark(is_begun, Mark::Prefixes);
        self.marks.mark(others().any(|other| other.eq_ignore_ascii_case(name)), Mark::CasesDiffer);
        self.marks.mark(name.len() == model.config.max_name, Mark::NameAtLimit);
    }

    fn snapshot(&mut self, members: u32) {
        self.marks.mark(members >= 5, Mark::Crowded);
        self.marks.mark(members == CHUNK_MEMBERS, Mark::PageFull);
        self.marks.mark(members == CHUNK_MEMBERS + 1, Mark::PageNew);
        self.marks.mark(members > 2 * CHUNK_MEMBERS, Mark::TwoPages);
    }

    fn packet(&mut self, model: &Model, client: u16, packet: PacketRef<'_>, expected: &[Effect]) {
        match packet.event {
            "join" => return self.join(model, packet.room, expected),
            "leave" => return self.leave(model, client, packet.room, expected),
            _ => {}
        }
        if model.shared_room_only
            && let Some(to) = model.find(packet.dst)
        {
            self.direct_with_shared_room(model, client, to, !expected.is_empty());
        }
        let limit = model.config.max_name;
        let own = model.clients[usize::from(client)].id;
        self.marks.mark(packet.event.len() == limit + 1, Mark::EventOverLimit);
        let is_upper = packet.dst.as_bytes().first() == Some(&b'A');
        self.marks.mark(is_upper && expected.is_empty(), Mark::WrongCase);
        let is_forged = !packet.src.is_empty() && id_number(packet.src.as_bytes()) != Some(own);
        self.marks.mark(is_forged && !expected.is_empty(), Mark::ForgedSource);
        let (is_in, len) = (self.was_in, packet.payload.len());
        let is_sized = matches!(len, 125 | 126 | 0xffff | 0x1_0000);
        self.marks.mark(is_sized && !expected.is_empty(), Mark::SizeOfFrame);
        self.marks.mark(len > 0x1_0000 && !expected.is_empty(), Mark::Large);
        match expected.first() {
            None => {
                self.marks.mark(is_in && packet.dst.is_empty(), Mark::BroadcastWithoutReceivers)
            }
            Some(Effect::Broadcast { .. }) => {
                self.marks.mark(!is_in, Mark::ForeignRoom);
                self.marks.mark(packet.event.is_empty(), Mark::EmptyEvent);
                self.marks.mark(packet.event.len() == limit, Mark::EventAtLimit);
            }
            Some(&Effect::Send { to, .. }) => {
                self.marks.mark(to == client, Mark::ToSelf);
                let meet = |room: &super::model::Room| room.members.contains(&to);
                let common =
                    model.rooms.iter().filter(|room| room.members.contains(&client)).any(meet);
                self.marks.mark(!common, Mark::ToNonRoommate);
                let id = model.clients[usize::from(to)].id;
                let earlier = &model.clients[..usize::from(to)];
                self.marks.mark(earlier.iter().any(|client| client.id == id), Mark::ToIdAgain);
            }
            Some(Effect::Call { .. }) => {
                self.marks.mark(true, Mark::Call);
                self.marks.mark(!is_in, Mark::CallFromOutside);
                self.marks.mark(model.room(packet.room).is_none(), Mark::CallInNoRoom);
            }
            _ => {}
        }
    }

    fn join(&mut self, model: &Model, room: &str, expected: &[Effect]) {
        match expected {
            [Effect::JoinAck { .. }, rest @ ..] => {
                self.marks.mark(true, Mark::Rejoin);
                self.marks.mark(!rest.is_empty(), Mark::RejoinAnnounced);
            }
            [Effect::Send { .. }] => {
                let is_long = room.len() > model.config.max_name;
                self.marks.mark(room.len() == model.config.max_name + 1, Mark::NameOverLimit);
                self.marks.mark(is_long, Mark::JoinRejectedForName);
                self.marks.mark(!is_long, Mark::JoinRejectedForRooms);
            }
            [Effect::Joined { .. }, ..] => {
                self.marks.mark(room == "root", Mark::RootAgain);
            }
            _ => {}
        }
    }

    fn leave(&mut self, model: &Model, client: u16, room: &str, expected: &[Effect]) {
        match expected {
            [Effect::Send { .. }] if model.room(room).is_some() => {
                self.marks.mark(true, Mark::LeaveTwice);
            }
            [Effect::Send { .. }] => self.marks.mark(true, Mark::LeaveNowhere),
            [Effect::Left { .. }, ..] => {
                self.marks.mark(room == "root" && model.is_connected(client), Mark::RootLeft);
                let left = model.room(room).map_or(0, |room| room.members.len() as u32);
                self.marks.mark(left == CHUNK_MEMBERS, Mark::PageFreed);
                self.marks.mark(left > CHUNK_MEMBERS, Mark::HoleInPage);
            }
            _ => {}
        }
    }
}

/// Returns a connection's slot in the hub's table, which is the lower half of the connection's key.
fn place(key: ConnKey) -> u32 {
    key.as_u64() as u32
}

const _: () = assert!(ROOMS.len() <= 32);

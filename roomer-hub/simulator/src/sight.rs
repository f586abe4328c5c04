//! Watches a run for the situations that plans have to get into.

use roomer_hub::{ConnKey, Presence, RejectedPackets};
use roomer_proto::PacketRef;
use slotmap::Key;

use super::bucket::Supply;
use super::judge::Bench;
use super::marks::{Mark, Seen};
use super::model::Model;
use super::names::{ROOMS, id_number, room_number};
use super::op::{Effect, Op};

/// Members of a full page of a snapshot.
const PAGE: u32 = 100;

#[derive(Debug, Default)]
pub struct Sight {
    pub seen: Seen,
    /// Names of rooms by number of room, as numbers of names.
    names: Vec<u8>,
    /// The names of rooms that have closed, as bits.
    closed: u32,
    /// Those of them that closed in the last input.
    just_closed: u32,
    /// The place in the hub's table that the last input freed.
    freed: Option<u32>,
    emptied: bool,
    /// No time has passed since a connection was opened.
    opened_now: bool,
    // Before an input:
    was_in: bool,
    rooms_before: usize,
    ids_before: usize,
    refused_before: RejectedPackets,
    /// Which of the sender's buckets were empty.
    spent_before: [bool; 4],
}

impl Sight {
    pub fn clock(&mut self, millis: i64) {
        self.seen.mark(millis < 0, Mark::ClockBack);
        self.opened_now &= millis == 0;
    }

    /// A handler's command, before it is carried out.
    pub fn command(&mut self, model: &Model, op: Op, caller: u16, packet: &PacketRef<'_>) {
        let is_here = model.is_here(caller);
        match op {
            Op::Close { who, .. } if who == caller => {
                self.seen.mark(is_here, Mark::HandlerClosesCaller);
            }
            Op::Close { who, .. } => {
                self.seen.mark(model.is_in(who, packet.room), Mark::HandlerClosesOther);
            }
            Op::Broadcast { from, event, .. } => {
                self.seen.mark(is_here, Mark::HandlerBroadcasts);
                self.seen.mark(event == packet.event, Mark::HandlerCallsItself);
                self.seen.mark(from == Some(caller) && !is_here, Mark::HandlerGoesOn);
            }
            Op::Join { who, .. } | Op::Leave { who, .. } if who == caller => {
                self.seen.mark(is_here, Mark::HandlerMoves);
                self.seen.mark(!is_here, Mark::HandlerGoesOn);
            }
            _ => {}
        }
    }

    /// The application's word on a packet, before the hub hears it.
    pub fn answer(&mut self, is_here: bool, is_allowed: bool, is_join: bool) {
        self.seen.mark(!is_here, Mark::AnswerTooLate);
        self.seen.mark(is_here && is_allowed, Mark::AskedAndAllowed);
        self.seen.mark(is_here && !is_allowed, Mark::AskedAndDenied);
        self.seen.mark(is_here && !is_allowed && is_join, Mark::JoinDenied);
    }

    pub fn before(&mut self, bench: &Bench, op: Op) {
        let model = &bench.model;
        let (who, room) = match op {
            Op::Packet { who, packet }
            | Op::Allowed { who, packet }
            | Op::Denied { who, packet } => (Some(who), packet.room),
            Op::Join { who, room } | Op::Leave { who, room } => (Some(who), room),
            Op::Broadcast { from, room, .. } => (from, room),
            Op::Gone { who } | Op::Close { who, .. } => (Some(who), ""),
            Op::Send { from, .. } => (from, ""),
            Op::Open { .. } => (None, ""),
        };
        if let Some(who) = who {
            self.rooms_before = model.rooms_of(who);
            self.was_in = model.is_in(who, room);
            self.refused_before = model.rejected_packets;
            self.spent_before = model.clients[usize::from(who)]
                .buckets
                .map(|bucket| bucket.is_some_and(|bucket| bucket.is_empty()));
            if !model.is_here(who) {
                self.seen.mark(true, Mark::Stale);
                self.seen.mark(matches!(op, Op::Gone { .. }), Mark::GoneTwice);
                let place = place(bench.keys[usize::from(who)]);
                let here = bench.keys.iter().enumerate().skip(usize::from(who));
                let mut here = here.filter(|(who, _)| model.is_here(*who as u16));
                self.seen.mark(here.any(|(_, key)| self::place(*key) == place), Mark::StaleReused);
            }
        }
        if let Op::Open { .. } = op {
            self.ids_before = model.clients.len();
        }
    }

    pub fn after(&mut self, bench: &Bench, op: Op) {
        let model = &bench.model;
        let due = &model.due[..];
        let just_closed = std::mem::take(&mut self.just_closed);
        let freed = self.freed.take();
        let mut closes = false;
        for effect in due {
            match *effect {
                Effect::Refused => self.seen.mark(true, Mark::IdInUse),
                Effect::Opened { who } => self.opened(bench, who, freed),
                Effect::Joined { who, room, .. } if room as usize == self.names.len() => {
                    let name = model.rooms.iter().find(|known| known.number == room);
                    self.born(model, name.map_or("", |room| room.name), just_closed);
                    self.seen
                        .mark(model.rooms_of(who) == model.config.max_rooms, Mark::RoomsAtLimit);
                }
                Effect::Joined { who, .. } => {
                    self.seen
                        .mark(model.rooms_of(who) == model.config.max_rooms, Mark::RoomsAtLimit);
                }
                Effect::RoomClosed { room } => {
                    closes = true;
                    self.just_closed |= 1 << self.names[room as usize];
                }
                Effect::JoinAck { shows, members, .. } => {
                    self.seen.mark(shows == Presence::Off, Mark::OwnAlone);
                    self.seen.mark(shows == Presence::Count, Mark::Counted);
                    if shows == Presence::Full {
                        self.snapshot(members.len());
                    }
                }
                Effect::Broadcast { to, packet, .. } if !packet.src.is_empty() => {
                    self.seen.mark(to.len() >= 4, Mark::BroadcastToFour);
                }
                _ => {}
            }
        }
        self.closed |= self.just_closed;
        match op {
            Op::Packet { who, .. } | Op::Allowed { who, .. }
                if matches!(due.last(), Some(Effect::Close { .. })) =>
            {
                self.seen.mark(self.rooms_before >= 3, Mark::ExpelledFromThree);
                self.ended(bench, who);
            }
            Op::Packet { who, packet } if model.is_here(who) => {
                self.packet(model, who, packet, due)
            }
            Op::Join { room, .. } => self.join(model, room, due),
            Op::Leave { who, room } => self.leave(model, who, room, due),
            Op::Gone { who } => {
                self.seen.mark(closes, Mark::GoneEmptiesRoom);
                self.seen.mark(self.rooms_before >= 3, Mark::GoneFromThree);
                self.ended(bench, who);
            }
            Op::Close { who, .. } if !due.is_empty() => {
                self.seen.mark(closes, Mark::CloseEmptiesRoom);
                self.seen.mark(self.rooms_before >= 3, Mark::CloseFromThree);
                self.ended(bench, who);
            }
            Op::Broadcast { from, room, .. } => {
                self.seen.mark(from.is_none() && !due.is_empty(), Mark::FromNobody);
                self.seen.mark(model.room(room).is_none(), Mark::CommandNowhere);
                let is_foreign = from.is_some() && !self.was_in && !due.is_empty();
                self.seen.mark(is_foreign, Mark::ForeignCommand);
            }
            _ => {}
        }
        self.limits(model, op);
        for (count, mark) in [
            (model.rejected_packets.no_shared_room, Mark::NoCommonRoom),
            (model.rejected_packets.reserved, Mark::Reserved),
            (model.rejected_packets.not_member, Mark::NotMember),
            (model.rejected_packets.long_name, Mark::LongName),
            (model.rejected_packets.too_many_rooms, Mark::TooManyRooms),
            (model.rejected_packets.unknown_dst, Mark::UnknownDst),
        ] {
            self.seen.mark(count > 0, mark);
        }
    }

    /// What there is to see of rates and strikes.
    fn limits(&mut self, model: &Model, op: Op) {
        for draught in &model.draughts {
            let (over, last) = match draught.of {
                Supply::Messages => (Mark::TooManyMessages, Mark::LastMessage),
                Supply::Bytes => (Mark::TooManyBytes, Mark::LastByte),
                Supply::Joins => (Mark::TooManyJoins, Mark::LastJoin),
                Supply::Strikes => (Mark::TooManyStrikes, Mark::LastStrike),
            };
            let (misses_part, misses_one) = draught.is_close();
            self.seen.mark(!draught.is_enough(), over);
            self.seen.mark(draught.is_last, last);
            self.seen.mark(misses_one && draught.of == Supply::Bytes, Mark::OneByteOver);
            self.seen.mark(misses_part, Mark::TooEarly);
            self.seen.mark(draught.by_time, Mark::PassesByTime);
            self.seen.mark(draught.ran_over, Mark::RunsOver);
            self.seen.mark(draught.by_clock, Mark::FilledByClock);
        }
        let is_refused = model.rejected_packets != self.refused_before;
        let spent = |supply: Supply| self.spent_before[supply as usize];
        let (spent_rate, spent_strikes) = (spent(Supply::Messages), spent(Supply::Strikes));
        match op {
            Op::Allowed { .. } => {
                self.seen.mark(spent_rate && !model.due.is_empty(), Mark::AllowedForFree);
                self.seen.mark(!model.draughts.is_empty(), Mark::StruckLate);
                let parted =
                    model.rejected_packets.no_shared_room > self.refused_before.no_shared_room;
                self.seen.mark(parted, Mark::PartedMeanwhile);
            }
            Op::Packet { .. } => {
                let is_unknown =
                    model.rejected_packets.unknown_dst > self.refused_before.unknown_dst;
                self.seen.mark(is_unknown && spent_strikes, Mark::SparedUnknownDst);
            }
            Op::Join { .. } => {
                self.seen.mark(is_refused && spent_strikes, Mark::SparedCommand);
            }
            _ => {}
        }
    }

    /// A direct message where there must be a common room, and whether it passes.
    fn roommates(&mut self, model: &Model, who: u16, to: u16, passes: bool) {
        let is_common = model.are_roommates(who, to);
        self.seen.mark(passes && is_common && who != to, Mark::Roommate);
        self.seen.mark(passes && !is_common && who == to, Mark::AloneToOneself);
        let in_root = model.is_in(who, "root") && model.is_in(to, "root");
        let is_refused = model.rejected_packets.no_shared_room > self.refused_before.no_shared_room;
        self.seen.mark(is_refused && in_root, Mark::RootInCommon);
    }

    fn opened(&mut self, bench: &Bench, who: u16, freed: Option<u32>) {
        let model = &bench.model;
        let (id, key) = (model.clients[usize::from(who)].id, bench.keys[usize::from(who)]);
        let earlier = &model.clients[..self.ids_before];
        self.seen.mark(earlier.iter().any(|client| client.id == id), Mark::IdAgain);
        self.seen.mark(freed == Some(place(key)), Mark::SlotReused);
        self.seen.mark(self.emptied, Mark::Emptied);
        self.seen.mark(self.opened_now, Mark::ClockStands);
        self.seen.mark(model.rooms_of(who) == 0, Mark::RootRefused);
        (self.opened_now, self.emptied) = (true, false);
    }

    fn ended(&mut self, bench: &Bench, who: u16) {
        self.freed = Some(place(bench.keys[usize::from(who)]));
        self.emptied = bench.model.clients.iter().all(|client| !client.is_here);
        self.seen.mark(self.rooms_before == 0, Mark::GoneFromNoRoom);
    }

    fn born(&mut self, model: &Model, name: &str, just_closed: u32) {
        let number = room_number(name).unwrap_or_default();
        self.names.push(number);
        self.seen.mark(self.closed & 1 << number != 0, Mark::RoomReborn);
        self.seen.mark(just_closed & 1 << number != 0, Mark::RebornAtOnce);
        self.seen.mark(name.is_empty(), Mark::EmptyRoomName);
        let others = || model.rooms.iter().map(|room| room.name).filter(|other| *other != name);
        let is_begun = others().any(|other| !other.is_empty() && name.starts_with(other));
        self.seen.mark(is_begun, Mark::Prefixes);
        self.seen.mark(others().any(|other| other.eq_ignore_ascii_case(name)), Mark::CasesDiffer);
        self.seen.mark(name.len() == model.config.max_name, Mark::NameAtLimit);
    }

    fn snapshot(&mut self, members: u32) {
        self.seen.mark(members >= 5, Mark::Crowded);
        self.seen.mark(members == PAGE, Mark::PageFull);
        self.seen.mark(members == PAGE + 1, Mark::PageNew);
        self.seen.mark(members > 2 * PAGE, Mark::TwoPages);
    }

    fn packet(&mut self, model: &Model, who: u16, packet: PacketRef<'_>, due: &[Effect]) {
        match packet.event {
            "join" => return self.join(model, packet.room, due),
            "leave" => return self.leave(model, who, packet.room, due),
            _ => {}
        }
        if model.shared_room_only
            && let Some(to) = model.find(packet.dst)
        {
            self.roommates(model, who, to, !due.is_empty());
        }
        let limit = model.config.max_name;
        let own = model.clients[usize::from(who)].id;
        self.seen.mark(packet.event.len() == limit + 1, Mark::EventOverLimit);
        let is_upper = packet.dst.as_bytes().first() == Some(&b'A');
        self.seen.mark(is_upper && due.is_empty(), Mark::WrongCase);
        let is_forged = !packet.src.is_empty() && id_number(packet.src.as_bytes()) != Some(own);
        self.seen.mark(is_forged && !due.is_empty(), Mark::ForgedSource);
        let (is_in, len) = (self.was_in, packet.payload.len());
        let is_sized = matches!(len, 125 | 126 | 0xffff | 0x1_0000);
        self.seen.mark(is_sized && !due.is_empty(), Mark::SizeOfFrame);
        self.seen.mark(len > 0x1_0000 && !due.is_empty(), Mark::Large);
        match due.first() {
            None => self.seen.mark(is_in && packet.dst.is_empty(), Mark::BroadcastToNobody),
            Some(Effect::Broadcast { .. }) => {
                self.seen.mark(!is_in, Mark::ForeignRoom);
                self.seen.mark(packet.event.is_empty(), Mark::EmptyEvent);
                self.seen.mark(packet.event.len() == limit, Mark::EventAtLimit);
            }
            Some(&Effect::Send { to, .. }) => {
                self.seen.mark(to == who, Mark::ToOneself);
                let meet = |room: &super::model::Room| room.members.contains(&to);
                let common =
                    model.rooms.iter().filter(|room| room.members.contains(&who)).any(meet);
                self.seen.mark(!common, Mark::ToStranger);
                let id = model.clients[usize::from(to)].id;
                let earlier = &model.clients[..usize::from(to)];
                self.seen.mark(earlier.iter().any(|client| client.id == id), Mark::ToIdAgain);
            }
            Some(Effect::Call { .. }) => {
                self.seen.mark(true, Mark::Call);
                self.seen.mark(!is_in, Mark::CallFromOutside);
                self.seen.mark(model.room(packet.room).is_none(), Mark::CallInNoRoom);
            }
            _ => {}
        }
    }

    fn join(&mut self, model: &Model, room: &str, due: &[Effect]) {
        match due {
            [Effect::JoinAck { .. }, rest @ ..] => {
                self.seen.mark(true, Mark::Rejoin);
                self.seen.mark(!rest.is_empty(), Mark::RejoinAnnounced);
            }
            [Effect::Send { .. }] => {
                let is_long = room.len() > model.config.max_name;
                self.seen.mark(room.len() == model.config.max_name + 1, Mark::NameOverLimit);
                self.seen.mark(is_long, Mark::JoinRefusedForName);
                self.seen.mark(!is_long, Mark::JoinRefusedForRooms);
            }
            [Effect::Joined { .. }, ..] => {
                self.seen.mark(room == "root", Mark::RootAgain);
            }
            _ => {}
        }
    }

    fn leave(&mut self, model: &Model, who: u16, room: &str, due: &[Effect]) {
        match due {
            [Effect::Send { .. }] if model.room(room).is_some() => {
                self.seen.mark(true, Mark::LeaveTwice);
            }
            [Effect::Send { .. }] => self.seen.mark(true, Mark::LeaveNowhere),
            [Effect::Left { .. }, ..] => {
                self.seen.mark(room == "root" && model.is_here(who), Mark::RootLeft);
                let left = model.room(room).map_or(0, |room| room.members.len() as u32);
                self.seen.mark(left == PAGE, Mark::PageGivenUp);
                self.seen.mark(left > PAGE, Mark::HoleInPage);
            }
            _ => {}
        }
    }
}

/// The place in the hub's table of connections: the lower half of a key.
fn place(key: ConnKey) -> u32 {
    key.data().as_ffi() as u32
}

const _: () = assert!(ROOMS.len() <= 32);

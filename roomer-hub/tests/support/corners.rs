//! The situations that plans have to get into.

use std::collections::BTreeSet;

use roomer_hub::Refusals;
use roomer_proto::{JOIN_ACK, LEAVE_ACK};

use crate::support::naive::{Effect, Letter, Step};

/// All of them.
pub(crate) const CORNERS: [&str; 18] = [
    "a broadcast to four",
    "a call",
    "a close that empties a room",
    "a close with three rooms",
    "a command on nobody's behalf",
    "a disconnect that empties a room",
    "a disconnect with three rooms",
    "a join refused",
    "a message to oneself",
    "a room born again",
    "a room of five",
    "about one who is gone",
    "an id in use",
    "refused: a long name",
    "refused: not a member",
    "refused: reserved",
    "refused: too many rooms",
    "refused: unknown dst",
];

/// Those that there have been.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) corners: BTreeSet<&'static str>,
    /// The rooms that there have been in this plan.
    rooms: BTreeSet<String>,
}

impl Seen {
    pub(crate) fn start(&mut self) {
        self.rooms.clear();
    }

    pub(crate) fn step(&mut self, step: &Step, effects: &[Effect]) {
        let rooms = effects.iter().filter(|effect| matches!(effect, Effect::Left { .. })).count();
        let empties = effects.iter().any(|effect| matches!(effect, Effect::RoomClosed { .. }));
        match step {
            Step::Gone { .. } => {
                self.mark(rooms >= 3, "a disconnect with three rooms");
                self.mark(empties, "a disconnect that empties a room");
                self.mark(effects.is_empty(), "about one who is gone");
            }
            Step::Close { .. } => {
                self.mark(rooms >= 3, "a close with three rooms");
                self.mark(empties, "a close that empties a room");
            }
            Step::Broadcast { from: None, .. } => {
                self.mark(!effects.is_empty(), "a command on nobody's behalf");
            }
            _ => {}
        }
        let joins = effects.iter().any(|effect| matches!(effect, Effect::Joined { .. }));
        for effect in effects {
            match effect {
                Effect::Refused => self.mark(true, "an id in use"),
                Effect::Call { .. } => self.mark(true, "a call"),
                Effect::Broadcast { to, .. } => self.mark(to.len() >= 4, "a broadcast to four"),
                Effect::Send { packet, .. } => self.sent(step, packet, joins),
                _ => {}
            }
        }
    }

    pub(crate) fn refusals(&mut self, refusals: Refusals) {
        self.mark(refusals.long_name > 0, "refused: a long name");
        self.mark(refusals.not_member > 0, "refused: not a member");
        self.mark(refusals.reserved > 0, "refused: reserved");
        self.mark(refusals.too_many_rooms > 0, "refused: too many rooms");
        self.mark(refusals.unknown_dst > 0, "refused: unknown dst");
    }

    fn sent(&mut self, step: &Step, packet: &Letter, joins: bool) {
        if matches!(step, Step::Send { .. }) {
            return; // which may look like anything
        }
        self.mark(packet.src == packet.dst, "a message to oneself");
        let is_join = matches!(step, Step::Packet { packet, .. } if packet.event == "join");
        self.mark(is_join && packet.event == LEAVE_ACK, "a join refused");
        if packet.event == JOIN_ACK {
            let members = packet.payload.iter().filter(|&&letter| letter == b'"').count() / 2;
            self.mark(members >= 5, "a room of five");
            let is_new = self.rooms.insert(packet.room.clone());
            self.mark(joins && members == 1 && !is_new, "a room born again");
        }
    }

    fn mark(&mut self, is_so: bool, corner: &'static str) {
        if is_so {
            self.corners.insert(corner);
        }
    }
}

//! What a client may not do, and when that is enough.

use std::time::Duration;

use roomer_proto::{JOIN, PacketRef, ROOT};

use super::Hub;
use crate::action::{Offence, Record};
use crate::config::Refusals;
use crate::keys::ConnKey;
use crate::rate::{Bucket, Rate};

/// Why a client's packet, or a join, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Reserved,
    NotMember,
    LongName,
    TooManyRooms,
    UnknownDst,
    NoCommonRoom,
}

impl Refusals {
    pub(super) fn count(&mut self, why: Refusal) {
        *match why {
            Refusal::Reserved => &mut self.reserved,
            Refusal::NotMember => &mut self.not_member,
            Refusal::LongName => &mut self.long_name,
            Refusal::TooManyRooms => &mut self.too_many_rooms,
            Refusal::UnknownDst => &mut self.unknown_dst,
            Refusal::NoCommonRoom => &mut self.no_common_room,
        } += 1;
    }
}

impl Hub {
    /// Whether a packet is within the rates of its sender, who is here. If so, it counts.
    pub(super) fn is_within_rates(
        &mut self,
        now: Duration,
        conn: ConnKey,
        packet: &PacketRef<'_>,
    ) -> bool {
        let config = self.config;
        let buckets = self.conns[conn].buckets.get_or_insert_default();
        let takes = |bucket: &mut Bucket, rate: Option<Rate>, count| {
            rate.is_none_or(|rate| bucket.take(rate, now, count))
        };
        takes(&mut buckets.messages, config.message_rate, 1)
            && takes(&mut buckets.bytes, config.byte_rate, packet.encoded_len())
            && (packet.event != JOIN || takes(&mut buckets.joins, config.join_rate, 1))
    }

    /// Counts a refusal of a client's packet, and closes who has had too many.
    pub(super) fn refuse(&mut self, now: Duration, conn: ConnKey, why: Refusal) {
        self.refusals.count(why);
        // Its receiver may just have gone: not the sender's fault.
        let Some(strikes) = self.config.strikes.filter(|_| why != Refusal::UnknownDst) else {
            return;
        };
        let buckets = self.conns[conn].buckets.get_or_insert_default();
        if !buckets.strikes.take(strikes, now, 1) {
            self.refusals.strikes += 1;
            self.expel(conn, Offence::Strikes);
        }
    }

    /// Takes a connection out of the tables and has it closed.
    pub(super) fn expel(&mut self, conn: ConnKey, offence: Offence) {
        if self.gone(conn) {
            self.records.push(Record::Expelled(offence));
        }
    }

    /// Whether one may send to the other by [`Config::roommates_only`](crate::Config).
    pub(super) fn may_reach(&self, from: ConnKey, to: ConnKey) -> bool {
        if !self.config.roommates_only || from == to {
            return true;
        }
        let root = self.room(ROOT);
        let (few, many) = match self.rooms_of(from).len() <= self.rooms_of(to).len() {
            true => (from, to),
            false => (to, from),
        };
        self.rooms_of(few).any(|room| Some(room) != root && self.is_member(many, room))
    }
}

//! What a client may not do, and when that is enough.

use std::time::Duration;

use roomer_proto::{JOIN, PacketRef, ROOT};

use super::Hub;
use crate::action::{CloseCause, Record};
use crate::config::RejectedPackets;
use crate::keys::ConnKey;
use crate::rate::{Bucket, Rate};

/// Why a client's packet, or a join, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RejectReason {
    Reserved,
    NotMember,
    LongName,
    TooManyRooms,
    UnknownDst,
    NoCommonRoom,
}

impl RejectedPackets {
    pub(super) fn count(&mut self, why: RejectReason) {
        *match why {
            RejectReason::Reserved => &mut self.reserved,
            RejectReason::NotMember => &mut self.not_member,
            RejectReason::LongName => &mut self.long_name,
            RejectReason::TooManyRooms => &mut self.too_many_rooms,
            RejectReason::UnknownDst => &mut self.unknown_dst,
            RejectReason::NoCommonRoom => &mut self.no_shared_room,
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
    pub(super) fn reject(&mut self, now: Duration, conn: ConnKey, why: RejectReason) {
        self.rejected_packets.count(why);
        // Its receiver may just have gone: not the sender's fault.
        let Some(violation_rate) =
            self.config.violation_rate.filter(|_| why != RejectReason::UnknownDst)
        else {
            return;
        };
        let buckets = self.conns[conn].buckets.get_or_insert_default();
        if !buckets.violation_rate.take(violation_rate, now, 1) {
            self.rejected_packets.violations += 1;
            self.close_for(conn, CloseCause::Strikes);
        }
    }

    /// Takes a connection out of the tables and has it closed.
    pub(super) fn close_for(&mut self, conn: ConnKey, offence: CloseCause) {
        if self.gone(conn) {
            self.records.push(Record::Expelled(offence));
        }
    }

    /// Whether one may send to the other by [`Config::shared_room_only`](crate::Config).
    pub(super) fn may_reach(&self, from: ConnKey, to: ConnKey) -> bool {
        if !self.config.shared_room_only || from == to {
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

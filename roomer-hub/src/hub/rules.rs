//! What becomes of a client's packet.

use std::time::Duration;

use roomer_proto::{JOIN, LEAVE, PacketRef, is_reserved};

use super::limits::RejectReason;
use super::{Check, Hub};
use crate::action::{CloseCause, Permission, Record};
use crate::keys::ConnKey;

impl Hub {
    /// A client's packet: within its rates it passes, unless the rules refuse it.
    pub(super) fn packet(
        &mut self,
        now: Duration,
        conn: ConnKey,
        packet: &PacketRef<'_>,
        asking: Check,
    ) {
        let Some(sender) = self.conns.get(conn) else {
            return;
        };
        self.subject = Some(sender.id);
        let is_new = asking == Check::Required;
        if self.has_rates && is_new && !self.is_within_rates(now, conn, packet) {
            self.rejected_packets.rate += 1;
            return self.close_for(conn, CloseCause::Rate);
        }
        if let Err(why) = self.pass(conn, packet, asking) {
            self.reject(now, conn, why);
        }
    }

    /// The rules of a client's packet, in the order of the Go original; the additions are the
    /// reserved events, the limits on names, the membership and the common room.
    fn pass(
        &mut self,
        conn: ConnKey,
        packet: &PacketRef<'_>,
        asking: Check,
    ) -> Result<(), RejectReason> {
        match packet.event {
            JOIN => return self.join(conn, packet.room, asking),
            LEAVE => {
                self.leave(conn, packet.room);
                return Ok(());
            }
            event if is_reserved(event) => return Err(RejectReason::Reserved),
            _ => {}
        }
        if packet.event.len().max(packet.room.len()) > self.config.max_name {
            return Err(RejectReason::LongName);
        }
        if !packet.dst.is_empty() {
            let to = self.find(packet.dst).ok_or(RejectReason::UnknownDst)?;
            if !self.may_reach(conn, to) {
                return Err(RejectReason::NoCommonRoom);
            }
            let asks = self.config.authorize_direct && asking == Check::Required;
            self.records.push(match asks {
                true => Record::Ask(Permission::Direct),
                false => Record::Direct(to),
            });
            return Ok(());
        }
        let room = self.room(packet.room);
        let is_member = room.is_some_and(|room| self.is_member(conn, room));
        if self.config.members_only && !is_member {
            return Err(RejectReason::NotMember);
        }
        if self.config.authorize_publish && asking == Check::Required {
            self.records.push(Record::Ask(Permission::Publish));
            return Ok(());
        }
        match (self.events.get(packet.event), room) {
            (Some(&handler), _) => self.records.push(Record::Call(handler)),
            (None, Some(room)) => self.records.push(Record::Broadcast(room)),
            (None, None) => {}
        }
        Ok(())
    }

    /// The application refuses what it was asked about.
    pub(super) fn denied(&mut self, conn: ConnKey, packet: &PacketRef<'_>) {
        let Some(sender) = self.conns.get(conn) else {
            return;
        };
        self.subject = Some(sender.id);
        let is_join = packet.event == JOIN;
        let room = self.room(packet.room).filter(|&room| is_join && self.is_member(conn, room));
        if let Some(room) = room {
            // The server has put it there meanwhile: "you are out" would be wrong.
            return self.acknowledge(room, self.config.announce_rejoin);
        }
        self.rejected_packets.by_application += 1;
        if is_join {
            self.records.push(Record::LeaveAck);
        }
    }
}

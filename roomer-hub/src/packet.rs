//! The rules for packets from clients, in the order in which they apply.

use std::time::Duration;

use roomer_proto::extended::{ErrorCode, Recall, is_extended};
use roomer_proto::{JOIN, LEAVE, PacketRef, ROOT, is_reserved};

use crate::hub::Hub;
use crate::keys::{ConnKey, RoomKey};
use crate::limits::{CloseReason, RejectReason};
use crate::permission::{Authorization, Permission};
use crate::record::Record;

impl Hub {
    /// Handles a packet from a client. Checks the rates first, then the rules.
    pub(crate) fn packet(
        &mut self,
        now: Duration,
        conn: ConnKey,
        packet: &PacketRef<'_>,
        authorization: Authorization,
    ) {
        if !self.set_subject(conn) {
            return;
        }
        // A packet that the application has just allowed already took its tokens when it arrived.
        let is_new = authorization == Authorization::Required;
        // Take the tokens before applying the rules so that packets rejected by the rules also
        // count.
        if self.has_rates
            && is_new
            && !self.tables.buckets_mut(conn).take_packet(&self.config, now, packet)
        {
            self.rejected.rate += 1;
            self.report_failure(now, conn, packet, (ErrorCode::Busy, "too many packets"));
            return self.close_for(conn, CloseReason::Rate);
        }
        if let Err(reason) = self.apply_rules(now, conn, packet, authorization) {
            self.reject(now, conn, packet, reason);
        }
    }

    /// Applies the rules in the same order as the Go original, which has no reserved events, limits
    /// on names, membership checks or shared rooms.
    fn apply_rules(
        &mut self,
        now: Duration,
        conn: ConnKey,
        packet: &PacketRef<'_>,
        authorization: Authorization,
    ) -> Result<(), RejectReason> {
        match packet.event {
            JOIN => {
                if let Some(histories) = &mut self.tables.histories {
                    histories.request = Recall::parse(packet.payload);
                }
                return self.join(conn, packet.room, authorization);
            }
            LEAVE => {
                self.leave(conn, packet.room);
                return Ok(());
            }
            // The Go original forwards these events, so a client can forge other clients' joins and
            // leaves.
            event if is_reserved(event) => return Err(RejectReason::Reserved),
            event if self.config.extended && is_extended(event) => {
                return self.extended_event(now, conn, packet, authorization);
            }
            _ => {}
        }
        // Do not check the length earlier: a join with an overlong name is answered with
        // `leave_ack`, and a leave is always answered.
        if packet.event.len().max(packet.room.len()) > self.config.max_name {
            return Err(RejectReason::LongName);
        }
        let is_new = authorization == Authorization::Required;
        if !packet.dst.is_empty() {
            let Some(to) = self.tables.find_conn(packet.dst) else {
                return self.route_unknown(now, conn, packet, authorization);
            };
            if self.config.shared_room_only && !self.may_reach(conn, to) {
                return Err(RejectReason::NoSharedRoom);
            }
            self.output.records.push(match self.config.authorize_direct && is_new {
                true => Record::Authorize(Permission::Direct),
                false => Record::Direct(to),
            });
            return Ok(());
        }
        // Check membership before asking the application so that its rule sees only packets that
        // could be delivered.
        let room = self.tables.find_room(packet.room);
        let is_member = room.is_some_and(|room| self.tables.is_member(conn, room));
        if self.config.members_only && !is_member {
            return Err(RejectReason::NotMember);
        }
        if self.config.authorize_publish && is_new {
            self.output.records.push(Record::Authorize(Permission::Publish));
            return Ok(());
        }
        // A handler replaces the broadcast, but may itself send one.
        match (self.handlers.get(packet.event), room) {
            (Some(&handler), _) => self.output.records.push(Record::Call(handler)),
            (None, Some(room)) => {
                self.broadcast(room, packet, Some(conn), Record::Broadcast(room));
            }
            // The room does not exist, so there are no receivers. This is only possible without
            // `members_only`.
            (None, None) => {}
        }
        Ok(())
    }

    /// Returns true if [`Config::shared_room_only`](crate::Config::shared_room_only) permits a
    /// direct message.
    pub(crate) fn may_reach(&self, from: ConnKey, to: ConnKey) -> bool {
        // `root` does not count, because every connection starts there.
        from == to || self.tables.share_room(from, to, self.tables.find_room(ROOT))
    }

    /// Counts a rejected packet, and closes its sender if there were too many violations.
    fn reject(
        &mut self,
        now: Duration,
        conn: ConnKey,
        packet: &PacketRef<'_>,
        reason: RejectReason,
    ) {
        self.rejected.count(reason);
        // Report the rejection before the close below so that the client receives the reason first.
        self.report_rejected(now, conn, packet, reason);
        let Some(rate) = self.config.violation_rate.filter(|_| reason.is_violation()) else {
            return;
        };
        if !self.tables.buckets_mut(conn).take_violation(rate, now) {
            self.rejected.violations += 1;
            self.close_for(conn, CloseReason::Violations);
        }
    }

    /// Removes a connection and records that it must be closed.
    fn close_for(&mut self, conn: ConnKey, reason: CloseReason) {
        self.report_before_close(conn);
        // `remove` notifies the rooms first so that the close is the connection's last action.
        if self.remove(conn) {
            self.output.records.push(Record::CloseFor(reason));
        }
    }

    /// Handles a packet that the application denied.
    pub(crate) fn denied(&mut self, now: Duration, conn: ConnKey, packet: &PacketRef<'_>) {
        if !self.set_subject(conn) {
            return;
        }
        let is_join = packet.event == JOIN;
        if is_join
            && let Some(room) = self.tables.find_room(packet.room)
            && self.tables.is_member(conn, room)
        {
            // The server has added the connection to the room since then, so a `leave_ack` would be
            // wrong.
            return self.acknowledge(conn, room, self.config.announce_rejoin);
        }
        self.rejected.by_application += 1;
        if is_join {
            self.output.records.push(Record::LeaveAck);
        }
        let failure = (ErrorCode::Refused, "an application rule forbids it");
        self.report_failure(now, conn, packet, failure);
    }

    /// Records a message to a room's members. `except` is a connection to skip.
    #[inline]
    pub(crate) fn broadcast(
        &mut self,
        room: RoomKey,
        packet: &PacketRef<'_>,
        except: Option<ConnKey>,
        record: Record,
    ) {
        match self.tables.histories {
            None => self.output.records.push(record),
            Some(_) => self.broadcast_and_store(room, packet, except, record),
        }
    }
}

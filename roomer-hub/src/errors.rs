//! Errors sent to extended connections about their rejected packets.

use std::time::Duration;

use roomer_proto::extended::{ErrorCode, Failure, TaggedId, is_extended, split_tag};
use roomer_proto::{JOIN, LEAVE, PacketRef};

use crate::exchange::Unreported;
use crate::hub::Hub;
use crate::keys::{ConnKey, PeerKey};
use crate::limits::RejectReason;
use crate::record::{ErrorReceiver, Record};

impl Hub {
    /// Reports a packet's rejection to an extended connection. Requests are always answered. For
    /// other packets, 16 errors per second are sent, and rejections above that rate are counted in
    /// the next error.
    #[cold]
    #[inline(never)]
    pub(crate) fn report_rejected(
        &mut self,
        now: Duration,
        conn: ConnKey,
        packet: &PacketRef<'_>,
        reason: RejectReason,
    ) {
        // A late answer is not reported, because the client is not at fault.
        if reason.is_violation() || !is_extended(packet.event) {
            self.report_failure(now, conn, packet, reason.failure());
        }
    }

    /// Reports a failure to an extended connection, with the same limits as
    /// [`report_rejected`](Self::report_rejected).
    #[cold]
    pub(crate) fn report_failure(
        &mut self,
        now: Duration,
        conn: ConnKey,
        packet: &PacketRef<'_>,
        failure: (ErrorCode, &'static str),
    ) {
        // The plain protocol has no errors; clients of the Go original would treat an error packet
        // as a message.
        if !self.tables.is_extended(conn) {
            return;
        }
        // Joins, leaves and answers cannot be requests, whatever their `dst` is.
        let is_request = !matches!(packet.event, JOIN | LEAVE) && !is_extended(packet.event);
        let tagged = split_tag(packet.dst).filter(|_| is_request);
        if let Some((id, tag)) = tagged {
            // Use the same `dst` as an answer: with the requester's id if the request was for a
            // client, and without an id if it was for the server.
            let own_id = self.output.subject.filter(|_| !id.is_empty());
            let dst = TaggedId::new(own_id.as_ref(), tag);
            return self.send_error(conn, Some(dst), failure, Some(packet), 0);
        }
        let max = self.config.max_name;
        let rejected = || Unreported {
            failure,
            room: truncate(packet.room, max).into(),
            event: truncate(packet.event, max).into(),
            count: 0,
        };
        if let Some(more) = self.tables.take_error(conn, now, rejected) {
            // Send the error before a rejected join's `leave_ack` so that the client receives the
            // reason first.
            let leave_ack = self.output.records.pop_if(|last| matches!(last, Record::LeaveAck));
            self.send_error(conn, None, failure, Some(packet), more);
            self.output.records.extend(leave_ack);
        }
    }

    /// Reports the packets that were rejected without an error, in one error about the first of
    /// them.
    #[cold]
    pub(crate) fn report_unreported(&mut self, conn: ConnKey) {
        let Some(unreported) = self.tables.take_unreported(conn) else { return };
        let Unreported { failure, room, event, count } = unreported;
        let packet = PacketRef { room: &room, event: &event, ..PacketRef::default() };
        self.send_error(conn, None, failure, Some(&packet), count - 1);
    }

    /// Reports the packets that were rejected without an error to a connection that is about to be
    /// closed. A rule may have rejected some of them after they were acknowledged.
    #[inline]
    pub(crate) fn report_before_close(&mut self, conn: ConnKey) {
        if self.tables.has_exchanges() {
            self.report_unreported(conn);
        }
    }

    /// Sends an error. With `dst`, the error answers a request, and is sent in the room of the
    /// input's packet. Without `dst`, its payload names the rejected packet, and `more` is the
    /// number of other packets rejected without an error.
    pub(crate) fn send_error(
        &mut self,
        conn: ConnKey,
        dst: Option<TaggedId>,
        (code, message): (ErrorCode, &str),
        packet: Option<&PacketRef<'_>>,
        more: u64,
    ) {
        let max = self.config.max_name;
        let names = packet.filter(|_| dst.is_none());
        let names = names.map(|packet| (truncate(packet.room, max), truncate(packet.event, max)));
        // A room name above the limit is not echoed as the error's room.
        let is_long = packet.is_some_and(|packet| packet.room.len() > max);
        let failure = Failure { code: code.as_str(), message, packet: names, more };
        let to = ErrorReceiver::Conn(conn);
        self.output.push_error(to, dst, dst.is_some() && !is_long, &failure);
    }

    /// Sends an error for a request whose room is no longer known.
    pub(crate) fn send_error_in_root(
        &mut self,
        conn: ConnKey,
        dst: TaggedId,
        (code, message): (ErrorCode, &str),
    ) {
        let failure = Failure { code: code.as_str(), message, packet: None, more: 0 };
        self.output.push_error(ErrorReceiver::Conn(conn), Some(dst), false, &failure);
    }

    /// Sends an error to a requester on another node.
    pub(crate) fn forward_error(
        &mut self,
        peer: PeerKey,
        dst: TaggedId,
        (code, message): (ErrorCode, &str),
    ) {
        let failure = Failure { code: code.as_str(), message, packet: None, more: 0 };
        self.output.push_error(ErrorReceiver::Peer(peer), Some(dst), true, &failure);
    }
}

/// Truncates a name to at most `max` bytes, to echo it in an error.
fn truncate(name: &str, max: usize) -> &str {
    &name[..name.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::hash::HashKey;
    use crate::input::Input;
    use roomer_proto::ConnId;

    #[test]
    fn errors_of_earlier_inputs_are_released() {
        let mut hub = Hub::new(Config::default(), HashKey([7; 16]));
        let id = ConnId::from_random_bytes([1; 16]);
        hub.handle(Duration::ZERO, Input::Open { id, extended: true }).for_each(drop);
        let conn = hub.tables().find_conn(id.as_str()).unwrap_or_default();
        for second in 0..100 {
            let packet = PacketRef { room: "hall", event: "chat", ..PacketRef::default() };
            let input = Input::Packet { conn, packet };
            assert_eq!(hub.handle(Duration::from_secs(second), input).count(), 1);
        }
        assert!(hub.output.errors.capacity() <= 4, "{}", hub.output.errors.capacity());
        assert!(hub.output.error_text.capacity() <= 4096);
    }
}

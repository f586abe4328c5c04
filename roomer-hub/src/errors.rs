//! The errors by which extended connections learn what the server has refused.

use std::time::Duration;

use roomer_proto::extended::{ErrorCode, Failure, TaggedId, is_extended, split_tag};
use roomer_proto::{JOIN, LEAVE, PacketRef};

use crate::hub::Hub;
use crate::keys::{ConnKey, PeerKey};
use crate::limits::RejectReason;
use crate::record::{ErrorReceiver, Record};

impl Hub {
    /// Answers an extended connection's packet that was refused: a request always, any other packet
    /// at most 16 times a second.
    #[cold]
    #[inline(never)]
    pub(crate) fn report_refused(
        &mut self,
        now: Duration,
        conn: ConnKey,
        packet: &PacketRef<'_>,
        reason: RejectReason,
    ) {
        // An answer that is late is not a fault.
        if reason.is_violation() || !is_extended(packet.event) {
            self.report_failure(now, conn, packet, reason.failure());
        }
    }

    /// Reports a failure to an extended connection; see [`report_refused`](Self::report_refused).
    #[cold]
    pub(crate) fn report_failure(
        &mut self,
        now: Duration,
        conn: ConnKey,
        packet: &PacketRef<'_>,
        failure: (ErrorCode, &str),
    ) {
        // The plain protocol has no errors: the original's clients would take one for a message.
        if !self.tables.is_extended(conn) {
            return;
        }
        // Joins, leaves and answers do not have answers, whatever their `dst` is.
        let is_request = !matches!(packet.event, JOIN | LEAVE) && !is_extended(packet.event);
        let tagged = split_tag(packet.dst).filter(|_| is_request);
        if let Some((id, tag)) = tagged {
            // As in the answer: the asker's id for a request to a client, none for one to the
            // server.
            let own_id = self.output.subject.filter(|_| !id.is_empty());
            let dst = TaggedId::new(own_id.as_ref(), tag);
            return self.send_error(conn, Some(dst), failure, Some(packet));
        }
        if self.tables.may_send_error(conn, now) {
            // Before the `leave_ack` of a refused join, so that the client knows the reason by then.
            let leave_ack = self.output.records.pop_if(|last| matches!(last, Record::LeaveAck));
            self.send_error(conn, None, failure, Some(packet));
            self.output.records.extend(leave_ack);
        }
    }

    /// Sends an error. With `dst` it answers a request, in the room of the input's packet; otherwise
    /// its payload names the packet that was refused.
    pub(crate) fn send_error(
        &mut self,
        conn: ConnKey,
        dst: Option<TaggedId>,
        (code, message): (ErrorCode, &str),
        packet: Option<&PacketRef<'_>>,
    ) {
        let max = self.config.max_name;
        let names = packet.filter(|_| dst.is_none());
        let names = names.map(|packet| (truncate(packet.room, max), truncate(packet.event, max)));
        // A name above the limit is not sent back as the room of the error.
        let is_long = packet.is_some_and(|packet| packet.room.len() > max);
        let failure = Failure { code: code.as_str(), message, packet: names };
        let to = ErrorReceiver::Conn(conn);
        self.output.push_error(to, dst, dst.is_some() && !is_long, &failure);
    }

    /// Sends an error about a request whose room is no longer known.
    pub(crate) fn send_error_in_root(
        &mut self,
        conn: ConnKey,
        dst: TaggedId,
        (code, message): (ErrorCode, &str),
    ) {
        let failure = Failure { code: code.as_str(), message, packet: None };
        self.output.push_error(ErrorReceiver::Conn(conn), Some(dst), false, &failure);
    }

    /// Sends an error to the asker of a request, on another node.
    pub(crate) fn forward_error(
        &mut self,
        peer: PeerKey,
        dst: TaggedId,
        (code, message): (ErrorCode, &str),
    ) {
        let failure = Failure { code: code.as_str(), message, packet: None };
        self.output.push_error(ErrorReceiver::Peer(peer), Some(dst), true, &failure);
    }
}

/// Shortens a name, which is repeated in an error, to the length that the server accepts.
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
    fn the_errors_of_earlier_inputs_are_released() {
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

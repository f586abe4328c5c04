//! The part of an established connection's state that only sessions have.

use std::time::Duration;

use roomer_proto::extended::{self, ACK, ACK_NOW, AckSchedule, TOKEN, parse_count};
use roomer_proto::{PacketRef, ROOT};

use crate::connection::renewal::Renewal;
use crate::connection::requests::RunningRequests;
use crate::outbound::encode;
use crate::outbound::replay::WrongCount;
use crate::outbound::socket_writer::SocketWriter;
use crate::timer::moment::Moment;

/// The maximum time without any packet from the server, as announced in `hello`. Browsers do not
/// expose pings to pages, so this is how a page detects a dead server.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(25);

/// The maximum time until an acknowledgement, even if it acknowledges nothing new, after bytes have
/// arrived that must wait for a pending handler. The client may have requested an acknowledgement,
/// and would otherwise treat the connection as lost.
const WAITING_ACK: Duration = Duration::from_secs(5);

/// The maximum number of consecutive acknowledgements that acknowledge nothing new, which a client
/// has no reason to send. Acknowledgements are not passed to the hub, so its rate limits do not
/// apply to them.
const MAX_IDLE_ACKS: u8 = 64;
/// The time after the last acknowledgement in which the next one still counts as consecutive.
const ACK_PAUSE: Duration = Duration::from_secs(1);

/// A connection's session state, without the packets that are kept for the client.
#[derive(Debug)]
pub(crate) struct SessionState {
    /// The number of client packets handled, and the time at which to acknowledge them.
    pub(crate) received: AckSchedule,
    /// The time at which the server must send something or, if the session has no socket, the time
    /// at which the session ends.
    deadline: Moment,
    /// The time at which the last acknowledgement was received.
    last_ack: Moment,
    /// The number of consecutive acknowledgements, each within [`ACK_PAUSE`] of the previous
    /// one, that acknowledge nothing new.
    idle_acks: u8,
    has_socket: bool,
    /// True until bytes have arrived on the current socket, which show that the client has received
    /// its new token.
    is_unconfirmed: bool,
    /// The pending request handlers.
    pub(crate) requests: RunningRequests,
    pub(crate) renewal: Renewal,
}

/// The meaning that a packet has for the session.
pub(crate) enum SessionPacket {
    /// An ordinary packet, for the hub.
    Other,
    /// The token requested from the client.
    Token,
    /// An acknowledgement of packets.
    Ack,
    /// A request by the client for an acknowledgement.
    AckNow,
    /// An acknowledgement of packets that were never sent. The connection must be closed.
    Wrong,
    /// Too many acknowledgements that acknowledge nothing new. The connection must be closed.
    TooMany,
}

impl SessionState {
    pub(crate) fn new(now: Duration) -> Self {
        SessionState {
            received: AckSchedule::default(),
            deadline: (now + HEARTBEAT).into(),
            last_ack: now.into(),
            idle_acks: 0,
            has_socket: true,
            // The session's first token replaces no older one, so it need not be confirmed.
            is_unconfirmed: false,
            requests: RunningRequests::default(),
            renewal: Renewal::default(),
        }
    }

    /// Continues the session on a new socket.
    pub(crate) fn resumed(&mut self, now: Duration) {
        // `hello` contains the number of received packets, which acknowledges all of them.
        self.received.acknowledge();
        (self.deadline, self.has_socket) = ((now + HEARTBEAT).into(), true);
        self.is_unconfirmed = true;
    }

    /// Records that the session has lost its socket and ends at `until`.
    pub(crate) fn detached(&mut self, until: Duration) {
        (self.deadline, self.has_socket) = (until.into(), false);
    }

    /// Records that bytes were received whose packets wait for a pending handler.
    pub(crate) fn deferred(&mut self, now: Duration) {
        self.deadline = self.deadline.min((now + WAITING_ACK).into());
    }

    /// Returns the time at which a session without a socket ends.
    pub(crate) fn until(&self) -> Duration {
        self.deadline.into()
    }

    /// Returns true once after each resume: for the first received bytes, which show that the
    /// client has its newest token.
    pub(crate) fn confirms(&mut self) -> bool {
        std::mem::take(&mut self.is_unconfirmed)
    }

    /// Handles a packet if it is an acknowledgement. Any other packet, of `bytes` bytes, is counted
    /// as received.
    pub(crate) fn on_packet(
        &mut self,
        now: Duration,
        packet: &PacketRef<'_>,
        bytes: usize,
        writer: &SocketWriter,
    ) -> SessionPacket {
        if packet.event != ACK {
            // Any other packet resets the count: the hub's rates limit such packets, and the client
            // may request an acknowledgement for each.
            self.idle_acks = 0;
            self.received.received(now, bytes);
            return match packet.event == TOKEN && self.renewal.takes_token() {
                true => SessionPacket::Token,
                false => SessionPacket::Other,
            };
        }
        let acknowledged = match parse_count(packet.payload) {
            Some(count) => writer.acknowledge(count),
            None => Err(WrongCount),
        };
        match acknowledged {
            Err(WrongCount) => SessionPacket::Wrong,
            Ok(is_new) if !self.may_acknowledge(now, is_new) => SessionPacket::TooMany,
            Ok(_) if packet.dst == ACK_NOW => SessionPacket::AckNow,
            Ok(_) => SessionPacket::Ack,
        }
    }

    /// Returns false if too many consecutive acknowledgements have acknowledged nothing new.
    fn may_acknowledge(&mut self, now: Duration, is_new: bool) -> bool {
        let is_in_row = !is_new && now.saturating_sub(self.last_ack.into()) < ACK_PAUSE;
        self.idle_acks = if is_in_row { self.idle_acks.saturating_add(1) } else { 0 };
        self.last_ack = now.into();
        self.idle_acks <= MAX_IDLE_ACKS
    }

    /// Returns the time at which the server must send an acknowledgement: because one is due, or
    /// because it has sent nothing else for [`HEARTBEAT`].
    pub(crate) fn due_at(&self) -> Duration {
        let heartbeat = self.deadline.into();
        self.received.due_at().map_or(heartbeat, |at| at.min(heartbeat))
    }

    /// Returns the frame of an acknowledgement, which the caller must send immediately.
    pub(crate) fn acknowledge(&mut self, now: Duration) -> Vec<u8> {
        // There may be no socket: this is also called when a handler completes after the socket was
        // lost.
        if self.has_socket {
            self.deadline = (now + HEARTBEAT).into();
        }
        let count = self.received.acknowledge().to_string();
        let payload = count.as_bytes();
        encode(&PacketRef { room: ROOT, event: extended::ACK, payload, ..PacketRef::default() })
    }
}

//! The state of an established connection that only sessions have.

use std::time::Duration;

use roomer_proto::extended::{self, ACK, ACK_NOW, AckSchedule, TOKEN, parse_count};
use roomer_proto::{PacketRef, ROOT};

use crate::connection::renewal::Renewal;
use crate::connection::requests::RunningRequests;
use crate::outbound::encode;
use crate::outbound::replay::WrongCount;
use crate::outbound::socket_writer::SocketWriter;
use crate::timer::moment::Moment;

/// The longest time in which the server sends nothing, as promised in `hello`. Browsers do not show
/// pings to a page, so this is the page's sign that the server is alive.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(25);

/// A client has no reason to send more acknowledgements in a row that acknowledge nothing new. They
/// are not packets for the hub, so its rates do not count them.
const MOST_IDLE_ACKS: u8 = 64;
/// The pause that separates one row of acknowledgements from the next.
const ACK_PAUSE: Duration = Duration::from_secs(1);

/// The session of one connection, apart from the packets to send.
#[derive(Debug)]
pub(crate) struct SessionState {
    /// The client's packets that were handled, and when to acknowledge them.
    pub(crate) received: AckSchedule,
    /// When the server has to send something; without a socket, when the session ends.
    deadline: Moment,
    /// When the last acknowledgement arrived.
    last_ack: Moment,
    /// The acknowledgements in a row, each within [`ACK_PAUSE`] of the one before, that acknowledge
    /// nothing new.
    idle_acks: u8,
    has_socket: bool,
    /// True until the client has sent something on its current socket, which shows that it has
    /// received its token.
    is_unconfirmed: bool,
    /// The request handlers that are pending.
    pub(crate) requests: RunningRequests,
    pub(crate) renewal: Renewal,
}

/// A packet's meaning for the session.
pub(crate) enum SessionPacket {
    /// An ordinary packet.
    Other,
    /// The token that the client was asked for.
    Token,
    /// An acknowledgement of packets.
    Ack,
    /// The client wants to be sent an acknowledgement.
    AckNow,
    /// The client acknowledges what it cannot have received: it has to be closed.
    Wrong,
    /// The client sends acknowledgements without end: it has to be closed.
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
            // The first token has no older one beside it that could stay valid.
            is_unconfirmed: false,
            requests: RunningRequests::default(),
            renewal: Renewal::default(),
        }
    }

    /// Continues the session on a new socket.
    pub(crate) fn resumed(&mut self, now: Duration) {
        // `hello` contains the number of received packets, which acknowledges them.
        self.received.acknowledge();
        (self.deadline, self.has_socket) = ((now + HEARTBEAT).into(), true);
        self.is_unconfirmed = true;
    }

    /// Records that the session has lost its socket, and ends at `until`.
    pub(crate) fn detached(&mut self, until: Duration) {
        (self.deadline, self.has_socket) = (until.into(), false);
    }

    /// Returns the time at which the session ends. It has no socket.
    pub(crate) fn until(&self) -> Duration {
        self.deadline.into()
    }

    /// Returns true once after each return of the client: its newest token has arrived.
    pub(crate) fn confirms(&mut self) -> bool {
        std::mem::take(&mut self.is_unconfirmed)
    }

    /// Handles an acknowledgement; counts any other packet, which was `bytes` long.
    pub(crate) fn on_packet(
        &mut self,
        now: Duration,
        packet: &PacketRef<'_>,
        bytes: usize,
        writer: &SocketWriter,
    ) -> SessionPacket {
        if packet.event != ACK {
            // Packets are counted by the hub's rates, and the client may ask about each.
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

    /// Returns false if the client has sent too many acknowledgements of nothing new.
    fn may_acknowledge(&mut self, now: Duration, is_new: bool) -> bool {
        let is_in_row = !is_new && now.saturating_sub(self.last_ack.into()) < ACK_PAUSE;
        self.idle_acks = if is_in_row { self.idle_acks.saturating_add(1) } else { 0 };
        self.last_ack = now.into();
        self.idle_acks <= MOST_IDLE_ACKS
    }

    /// Returns the time at which the server has to send an acknowledgement: one is due, or nothing
    /// else shows the client that the server is alive.
    pub(crate) fn due_at(&self) -> Duration {
        let heartbeat = self.deadline.into();
        self.received.due_at().map_or(heartbeat, |at| at.min(heartbeat))
    }

    /// Returns the frame of an acknowledgement to send now.
    pub(crate) fn acknowledge(&mut self, now: Duration) -> Vec<u8> {
        // A handler that was pending when the socket was lost leads here too.
        if self.has_socket {
            self.deadline = (now + HEARTBEAT).into();
        }
        let count = self.received.acknowledge().to_string();
        let payload = count.as_bytes();
        encode(&PacketRef { room: ROOT, event: extended::ACK, payload, ..PacketRef::default() })
    }
}

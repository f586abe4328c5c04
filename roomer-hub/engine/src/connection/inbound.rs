//! The inbound path: from received bytes through frames and packets to the hub.

use std::sync::Arc;
use std::time::Duration;

use roomer_hub::{Command, Input};
use roomer_proto::websocket::{self, Decoder, Event, Kind, Violation};
use roomer_proto::{PacketRef, close};

use crate::app::disconnect::DisconnectReason;
use crate::connection::activity::Activity;
use crate::connection::dispatch::{Dispatched, Dispatcher};
use crate::connection::established::Established;
use crate::connection::renewal::Renewed;
use crate::connection::session_state::{SessionPacket, SessionState};
use crate::core::Core;
use crate::outbound::compressed;
use crate::outbound::socket_writer::SocketWriter;
use crate::server::conn::Conn;
use crate::shared::Shared;
use crate::sync::MutexGuard;

/// The maximum pause of a sender for each [`READ_QUANTUM`] bytes read from it, if it has sent to a
/// receiver above its high-water mark.
const BACKPRESSURE_PAUSE: Duration = Duration::from_millis(20);

/// The number of bytes read for which a sender is paused once ([`BACKPRESSURE_PAUSE`]).
const READ_QUANTUM: usize = 64 * 1024;

/// The parts of an established connection needed to handle its events.
pub(super) struct Inbound<'c, 's> {
    shared: &'s Arc<Shared>,
    writer: &'c Arc<SocketWriter>,
    conn: &'c mut Conn,
    activity: &'c mut Activity,
    session_state: &'c mut Option<Box<SessionState>>,
    now: Duration,
    /// The time at which a pause ends, if a packet was sent to a receiver above its high-water
    /// mark.
    pause_until: Duration,
}

/// The reason why a connection ends.
enum End {
    /// The client violated a rule: close code and reason.
    Violation(u16, String),
    /// The client sent a close frame, with this code if it contained one.
    ByPeer(Option<u16>),
    /// The hub closed the connection.
    ByHub,
}

/// The lock, and the reason if the connection ends.
type Handled<'s> = (MutexGuard<'s, Core>, Option<End>);

impl Established {
    /// Handles received bytes or, if there are none, the messages buffered by the decoder. Returns
    /// true if the connection has ended.
    pub(crate) fn on_bytes(
        &mut self,
        shared: &Arc<Shared>,
        writer: &Arc<SocketWriter>,
        bytes: &mut [u8],
        now: Duration,
    ) -> bool {
        // Reset the timer even if there are no bytes: the server may have stopped reading while a
        // handler was pending, which must not count as silence.
        self.keep_alive.received(now);
        // Without a limit, a client that has closed the connection would remain a member until all
        // its messages were handled, however long the rules for them take.
        let late_at = self.activity.late_at(shared.options().close_timeout);
        let is_late = late_at.is_some_and(|at| now >= at);
        // Hold the lock while the messages from one read are handled so that their broadcasts form
        // one batch. It is released only to inflate messages and to run application code.
        let mut core = shared.core();
        core.counts.bytes_in += bytes.len() as u64;
        let (decoder, mut inbound) = self.inbound(shared, writer, bytes.len(), now);
        // Without bytes, this call follows the completion of a handler, which does not show that
        // the client has received its new token.
        if !bytes.is_empty() {
            inbound.confirm_token(&mut core);
        }
        let mut feed = decoder.feed(&shared.options().limits, bytes);
        let (mut end, mut has_message) = (None, false);
        while end.is_none()
            && inbound.takes_more()
            && let Some(event) = feed.next()
        {
            let is_message = matches!(event, Ok(Event::Message { .. } | Event::Compressed { .. }));
            has_message |= is_message;
            if is_message && is_late {
                continue;
            }
            (core, end) = inbound.on_event(core, event);
        }
        // Move the rest of the chunk into the decoder's buffer, which is measured below.
        drop(feed);
        inbound.acknowledge(&mut core);
        let has_ended = end.is_some();
        inbound.end(&mut core, end);
        let unfinished = self.decoder.unfinished();
        self.activity.record_progress(now, unfinished, has_message);
        self.report_buffered(writer);
        shared.flush_after_input(now, core, &mut self.flush_at);
        has_ended
    }

    /// Splits the decoder from the parts that handle its events. `read` is the number of bytes read.
    pub(super) fn inbound<'c, 's>(
        &'c mut self,
        shared: &'s Arc<Shared>,
        writer: &'c Arc<SocketWriter>,
        read: usize,
        now: Duration,
    ) -> (&'c mut Decoder, Inbound<'c, 's>) {
        let Established { conn, decoder, activity, session_state, .. } = self;
        let quanta = read.div_ceil(READ_QUANTUM).max(1) as u32;
        let pause_until = now + BACKPRESSURE_PAUSE * quanta;
        (decoder, Inbound { shared, writer, conn, activity, session_state, now, pause_until })
    }
}

impl<'s> Inbound<'_, 's> {
    /// Returns false while further events must wait.
    fn takes_more(&self) -> bool {
        !self.activity.is_pending()
            // While a handler ran without the lock, the task of a newer socket may have sent the
            // number of handled packets in `hello`. The client retransmits all later packets on
            // that socket.
            && (self.session_state.is_none() || !self.writer.is_superseded())
    }

    #[inline]
    fn on_event(
        &mut self,
        mut core: MutexGuard<'s, Core>,
        event: Result<Event<'_>, Violation>,
    ) -> Handled<'s> {
        match event {
            Ok(Event::Message { kind, data }) => self.on_message(core, kind, data),
            Ok(Event::Compressed { kind, data }) => self.on_compressed(core, kind, data),
            Ok(Event::Ping(payload)) => {
                let mut pong = Vec::new();
                websocket::pong_frame(payload, &mut pong);
                // `send_control` has no effect above the high-water mark, so a client that does not
                // read its pongs does not fill its queue with more of them.
                core.outbound.send_control(self.conn.info.key, pong);
                (core, None)
            }
            Ok(Event::Pong(_)) => (core, None),
            Ok(Event::Close { code, .. }) => (core, Some(End::ByPeer(code))),
            Err(violation) => (core, Some(violation.into())),
        }
    }

    /// Inflates a message and handles it.
    fn on_compressed(
        &mut self,
        core: MutexGuard<'s, Core>,
        kind: Kind,
        data: &[u8],
    ) -> Handled<'s> {
        // Inflate without the lock, since the client controls how long this takes, up to the limit.
        drop(core);
        let inflated = compressed::inflate(kind, data, self.shared.options().limits.max_message);
        let core = self.shared.core();
        match inflated {
            Ok(data) => self.on_message(core, kind, &data),
            Err(violation) => (core, Some(violation.into())),
        }
    }

    /// Decodes a message, and passes its packet to the session or to the hub.
    #[inline]
    fn on_message(
        &mut self,
        mut core: MutexGuard<'s, Core>,
        kind: Kind,
        data: &[u8],
    ) -> Handled<'s> {
        let (options, key) = (self.shared.options(), self.conn.info.key);
        if kind == Kind::Text && !options.accept_text {
            let (code, reason) = close::TEXT.frame();
            return (core, Some(End::Violation(code, reason.into())));
        }
        if options.echo {
            core.outbound.echo(key, kind, data);
            return (core, None);
        }
        let packet = match PacketRef::decode(data) {
            Ok(packet) => packet,
            Err(error) => {
                return (core, Some(End::Violation(error.close_code(), error.to_string())));
            }
        };
        // Without a session, the packets of the extended protocol have no meaning.
        let Some(session) = &mut self.session_state else {
            return self.on_packet(core, packet);
        };
        match session.on_packet(self.now, &packet, data.len(), self.writer) {
            SessionPacket::Other => self.on_packet(core, packet),
            SessionPacket::Token => self.on_token(core, packet),
            SessionPacket::Ack => (core, None),
            SessionPacket::AckNow => {
                core.before_ack(self.now, key);
                core.outbound.send_ack(key, session.acknowledge(self.now));
                (core, None)
            }
            SessionPacket::Wrong => {
                (core, Some(End::protocol("acknowledged packets that were not sent")))
            }
            SessionPacket::TooMany => {
                (core, Some(End::protocol("repeatedly acknowledged nothing new")))
            }
        }
    }

    /// Passes a packet to the hub.
    #[inline]
    fn on_packet(&mut self, mut core: MutexGuard<'s, Core>, packet: PacketRef<'_>) -> Handled<'s> {
        core.counts.messages_in += 1;
        let input = Input::Packet { conn: self.conn.info.key, packet };
        let dispatched;
        (core, dispatched) = self.dispatcher().dispatch(core, input, packet);
        let end = dispatched.is_closed.then_some(End::ByHub);
        self.record(dispatched);
        (core, end)
    }

    /// Renews the login with the token requested from the client.
    fn on_token(&mut self, mut core: MutexGuard<'s, Core>, packet: PacketRef<'_>) -> Handled<'s> {
        core.counts.messages_in += 1;
        let renewed;
        (core, renewed) = self.dispatcher().renew(core, packet);
        match renewed {
            Renewed::Rejected => {}
            Renewed::Pending(call) => self.activity.wait_for(Some(call)),
            Renewed::Login(_) => self.renewed(renewed),
            Renewed::Closed => return (core, Some(End::ByHub)),
        }
        (core, None)
    }

    fn dispatcher(&self) -> Dispatcher<'_, 's> {
        Dispatcher { shared: self.shared, conn: self.conn, now: self.now }
    }

    /// Records a packet's pending future and its congested receiver, if any.
    #[inline]
    pub(super) fn record(&mut self, dispatched: Dispatched) {
        self.activity.wait_for(dispatched.pending);
        if let Some(request) = dispatched.request
            && let Some(session) = &mut self.session_state
        {
            session.requests.add(*request);
        }
        self.activity.pause(dispatched.congested, self.writer, self.pause_until);
    }

    /// If the login was renewed, continues with its new credentials.
    pub(super) fn renewed(&mut self, renewed: Renewed) {
        if let (Renewed::Login(info), Some(session)) = (renewed, &mut self.session_state) {
            session.renewal.renewed(self.now, info.expires(), self.shared.options());
            self.conn.info = info;
        }
    }

    /// Records that the client has received its new token. Must be called before its packets are
    /// handled, so that a handler which ends the session finds only tokens that are still valid.
    fn confirm_token(&mut self, core: &mut Core) {
        if self.session_state.as_mut().is_some_and(|session| session.confirms()) {
            core.sessions.confirm(self.conn.info.key);
        }
    }

    /// Acknowledges the client's packets if an acknowledgement is due.
    fn acknowledge(&mut self, core: &mut Core) {
        let Some(session) = &mut self.session_state else { return };
        let key = self.conn.info.key;
        if session.received.due_at().is_some_and(|at| self.now >= at) {
            core.before_ack(self.now, key);
            core.outbound.send_ack(key, session.acknowledge(self.now));
        }
    }

    /// Ends the connection if `end` contains a reason.
    fn end(&self, core: &mut Core, end: Option<End>) {
        let key = self.conn.info.key;
        match end {
            Some(End::Violation(code, reason)) => {
                let close = Command::Close { conn: key, code, reason: &reason };
                core.apply(self.now, Input::Command(close), None);
            }
            // RFC 6455 section 5.5.1: a close frame is answered with a close frame, usually with the
            // same code.
            Some(End::ByPeer(code)) => {
                core.gone(self.now, key, DisconnectReason::ByPeer(code));
                self.writer.close(code, "", false);
                core.outbound.schedule(key, self.writer);
            }
            Some(End::ByHub) | None => {}
        }
    }
}

impl End {
    /// Returns the reason for ending a session whose client has violated the extended protocol.
    fn protocol(reason: &str) -> Self {
        End::Violation(close::PROTOCOL.code, reason.into())
    }
}

impl From<Violation> for End {
    fn from(violation: Violation) -> Self {
        End::Violation(violation.code, violation.reason.into())
    }
}

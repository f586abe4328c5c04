//! An established connection: bytes in, packets dispatched.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use roomer_hub::{Command, Input};
use roomer_proto::websocket::{self, Event, Kind, Session};
use roomer_proto::{PacketRef, close};

use crate::Server;
use crate::app::conn::Conn;
use crate::app::hooks::DisconnectReason;
use crate::builder::options::Options;
use crate::connection::activity::Activity;
use crate::connection::dispatch::{CallOutcome, Dispatcher, PendingCall};
use crate::connection::keep_alive::KeepAlive;
use crate::connection::slow_consumer::{Limits, SlowConsumer, Verdict};
use crate::handshake::compression::Compression;
use crate::outbound::compressed;
use crate::outbound::socket_writer::{SocketWriter, Status};
use crate::session::renewal::Renewed;
use crate::session::state::{SessionPacket, SessionState};
use crate::timer::moment::Moment;

/// The longest pause of a sender after each read, for each [`READ_QUANTUM`] that it read, if it
/// sent to a receiver above its high-water mark.
const BACKPRESSURE_PAUSE: Duration = Duration::from_millis(20);

/// The bytes of a read for which a sender pauses once ([`BACKPRESSURE_PAUSE`]).
const READ_QUANTUM: usize = 64 * 1024;

/// The change of buffered bytes that is worth reporting to the memory budget.
const REPORT_THRESHOLD: usize = 4096;

/// The state of an established connection, except for its reader and writer.
pub(crate) struct Established {
    pub(crate) conn: Conn,
    pub(crate) session: Session,
    pub(crate) keep_alive: KeepAlive,
    pub(crate) activity: Activity,
    /// When the connection's task has to flush large rooms.
    pub(crate) flush_at: Option<Moment>,
    /// Present if the client speaks the extended protocol.
    pub(crate) session_state: Option<Box<SessionState>>,
}

/// Why a session ends.
enum End {
    /// The client broke a rule: close code and reason.
    Violation(u16, String),
    /// The client sent a close frame, with this code.
    ByPeer(Option<u16>),
    /// The hub closed the connection.
    ByHub,
}

/// The result of polling a pending handler or rule.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResumeResult {
    /// The handler or rule is still pending.
    Pending,
    /// The handler or rule is done. The messages after it were handled, until another became
    /// pending, if one did.
    Continue,
    /// The handler or rule is done, and a message after it ended the session.
    Ended,
}

impl Established {
    pub(crate) fn new(conn: Conn, compression: Compression, now: Duration) -> Self {
        Established {
            conn,
            session: compression.session(),
            keep_alive: KeepAlive::new(now),
            activity: Activity::default(),
            flush_at: None,
            session_state: None,
        }
    }

    /// Prepares for the session's next socket, on which the client sends unfinished messages again.
    pub(crate) fn reset_socket(&mut self, compression: Compression, now: Duration) {
        self.session = compression.session();
        self.keep_alive = KeepAlive::new(now);
        // A handler that is pending stays.
        let pending = self.activity.existing().and_then(|parts| parts.pending.take());
        self.activity = Activity::default();
        self.activity.wait_for(pending);
    }

    /// Handles received bytes; without any, the messages that the session has buffered. Returns true
    /// if the session has ended.
    pub(crate) fn on_bytes(
        &mut self,
        server: &Server,
        writer: &Arc<SocketWriter>,
        bytes: &mut [u8],
        now: Duration,
    ) -> bool {
        // Even without bytes: nothing was read while the handler was pending, which is not silence.
        self.keep_alive.received(now);
        let options = server.options();
        let key = self.conn.info.key;
        // Without bytes, a handler has ended: the client has not shown that its new token arrived.
        let has_received = !bytes.is_empty();
        let quanta = bytes.len().div_ceil(READ_QUANTUM).max(1) as u32;
        let pause_until = now + BACKPRESSURE_PAUSE * quanta;
        // The lock is held while the messages of one read are handled: their broadcasts are then one
        // batch. Dispatching releases it around each handler.
        let mut core = server.core();
        core.counts.bytes_in += bytes.len() as u64;
        let mut feed = self.session.feed(&options.limits, bytes);
        let (mut end, mut has_message) = (None, false);
        while !self.activity.is_pending()
            // Another socket's task may have announced how many packets were handled, while a handler
            // ran without the lock. The client sends the others there again.
            && (self.session_state.is_none() || !writer.is_superseded())
            && let Some(event) = feed.next()
        {
            has_message |= matches!(event, Ok(Event::Message { .. } | Event::Compressed { .. }));
            let inflated;
            let event = match event {
                Ok(Event::Compressed { kind, data }) => {
                    // Without the lock: the client controls how long this takes, up to the limit.
                    drop(core);
                    inflated = compressed::inflate(kind, data, options.limits.max_message);
                    core = server.core();
                    let data = inflated.as_deref().map_err(|violation| *violation);
                    data.map(|data| Event::Message { kind, data })
                }
                event => event,
            };
            let data = match event {
                Ok(Event::Message { kind: Kind::Text, .. }) if !options.accept_text => {
                    let (code, reason) = close::TEXT.frame();
                    end = Some(End::Violation(code, reason.into()));
                    break;
                }
                Ok(Event::Message { kind, data }) if options.echo => {
                    core.outbound.echo(key, kind, data);
                    continue;
                }
                Ok(Event::Message { data, .. }) => data,
                Ok(Event::Ping(payload)) => {
                    let mut pong = Vec::new();
                    websocket::pong_frame(payload, &mut pong);
                    // A client that does not read its pongs gets no more of them.
                    core.outbound.send_control(key, pong);
                    continue;
                }
                // A compressed message was inflated above.
                Ok(Event::Pong(_) | Event::Compressed { .. }) => continue,
                Ok(Event::Close { code, .. }) => {
                    end = Some(End::ByPeer(code));
                    break;
                }
                Err(violation) => {
                    end = Some(End::Violation(violation.code, violation.reason.into()));
                    break;
                }
            };
            let packet = match PacketRef::decode(data) {
                Ok(packet) => packet,
                Err(error) => {
                    end = Some(End::Violation(error.close_code(), error.to_string()));
                    break;
                }
            };
            if let Some(session) = &mut self.session_state {
                match session.on_packet(now, &packet, data.len(), writer) {
                    SessionPacket::Other => {}
                    SessionPacket::Ack => continue,
                    SessionPacket::Token => {
                        core.counts.messages_in += 1;
                        let dispatcher = Dispatcher { server, conn: &self.conn, now };
                        let renewed;
                        (core, renewed) = dispatcher.renew(core, packet);
                        match renewed {
                            Renewed::Refused => {}
                            Renewed::Pending(call) => self.activity.begin().pending = Some(call),
                            Renewed::Login(info) => {
                                session.renewal.schedule(now, info.expires(), options);
                                self.conn.info = info;
                            }
                            Renewed::Closed => {
                                end = Some(End::ByHub);
                                break;
                            }
                        }
                        continue;
                    }
                    SessionPacket::AckNow => {
                        core.outbound.send_ack(key, session.acknowledge(now));
                        continue;
                    }
                    wrong @ (SessionPacket::Wrong | SessionPacket::TooMany) => {
                        let reason = match wrong {
                            SessionPacket::Wrong => "acknowledged packets that were not sent",
                            _ => "acknowledged nothing new again and again",
                        };
                        end = Some(End::Violation(close::PROTOCOL.code, reason.into()));
                        break;
                    }
                }
            }
            core.counts.messages_in += 1;
            let dispatcher = Dispatcher { server, conn: &self.conn, now };
            let input = Input::Packet { conn: key, packet };
            let dispatched;
            (core, dispatched) = dispatcher.dispatch(core, input, packet);
            self.activity.wait_for(dispatched.pending);
            if let Some(request) = dispatched.request
                && let Some(session) = &mut self.session_state
            {
                session.requests.add(*request);
            }
            self.activity.pause(dispatched.congested, writer, pause_until);
            if dispatched.is_closed {
                end = Some(End::ByHub);
                break;
            }
        }
        // Moves what is left of the chunk into the session's buffer, before that is measured below.
        drop(feed);
        if let Some(session) = &mut self.session_state {
            if has_received && session.confirms() {
                core.sessions.confirm(key);
            }
            if session.received.due_at().is_some_and(|at| now >= at) {
                core.outbound.send_ack(key, session.acknowledge(now));
            }
        }
        let has_ended = end.is_some();
        match end {
            Some(End::Violation(code, reason)) => {
                let close = Command::Close { conn: key, code, reason: &reason };
                core.apply(now, Input::Command(close), None);
            }
            // RFC 6455 section 5.5.1: a close frame is answered with one, usually with the same
            // code.
            Some(End::ByPeer(code)) => {
                core.gone(now, key, DisconnectReason::ByPeer(code));
                writer.close(code, "", false);
                core.outbound.schedule(key, writer);
            }
            Some(End::ByHub) | None => {}
        }
        let unfinished = self.session.unfinished();
        self.activity.record_progress(now, unfinished, has_message);
        self.report_buffered(writer);
        server.flush_after_input(now, core, &mut self.flush_at);
        has_ended
    }

    /// Polls a pending handler or rule, and handles the messages after it once it is done.
    pub(crate) fn resume_call(
        &mut self,
        writer: &Arc<SocketWriter>,
        now: Duration,
        cx: &mut Context<'_>,
    ) -> ResumeResult {
        let parts = self.activity.existing();
        let Some(call) = parts.and_then(|parts| parts.pending.as_mut()) else {
            return ResumeResult::Pending;
        };
        let server = self.conn.server.clone();
        let key = self.conn.info.key;
        // The application's code is polled without the lock.
        let polled = server.run_callback(|| call.poll(cx));
        let Poll::Ready(outcome) = polled else {
            // The handler may have sent something before it returned `Pending`.
            server.flush_after_input(now, server.core(), &mut self.flush_at);
            return ResumeResult::Pending;
        };
        let call = self.activity.existing().and_then(|parts| parts.pending.take());
        let Some(PendingCall { message: owned, .. }) = call.map(|call| *call) else {
            return ResumeResult::Pending;
        };
        // Taken after the future is dropped, which may use the server.
        let mut core = server.core();
        let (message, packet) = (owned.borrowed(), owned.packet());
        let dispatcher = Dispatcher { server: &server, conn: &self.conn, now };
        let input = match outcome {
            CallOutcome::Judged(true) => Input::Allowed { conn: key, packet },
            CallOutcome::Judged(false) => Input::Denied { conn: key, packet },
            CallOutcome::Handled(result) => {
                core = dispatcher.handled(core, &message, result);
                self.report_buffered(writer);
                server.flush_after_input(now, core, &mut self.flush_at);
                return self.handle_buffered(&server, writer, now);
            }
            CallOutcome::Renewed(result) => {
                let renewed;
                (core, renewed) = dispatcher.renewed(core, result);
                if let (Renewed::Login(info), Some(session)) = (renewed, &mut self.session_state) {
                    session.renewal.schedule(now, info.expires(), server.options());
                    self.conn.info = info;
                }
                server.flush_after_input(now, core, &mut self.flush_at);
                return self.handle_buffered(&server, writer, now);
            }
            CallOutcome::Panicked(panic) => {
                core = dispatcher.panicked(core, &message, panic);
                server.flush_after_input(now, core, &mut self.flush_at);
                // The close frame is queued: the next step finds the outbox closing.
                return ResumeResult::Continue;
            }
        };
        let dispatched;
        (core, dispatched) = dispatcher.dispatch(core, input, packet);
        let is_pending = dispatched.pending.is_some();
        self.activity.wait_for(dispatched.pending);
        if let Some(request) = dispatched.request
            && let Some(session) = &mut self.session_state
        {
            session.requests.add(*request);
        }
        let pause_until = now + BACKPRESSURE_PAUSE;
        self.activity.pause(dispatched.congested, writer, pause_until);
        self.report_buffered(writer);
        server.flush_after_input(now, core, &mut self.flush_at);
        match is_pending {
            // Not `Pending`, since the new future was not polled yet: only that makes it wake this
            // task.
            true => ResumeResult::Continue,
            false if dispatched.is_closed => ResumeResult::Ended,
            false => self.handle_buffered(&server, writer, now),
        }
    }

    /// Handles the messages that the session buffered while a handler was pending.
    fn handle_buffered(
        &mut self,
        server: &Server,
        writer: &Arc<SocketWriter>,
        now: Duration,
    ) -> ResumeResult {
        // The client could not finish a message meanwhile, so its time starts again.
        self.activity.restart_progress(now);
        match self.on_bytes(server, writer, &mut [], now) {
            true => ResumeResult::Ended,
            false => ResumeResult::Continue,
        }
    }

    /// Reports the bytes that the session and a pending call hold.
    pub(crate) fn report_buffered(&mut self, writer: &SocketWriter) {
        let pending = self.activity.get().and_then(|parts| parts.pending.as_ref());
        let waiting = pending.map_or(0, |call| call.message.payload.len());
        let requests = self.session_state.as_ref().map_or(0, |session| session.requests.held());
        let buffered = self.session.held() + waiting + requests;
        // Small changes are not reported: each report takes the writer's lock.
        let reported = self.activity.get().map_or(0, |parts| parts.buffered);
        if buffered != reported && buffered.max(reported) > REPORT_THRESHOLD {
            self.activity.begin().buffered = buffered;
            writer.set_buffered(buffered);
        }
    }

    /// Skips received messages up to the peer's close frame, once the connection is closed.
    pub(crate) fn skip_to_close(&mut self) {
        let limits = &self.conn.server.options().limits;
        let mut feed = self.session.feed(limits, &mut []);
        while feed.next().is_some() {}
    }

    /// Returns true if something comes before the next read: a handler, or a receiver.
    pub(crate) fn must_wait(&self) -> bool {
        let has_new = |session: &SessionState| session.requests.has_new();
        self.activity.is_paused()
            || self.activity.is_pending()
            || self.session_state.as_deref().is_some_and(has_new)
    }

    /// Returns true if the connection does not read because of its own state.
    pub(crate) fn is_reading_suspended(&self, status: Status) -> bool {
        status.is_above() || self.activity.is_pending() || self.activity.is_paused()
    }

    /// Returns what to do about a full socket; `None` if it is not full.
    pub(crate) fn poll_slow(
        &mut self,
        now: Duration,
        status: &Status,
        options: &Options,
    ) -> Option<Verdict> {
        if !status.is_blocked {
            if let Some(parts) = self.activity.existing() {
                parts.slow_consumer = None;
            }
            return None;
        }
        let new = || SlowConsumer::new(now, status.written);
        let limits =
            Limits { max_backlog: options.max_backlog, write_timeout: options.write_timeout };
        let slow_consumer = &mut self.activity.begin().slow_consumer;
        Some(slow_consumer.get_or_insert_with(new).poll(now, status, limits))
    }
}

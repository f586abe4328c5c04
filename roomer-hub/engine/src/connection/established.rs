//! An established connection: its state, and the resumption of a pending handler.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use roomer_hub::{ConnId, Input};
use roomer_proto::websocket::{Decoder, Event};

use crate::app::message::OwnedMessage;
use crate::connection::activity::Activity;
use crate::connection::dispatch::{CallOutcome, Dispatcher, PendingCall};
use crate::connection::keep_alive::KeepAlive;
use crate::connection::session_state::SessionState;
use crate::connection::slow_consumer::{Limits, SlowConsumer, Verdict};
use crate::core::Core;
use crate::options::Options;
use crate::outbound::compressed::Compression;
use crate::outbound::socket_writer::{SocketWriter, Status};
use crate::server::conn::Conn;
use crate::shared::Shared;
use crate::sync::MutexGuard;
use crate::timer::moment::Moment;

/// The minimum change in buffered bytes that is reported to the memory budget.
const REPORT_THRESHOLD: usize = 4096;

/// The state of an established connection, without its reader and writer.
pub(crate) struct Established {
    pub(crate) conn: Conn,
    pub(crate) decoder: Decoder,
    pub(crate) keep_alive: KeepAlive,
    pub(crate) activity: Activity,
    /// The time at which the connection's task must flush large rooms.
    pub(crate) flush_at: Option<Moment>,
    /// Present if the client uses the extended protocol.
    pub(crate) session_state: Option<Box<SessionState>>,
}

/// The result of resuming a pending handler or rule.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResumeResult {
    /// The handler or rule is still pending.
    Pending,
    /// The handler or rule has completed. Messages after it were handled, up to the next one whose
    /// handler is pending.
    Continue,
    /// The handler or rule has completed, and a later message has ended the connection.
    Ended,
}

impl Established {
    pub(crate) fn new(conn: Conn, compression: Compression, now: Duration) -> Self {
        Established {
            conn,
            decoder: compression.decoder(),
            keep_alive: KeepAlive::new(now),
            activity: Activity::default(),
            flush_at: None,
            session_state: None,
        }
    }

    /// Returns the session's id, or `None` for a plain client.
    pub(crate) fn session_id(&self) -> Option<ConnId> {
        self.session_state.as_ref().map(|_| self.conn.info.id)
    }

    /// Resets the per-socket state for the session's next socket, on which the client retransmits
    /// incomplete messages.
    pub(crate) fn reset_socket(&mut self, compression: Compression, now: Duration) {
        self.decoder = compression.decoder();
        self.keep_alive = KeepAlive::new(now);
        // Keep a pending handler, since it belongs to the session.
        let pending = self.activity.existing().and_then(|parts| parts.pending.take());
        self.activity = Activity::default();
        self.activity.wait_for(pending);
    }

    /// Polls a pending handler or rule. If it has completed, handles the messages after it.
    pub(crate) fn resume_call(
        &mut self,
        writer: &Arc<SocketWriter>,
        now: Duration,
        cx: &mut Context<'_>,
    ) -> ResumeResult {
        let shared = self.conn.server.0.clone();
        let key = self.conn.info.key;
        let Poll::Ready((outcome, owned)) = self.poll_call(&shared, now, cx) else {
            return ResumeResult::Pending;
        };
        // Take the lock after dropping the future, since dropping it may call the server.
        let mut core = shared.core();
        let (message, packet) = (owned.borrowed(), owned.packet());
        let dispatcher = Dispatcher { shared: &shared, conn: &self.conn, now };
        let input = match outcome {
            // A kick has already answered the join.
            CallOutcome::Judged(_) if core.joins.end(key) => {
                return self.handle_later(&shared, core, writer, now);
            }
            CallOutcome::Judged(true) => Input::Allowed { conn: key, packet },
            CallOutcome::Judged(false) => Input::Denied { conn: key, packet },
            CallOutcome::Handled(result) => {
                core = dispatcher.handled(core, &message, result);
                return self.handle_later(&shared, core, writer, now);
            }
            CallOutcome::Renewed(result) => {
                let renewed;
                (core, renewed) = dispatcher.renewed(core, packet.payload, result);
                self.inbound(&shared, writer, 0, now).1.renewed(renewed);
                shared.flush_after_input(now, core, &mut self.flush_at);
                return self.handle_buffered(&shared, writer, now);
            }
            CallOutcome::Panicked(panic) => {
                core = dispatcher.panicked(core, &message, panic);
                shared.flush_after_input(now, core, &mut self.flush_at);
                // The close frame is queued. The next step observes that the outbox is closing.
                return ResumeResult::Continue;
            }
        };
        let dispatched;
        (core, dispatched) = dispatcher.dispatch(core, input, packet);
        let (is_pending, is_closed) = (dispatched.pending.is_some(), dispatched.is_closed);
        self.inbound(&shared, writer, 0, now).1.record(dispatched);
        self.report_buffered(writer);
        shared.flush_after_input(now, core, &mut self.flush_at);
        match is_pending {
            // Do not return `Pending`: the new future has not been polled yet, so it does not hold
            // this task's waker.
            true => ResumeResult::Continue,
            false if is_closed => ResumeResult::Ended,
            false => self.handle_buffered(&shared, writer, now),
        }
    }

    /// Polls a pending handler or rule. Once it has completed, drops it, and returns its outcome
    /// and its message.
    fn poll_call(
        &mut self,
        shared: &Arc<Shared>,
        now: Duration,
        cx: &mut Context<'_>,
    ) -> Poll<(CallOutcome, OwnedMessage)> {
        let parts = self.activity.existing();
        let Some(call) = parts.and_then(|parts| parts.pending.as_mut()) else {
            return Poll::Pending;
        };
        // Application code is polled without the lock.
        let Poll::Ready(outcome) = shared.run_callback(|| call.poll(cx)) else {
            // Flush what the handler may have sent before it returned `Pending`.
            shared.flush_after_input(now, shared.core(), &mut self.flush_at);
            return Poll::Pending;
        };
        let call = self.activity.existing().and_then(|parts| parts.pending.take());
        let Some(PendingCall { message, .. }) = call.map(|call| *call) else {
            return Poll::Pending;
        };
        Poll::Ready((outcome, message))
    }

    /// Flushes what a completed call has queued, and handles the messages behind it.
    fn handle_later(
        &mut self,
        shared: &Arc<Shared>,
        core: MutexGuard<'_, Core>,
        writer: &Arc<SocketWriter>,
        now: Duration,
    ) -> ResumeResult {
        self.report_buffered(writer);
        shared.flush_after_input(now, core, &mut self.flush_at);
        self.handle_buffered(shared, writer, now)
    }

    /// Handles the messages buffered by the decoder while a handler was pending.
    fn handle_buffered(
        &mut self,
        shared: &Arc<Shared>,
        writer: &Arc<SocketWriter>,
        now: Duration,
    ) -> ResumeResult {
        // The server may have stopped reading in the meantime, so restart the time limit for a
        // partly received message.
        self.activity.restart_progress(now);
        match self.on_bytes(shared, writer, &mut [], now) {
            true => ResumeResult::Ended,
            false => ResumeResult::Continue,
        }
    }

    /// Reports the bytes held by the decoder and by pending calls to the memory budget.
    pub(crate) fn report_buffered(&mut self, writer: &SocketWriter) {
        let pending = self.activity.get().and_then(|parts| parts.pending.as_ref());
        let waiting = pending.map_or(0, |call| call.message.payload.len());
        let requests = self.session_state.as_ref().map_or(0, |session| session.requests.held());
        let buffered = self.decoder.held() + waiting + requests;
        // Do not report small changes, since each report takes the writer's lock. Always report
        // zero, since an idle connection must not count as holding any bytes.
        let reported = self.activity.get().map_or(0, |parts| parts.buffered);
        let is_large = buffered == 0 || buffered.max(reported) > REPORT_THRESHOLD;
        if buffered != reported && is_large {
            self.activity.begin().buffered = buffered;
            writer.set_buffered(buffered);
        }
    }

    /// Discards received messages up to the peer's close frame, and returns the code in that frame.
    /// Called once the connection is closed.
    pub(crate) fn skip_to_close(&mut self) -> Option<Option<u16>> {
        let limits = &self.conn.server.0.options().limits;
        let mut feed = self.decoder.feed(limits, &mut []);
        while let Some(event) = feed.next() {
            if let Ok(Event::Close { code, .. }) = event {
                return Some(code);
            }
        }
        None
    }

    /// Returns true if a handler or a congested receiver must be awaited before the next read.
    pub(crate) fn must_wait(&self) -> bool {
        let has_new = |session: &SessionState| session.requests.has_new();
        self.activity.is_paused()
            || self.activity.is_pending()
            || self.session_state.as_deref().is_some_and(has_new)
    }

    /// Returns true if the connection's own state keeps it from reading.
    pub(crate) fn is_reading_suspended(&self, status: Status) -> bool {
        status.is_above() || self.activity.is_pending() || self.activity.is_paused()
    }

    /// Returns the deadlines for a full socket, or `None` if it is not full.
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

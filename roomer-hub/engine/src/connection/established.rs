//! An open connection: what its messages lead to, and how long it may be behind.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use roomer_proto::websocket::{self, Event, Kind, Session};
use roomer_proto::{PacketRef, close};

use crate::app::conn::Conn;
use crate::app::hooks::DisconnectReason;
use crate::builder::options::Options;
use crate::connection::dispatch::{CallOutcome, Dispatcher, PendingCall};
use crate::core::Core;
use crate::outbound::outbox::{Outbox, Status};
use crate::sync::MutexGuard;
use roomer_hub::{Command, Input};

/// How long a connection that is owed too much may take nothing before it is closed, and for how
/// long it may take less than half of what it may be owed.
const SLOW_LIMITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));

/// The same for one that is owed [`FLOOD_FACTOR`] times too much, so that its share of a flood is
/// bounded.
const FLOOD_LIMITS: (Duration, Duration) = (STALL_AFTER, Duration::from_millis(500));

/// See [`FLOOD_LIMITS`].
const FLOOD_FACTOR: usize = 3;

/// How long one that is owed too much may take nothing before nobody is held back for it any
/// more: those who would be are not to wait for one that has stopped.
const STALL_AFTER: Duration = Duration::from_millis(50);

/// How long those who send to one that is owed too much are held back after each of their reads,
/// for each [`READ_QUANTUM`] of it.
const BACKPRESSURE_PAUSE: Duration = Duration::from_millis(20);

/// See [`BACKPRESSURE_PAUSE`].
const READ_QUANTUM: usize = 64 * 1024;

/// How much more of a message has to come in within each
/// [`message_timeout`](crate::Builder::message_timeout): some 17 kbit/s with the default.
const MESSAGE_PROGRESS: usize = 64 * 1024;

/// What a session may hold on to without anybody being told.
const REPORT_THRESHOLD: usize = 4096;

/// An open connection's state, but for its reader.
pub(crate) struct Established {
    pub(crate) conn: Conn,
    pub(crate) session: Session,
    /// What its link knows the session to hold on to.
    unfinished: usize,
    /// When the client last gave a sign of life: bytes came in, or its full socket took some.
    pub(crate) last_received: Duration,
    /// What the link's count of the latter was then.
    relieved: u64,
    pub(crate) last_ping: Duration,
    /// When a ping was first sent since something came in.
    pub(crate) ping_unanswered_since: Option<Duration>,
    /// Of a message that has not come in whole: since when how many bytes of it have been there.
    pub(crate) message: Option<(Duration, usize)>,
    /// When the outbox last moved, for as long as its socket is full.
    /// Boxed, since few connections have one.
    slow_consumer: Option<Box<SlowConsumer>>,
    /// One that is owed too much, for whose sake nothing is read until then.
    pub(crate) pause: Option<(Arc<Outbox>, Duration)>,
    /// A handler or a rule that takes its time; nothing else of this connection is handled
    /// before it is done.
    pub(crate) wait: Option<Box<PendingCall>>,
    /// From when on this connection's turn is to flush large rooms.
    pub(crate) flush_at: Option<Duration>,
}

struct SlowConsumer {
    moved: Duration,
    written: u64,
    /// Since when, and since how many bytes, too much has been owed.
    over: Option<(Duration, u64)>,
}

/// Why a session ends from within.
enum End {
    Violation(u16, String),
    ByPeer(Option<u16>),
    /// The hub has closed the connection.
    ByHub,
}

/// Takes in bytes of an open connection. True when the session is over.
pub(crate) fn on_bytes(
    outbox: &Arc<Outbox>,
    open: &mut Established,
    chunk: &mut [u8],
    now: Duration,
) -> bool {
    let server = open.conn.server.clone();
    let options = server.options();
    let key = open.conn.info.key;
    (open.last_received, open.ping_unanswered_since) = (now, None);
    let mut core = server.core();
    core.counts.bytes_in += chunk.len() as u64;
    let held = now + BACKPRESSURE_PAUSE * chunk.len().div_ceil(READ_QUANTUM).max(1) as u32;
    let mut feed = open.session.feed(&options.limits, chunk);
    let (mut end, mut has_message) = (None, false);
    while open.wait.is_none()
        && let Some(event) = feed.next()
    {
        has_message |= matches!(event, Ok(Event::Message { .. }));
        let packet = match event {
            Ok(Event::Message { kind: Kind::Text, .. }) if !options.accept_text => {
                let (code, reason) = close::TEXT.frame();
                end = Some(End::Violation(code, reason.into()));
                break;
            }
            Ok(Event::Message { kind, data }) if options.echo => {
                core.echo(key, kind, data);
                continue;
            }
            Ok(Event::Message { data, .. }) => PacketRef::decode(data),
            Ok(Event::Ping(payload)) => {
                let mut pong = Vec::new();
                websocket::pong_frame(payload, &mut pong);
                // One that does not read its pongs gets no more of them.
                let _ = core.send(key, pong);
                continue;
            }
            Ok(Event::Pong(_)) => continue,
            Ok(Event::Close { code, .. }) => {
                end = Some(End::ByPeer(code));
                break;
            }
            Err(violation) => {
                end = Some(End::Violation(violation.code, violation.reason.into()));
                break;
            }
        };
        let packet = match packet {
            Ok(packet) => packet,
            Err(error) => {
                end = Some(End::Violation(error.close_code(), error.to_string()));
                break;
            }
        };
        core.counts.messages_in += 1;
        let passage = Dispatcher { server: &server, conn: &open.conn, now };
        let dispatched;
        (core, dispatched) = passage.dispatch(core, Input::Packet { conn: key, packet }, packet);
        open.wait = dispatched.wait;
        open.pause = pause(dispatched.congested, outbox, held).or(open.pause.take());
        if dispatched.is_closed {
            end = Some(End::ByHub);
            break;
        }
    }
    drop(feed);
    let is_over = end.is_some();
    match end {
        Some(End::Violation(code, reason)) => {
            let close = Command::Close { conn: key, code, reason: &reason };
            core.apply(now, Input::Command(close), None);
        }
        Some(End::ByPeer(code)) => {
            core.gone(now, key, DisconnectReason::ByPeer(code));
            outbox.close(code, "", false);
            core.schedule(key, outbox);
        }
        Some(End::ByHub) | None => {}
    }
    open.record_progress(now, has_message);
    open.report_buffered(outbox);
    finish_poll(now, core, open);
    is_over
}

/// What became of something that a connection waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResumeResult {
    /// Nothing yet.
    Not,
    /// It is done; there may be something new to wait for.
    On,
    /// It is done, and what lay behind it has ended the session.
    Over,
}

/// Goes on with what a handler or a rule has kept waiting.
pub(crate) fn resume_call(
    outbox: &Arc<Outbox>,
    open: &mut Established,
    now: Duration,
    cx: &mut Context<'_>,
) -> ResumeResult {
    let Some(wait) = &mut open.wait else { return ResumeResult::Not };
    let server = open.conn.server.clone();
    let key = open.conn.info.key;
    let ran = server.run_callback(|| wait.poll(cx));
    let mut core = server.core();
    let Poll::Ready(outcome) = ran else {
        finish_poll(now, core, open);
        return ResumeResult::Not;
    };
    let Some(PendingCall { message: owned, .. }) = open.wait.take().map(|wait| *wait) else {
        return ResumeResult::Not;
    };
    let (message, packet) = (owned.borrowed(), owned.packet());
    let passage = Dispatcher { server: &server, conn: &open.conn, now };
    let verdict = match outcome {
        CallOutcome::Judged(true) => Input::Allowed { conn: key, packet },
        CallOutcome::Judged(false) => Input::Denied { conn: key, packet },
        CallOutcome::Handled(result) => {
            core = passage.handled(core, &message, result);
            open.report_buffered(outbox);
            finish_poll(now, core, open);
            return ResumeResult::leftover(outbox, open, now);
        }
        CallOutcome::Panicked(panic) => {
            finish_poll(now, passage.panicked(core, &message, panic), open);
            return ResumeResult::On;
        }
    };
    let dispatched;
    (core, dispatched) = passage.dispatch(core, verdict, packet);
    open.wait = dispatched.wait;
    open.pause =
        pause(dispatched.congested, outbox, now + BACKPRESSURE_PAUSE).or(open.pause.take());
    open.report_buffered(outbox);
    finish_poll(now, core, open);
    match open.wait {
        Some(_) => ResumeResult::On,
        None if dispatched.is_closed => ResumeResult::Over,
        None => ResumeResult::leftover(outbox, open, now),
    }
}

impl ResumeResult {
    /// What came in meanwhile and lies in the session is next.
    fn leftover(outbox: &Arc<Outbox>, open: &mut Established, now: Duration) -> Self {
        if on_bytes(outbox, open, &mut [], now) { ResumeResult::Over } else { ResumeResult::On }
    }
}

/// For whose sake to read nothing, and until when.
fn pause(
    congested: Option<Arc<Outbox>>,
    own: &Arc<Outbox>,
    until: Duration,
) -> Option<(Arc<Outbox>, Duration)> {
    Some((congested.filter(|congested| !Arc::ptr_eq(congested, own))?, until))
}

/// Writes what the turn has led to, once the lock is released, and tells the application.
pub(crate) fn finish_poll(now: Duration, core: MutexGuard<'_, Core>, open: &mut Established) {
    let mut has_events = write(now, core, open);
    while has_events {
        let server = open.conn.server.clone();
        server.run_hooks();
        has_events = write(now, server.core(), open);
    }
}

/// Writes what is due. True when there is something to tell the application.
fn write(now: Duration, mut core: MutexGuard<'_, Core>, open: &mut Established) -> bool {
    let server = &open.conn.server;
    let work = core.take(false);
    let is_claimed = core.take_flush_duty();
    let has_events = core.hook_queue.try_start();
    drop(core);
    let more = server.write(work);
    if more {
        open.flush_at = Some(now);
    } else if is_claimed && open.flush_at.is_none() {
        open.flush_at = Some(now + server.options().coalesce);
    }
    has_events
}

impl Established {
    /// A connection that has just been opened.
    pub(crate) fn new(conn: Conn, now: Duration) -> Self {
        Established {
            conn,
            session: Session::new(),
            unfinished: 0,
            last_received: now,
            relieved: 0,
            last_ping: now,
            ping_unanswered_since: None,
            message: None,
            slow_consumer: None,
            pause: None,
            wait: None,
            flush_at: None,
        }
    }

    /// Tells the link what the session holds on to, and a handler that keeps it waiting.
    fn report_buffered(&mut self, outbox: &Outbox) {
        let waiting = self.wait.as_ref().map_or(0, |wait| wait.message.payload.len());
        let unfinished = self.session.held() + waiting;
        if unfinished != self.unfinished && unfinished.max(self.unfinished) > REPORT_THRESHOLD {
            self.unfinished = unfinished;
            outbox.set_unfinished(unfinished);
        }
    }

    /// The connection is closed: of what came in and was not handled, only the peer's own close
    /// frame still matters.
    pub(crate) fn skip_to_close(&mut self) {
        let limits = &self.conn.server.options().limits;
        let mut feed = self.session.feed(limits, &mut []);
        while feed.next().is_some() {}
    }

    /// Takes note of how much there is of a message that has not come in whole. `is_new`: another
    /// one has come in since the last time.
    fn record_progress(&mut self, now: Duration, is_new: bool) {
        let bytes = self.session.unfinished();
        self.message = match self.message {
            _ if bytes == 0 => None,
            Some(message) if !is_new && bytes < message.1 + MESSAGE_PROGRESS => Some(message),
            _ => Some((now, bytes)),
        };
    }

    /// While nothing is read, a message that has not come in whole gets its time anew.
    pub(crate) fn record_unread(&mut self, now: Duration, status: Status) {
        if (status.over || self.wait.is_some() || self.pause.is_some())
            && let Some((since, _)) = &mut self.message
        {
            *since = now;
        }
    }

    /// Whether nothing is to be read yet, for the sake of one that is owed too much.
    pub(crate) fn is_paused(&mut self, now: Duration, cx: &Context<'_>) -> bool {
        if let Some((outbox, until)) = &self.pause
            && (now >= *until || outbox.poll_uncongested(cx).is_ready())
        {
            self.pause = None;
        }
        self.pause.is_some()
    }

    /// Takes what a full socket has taken for a sign of life: behind a large message, neither a ping
    /// nor its answer arrives before that is through.
    pub(crate) fn record_relief(&mut self, now: Duration, status: Status) {
        if self.relieved != status.relieved {
            (self.relieved, self.last_received) = (status.relieved, now);
        }
    }

    /// When the connection is to be given up, if its socket stays full until then, and when to
    /// look again.
    pub(crate) fn poll_slow(
        &mut self,
        now: Duration,
        outbox: &Outbox,
        status: Status,
        options: &Options,
    ) -> Option<(Duration, Duration)> {
        if !status.blocked {
            self.slow_consumer = None;
            return None;
        }
        let written = status.written;
        let slow_consumer = self
            .slow_consumer
            .get_or_insert_with(|| Box::new(SlowConsumer { moved: now, written, over: None }));
        if slow_consumer.written != written {
            (slow_consumer.moved, slow_consumer.written) = (now, written);
        }
        if status.over && now >= slow_consumer.moved + STALL_AFTER {
            outbox.mark_stalled();
        }
        // A large message may take a slow link its time, whatever small ones wait behind it.
        let counted = status.queued.saturating_sub(outbox.large_on_its_way());
        if !status.over || counted.saturating_sub(status.newest) <= options.max_backlog / 2 {
            slow_consumer.over = None;
            let verdict = slow_consumer.moved + options.write_timeout;
            let look =
                if status.over && !outbox.is_stalled() { now + STALL_AFTER } else { verdict };
            return Some((verdict, verdict.min(look)));
        }
        let (since, before) = *slow_consumer.over.get_or_insert((now, written));
        if written - before >= options.max_backlog as u64 / 2 {
            slow_consumer.over = Some((now, written));
        }
        let is_flooded = counted > options.max_backlog.saturating_mul(FLOOD_FACTOR);
        let (mark_stalled, trickle) = if is_flooded { FLOOD_LIMITS } else { SLOW_LIMITS };
        let verdict =
            (slow_consumer.moved + mark_stalled.min(options.write_timeout)).min(since + trickle);
        Some((verdict, verdict.min(now + STALL_AFTER)))
    }
}

//! An open connection: what its messages lead to, and how long it may be behind.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use roomer_proto::websocket::{self, Event, Kind, Session};
use roomer_proto::{PacketRef, close};

use crate::app::conn::Conn;
use crate::app::hooks::DisconnectReason;
use crate::builder::options::Options;
use crate::connection::dispatch::{Outcome, Passage, Wait};
use crate::core::Core;
use crate::outbound::outbox::{Link, Status};
use crate::sync::MutexGuard;
use roomer_hub::{Command, Input};

/// How long a connection that is owed too much may take nothing before it is closed, and for how
/// long it may take less than half of what it may be owed.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));

/// The same for one that is owed [`FLOODED`] times too much, so that its share of a flood is
/// bounded.
const IMPATIENCE: (Duration, Duration) = (QUIET, Duration::from_millis(500));

/// See [`IMPATIENCE`].
const FLOODED: usize = 3;

/// How long one that is owed too much may take nothing before nobody is held back for it any
/// more: those who would be are not to wait for one that has stopped.
const QUIET: Duration = Duration::from_millis(50);

/// How long those who send to one that is owed too much are held back after each of their reads,
/// for each [`SWALLOW`] of it.
const HOLD: Duration = Duration::from_millis(20);

/// See [`HOLD`].
const SWALLOW: usize = 64 * 1024;

/// How much more of a message has to come in within each
/// [`message_timeout`](crate::Builder::message_timeout): some 17 kbit/s with the default.
const PROGRESS: usize = 64 * 1024;

/// What a session may hold on to without anybody being told.
const SMALL_CHANGE: usize = 4096;

/// An open connection's state, but for its reader.
pub(crate) struct Open {
    pub(crate) conn: Conn,
    pub(crate) session: Session,
    /// What its link knows the session to hold on to.
    unfinished: usize,
    /// When the client last gave a sign of life: bytes came in, or its full socket took some.
    pub(crate) heard: Duration,
    /// What the link's count of the latter was then.
    relieved: u64,
    pub(crate) pinged: Duration,
    /// When a ping was first sent since something came in.
    pub(crate) asked: Option<Duration>,
    /// Of a message that has not come in whole: since when how many bytes of it have been there.
    pub(crate) message: Option<(Duration, usize)>,
    /// When the outbox last moved, for as long as its socket is full.
    /// Boxed, since few connections have one.
    watch: Option<Box<Watch>>,
    /// One that is owed too much, for whose sake nothing is read until then.
    pub(crate) hold: Option<(Arc<Link>, Duration)>,
    /// A handler or a rule that takes its time; nothing else of this connection is handled
    /// before it is done.
    pub(crate) wait: Option<Box<Wait>>,
    /// From when on this connection's turn is to flush large rooms.
    pub(crate) come_back: Option<Duration>,
}

struct Watch {
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
pub(crate) fn receive(link: &Arc<Link>, open: &mut Open, chunk: &mut [u8], now: Duration) -> bool {
    let server = open.conn.server.clone();
    let options = server.options();
    let key = open.conn.person.key;
    (open.heard, open.asked) = (now, None);
    let mut core = server.core();
    core.counts.bytes_in += chunk.len() as u64;
    let held = now + HOLD * chunk.len().div_ceil(SWALLOW).max(1) as u32;
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
        let passage = Passage { server: &server, conn: &open.conn, now };
        let passed;
        (core, passed) = passage.pass(core, Input::Packet { conn: key, packet }, packet);
        open.wait = passed.wait;
        open.hold = hold(passed.jam, link, held).or(open.hold.take());
        if passed.is_closed {
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
            link.close(code, "", false);
            core.list(key, link);
        }
        Some(End::ByHub) | None => {}
    }
    open.note_progress(now, has_message);
    open.weigh(link);
    end_turn(now, core, open);
    is_over
}

/// What became of something that a connection waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resumed {
    /// Nothing yet.
    Not,
    /// It is done; there may be something new to wait for.
    On,
    /// It is done, and what lay behind it has ended the session.
    Over,
}

/// Goes on with what a handler or a rule has kept waiting.
pub(crate) fn resume(
    link: &Arc<Link>,
    open: &mut Open,
    now: Duration,
    cx: &mut Context<'_>,
) -> Resumed {
    let Some(wait) = &mut open.wait else { return Resumed::Not };
    let server = open.conn.server.clone();
    let key = open.conn.person.key;
    let ran = server.in_turn(|| wait.poll(cx));
    let mut core = server.core();
    let Poll::Ready(outcome) = ran else {
        end_turn(now, core, open);
        return Resumed::Not;
    };
    let Some(Wait { message: owned, .. }) = open.wait.take().map(|wait| *wait) else {
        return Resumed::Not;
    };
    let (message, packet) = (owned.borrowed(), owned.packet());
    let passage = Passage { server: &server, conn: &open.conn, now };
    let verdict = match outcome {
        Outcome::Judged(true) => Input::Allowed { conn: key, packet },
        Outcome::Judged(false) => Input::Denied { conn: key, packet },
        Outcome::Handled(result) => {
            core = passage.handled(core, &message, result);
            open.weigh(link);
            end_turn(now, core, open);
            return Resumed::behind(link, open, now);
        }
        Outcome::Panicked(panic) => {
            end_turn(now, passage.panicked(core, &message, panic), open);
            return Resumed::On;
        }
    };
    let passed;
    (core, passed) = passage.pass(core, verdict, packet);
    open.wait = passed.wait;
    open.hold = hold(passed.jam, link, now + HOLD).or(open.hold.take());
    open.weigh(link);
    end_turn(now, core, open);
    match open.wait {
        Some(_) => Resumed::On,
        None if passed.is_closed => Resumed::Over,
        None => Resumed::behind(link, open, now),
    }
}

impl Resumed {
    /// What came in meanwhile and lies in the session is next.
    fn behind(link: &Arc<Link>, open: &mut Open, now: Duration) -> Self {
        if receive(link, open, &mut [], now) { Resumed::Over } else { Resumed::On }
    }
}

/// For whose sake to read nothing, and until when.
fn hold(jam: Option<Arc<Link>>, own: &Arc<Link>, until: Duration) -> Option<(Arc<Link>, Duration)> {
    Some((jam.filter(|jam| !Arc::ptr_eq(jam, own))?, until))
}

/// Writes what the turn has led to, once the lock is released, and tells the application.
pub(crate) fn end_turn(now: Duration, core: MutexGuard<'_, Core>, open: &mut Open) {
    let mut is_news = write(now, core, open);
    while is_news {
        let server = open.conn.server.clone();
        server.tell();
        is_news = write(now, server.core(), open);
    }
}

/// Writes what is due. True when there is something to tell the application.
fn write(now: Duration, mut core: MutexGuard<'_, Core>, open: &mut Open) -> bool {
    let server = &open.conn.server;
    let work = core.take(false);
    let is_claimed = core.claim();
    let is_news = core.wire.begin();
    drop(core);
    let more = server.write(work);
    if more {
        open.come_back = Some(now);
    } else if is_claimed && open.come_back.is_none() {
        open.come_back = Some(now + server.options().coalesce);
    }
    is_news
}

impl Open {
    /// A connection that has just been opened.
    pub(crate) fn new(conn: Conn, now: Duration) -> Self {
        Open {
            conn,
            session: Session::new(),
            unfinished: 0,
            heard: now,
            relieved: 0,
            pinged: now,
            asked: None,
            message: None,
            watch: None,
            hold: None,
            wait: None,
            come_back: None,
        }
    }

    /// Tells the link what the session holds on to, and a handler that keeps it waiting.
    fn weigh(&mut self, link: &Link) {
        let waiting = self.wait.as_ref().map_or(0, |wait| wait.message.payload.len());
        let unfinished = self.session.held() + waiting;
        if unfinished != self.unfinished && unfinished.max(self.unfinished) > SMALL_CHANGE {
            self.unfinished = unfinished;
            link.set_unfinished(unfinished);
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
    fn note_progress(&mut self, now: Duration, is_new: bool) {
        let bytes = self.session.unfinished();
        self.message = match self.message {
            _ if bytes == 0 => None,
            Some(message) if !is_new && bytes < message.1 + PROGRESS => Some(message),
            _ => Some((now, bytes)),
        };
    }

    /// While nothing is read, a message that has not come in whole gets its time anew.
    pub(crate) fn note_unread(&mut self, now: Duration, status: Status) {
        if (status.over || self.wait.is_some() || self.hold.is_some())
            && let Some((since, _)) = &mut self.message
        {
            *since = now;
        }
    }

    /// Whether nothing is to be read yet, for the sake of one that is owed too much.
    pub(crate) fn is_held(&mut self, now: Duration, cx: &Context<'_>) -> bool {
        if let Some((link, until)) = &self.hold
            && (now >= *until || link.poll_relief(cx).is_ready())
        {
            self.hold = None;
        }
        self.hold.is_some()
    }

    /// Takes what a full socket has taken for a sign of life: behind a large message, neither a ping
    /// nor its answer arrives before that is through.
    pub(crate) fn note_relief(&mut self, now: Duration, status: Status) {
        if self.relieved != status.relieved {
            (self.relieved, self.heard) = (status.relieved, now);
        }
    }

    /// When the connection is to be given up, if its socket stays full until then, and when to
    /// look again.
    pub(crate) fn stuck(
        &mut self,
        now: Duration,
        link: &Link,
        status: Status,
        options: &Options,
    ) -> Option<(Duration, Duration)> {
        if !status.blocked {
            self.watch = None;
            return None;
        }
        let written = status.written;
        let watch =
            self.watch.get_or_insert_with(|| Box::new(Watch { moved: now, written, over: None }));
        if watch.written != written {
            (watch.moved, watch.written) = (now, written);
        }
        if status.over && now >= watch.moved + QUIET {
            link.stall();
        }
        // A large message may take a slow link its time, whatever small ones wait behind it.
        let counted = status.queued.saturating_sub(link.large_on_its_way());
        if !status.over || counted.saturating_sub(status.newest) <= options.max_backlog / 2 {
            watch.over = None;
            let verdict = watch.moved + options.write_timeout;
            let look = if status.over && !link.is_stalled() { now + QUIET } else { verdict };
            return Some((verdict, verdict.min(look)));
        }
        let (since, before) = *watch.over.get_or_insert((now, written));
        if written - before >= options.max_backlog as u64 / 2 {
            watch.over = Some((now, written));
        }
        let is_flooded = counted > options.max_backlog.saturating_mul(FLOODED);
        let (stall, trickle) = if is_flooded { IMPATIENCE } else { PATIENCE };
        let verdict = (watch.moved + stall.min(options.write_timeout)).min(since + trickle);
        Some((verdict, verdict.min(now + QUIET)))
    }
}

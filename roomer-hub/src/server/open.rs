//! An open connection: what its messages lead to, and how long it may be behind.

use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use roomer_proto::PacketRef;
use roomer_proto::websocket::{self, Event, Kind, Session, code};

use super::conn::Conn;
use super::core::Core;
use super::link::{Link, Status};
use super::options::Options;
use super::sync::MutexGuard;
use crate::input::{Command, Input};

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

/// How long those who send to one that is owed too much are held back after each of their reads.
const HOLD: Duration = Duration::from_millis(20);

/// An open connection's state, but for its reader.
pub(super) struct Open {
    pub(super) conn: Conn,
    pub(super) session: Session,
    /// When something last came in.
    pub(super) heard: Duration,
    pub(super) pinged: Duration,
    /// When a ping was first sent since something came in.
    pub(super) asked: Option<Duration>,
    /// When the outbox last moved, for as long as its socket is full.
    /// Boxed, since few connections have one.
    watch: Option<Box<Watch>>,
    /// One that is owed too much, for whose sake nothing is read until then.
    pub(super) hold: Option<(Arc<Link>, Duration)>,
    /// From when on this connection's turn is to flush large rooms.
    pub(super) come_back: Option<Duration>,
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
}

/// Takes in bytes of an open connection. True when the session is over.
pub(super) fn receive(link: &Arc<Link>, open: &mut Open, chunk: &mut [u8], now: Duration) -> bool {
    let server = open.conn.server.clone();
    let options = server.options();
    let key = open.conn.key;
    (open.heard, open.asked) = (now, None);
    let mut core = server.core();
    let mut feed = open.session.feed(&options.limits, chunk);
    let mut end = None;
    while let Some(event) = feed.next() {
        let packet = match event {
            Ok(Event::Message { kind: Kind::Text, .. }) if !options.accept_text => {
                let reason = "text is not served here; send binary";
                end = Some(End::Violation(code::UNSUPPORTED, reason.into()));
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
        let outcome = core.apply(now, Input::Packet { conn: key, packet }, None);
        if let Some(jam) = outcome.jam.filter(|jam| !Arc::ptr_eq(jam, link)) {
            open.hold = Some((jam, now + HOLD));
        }
        if let Some(handler) = outcome.call {
            drop(core);
            let message = PacketRef { src: open.conn.id.as_str(), ..packet };
            server.call(handler, &open.conn, &message);
            core = server.core();
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
            core.gone(now, key);
            link.close(code, "", false);
            core.list(key, link);
        }
        None => {}
    }
    end_turn(now, core, open);
    is_over
}

/// Writes what the turn has led to, once the lock is released.
pub(super) fn end_turn(now: Duration, mut core: MutexGuard<'_, Core>, open: &mut Open) {
    let server = &open.conn.server;
    let work = core.take(false);
    let is_claimed = core.claim();
    drop(core);
    let more = server.write(work);
    if more {
        open.come_back = Some(now);
    } else if is_claimed && open.come_back.is_none() {
        open.come_back = Some(now + server.options().coalesce);
    }
}

impl Open {
    /// A connection that has just been opened.
    pub(super) fn new(conn: Conn, now: Duration) -> Self {
        Open {
            conn,
            session: Session::new(),
            heard: now,
            pinged: now,
            asked: None,
            watch: None,
            hold: None,
            come_back: None,
        }
    }

    /// Whether nothing is to be read yet, for the sake of one that is owed too much.
    pub(super) fn is_held(&mut self, now: Duration, cx: &Context<'_>) -> bool {
        if let Some((link, until)) = &self.hold
            && (now >= *until || link.poll_relief(cx).is_ready())
        {
            self.hold = None;
        }
        self.hold.is_some()
    }

    /// When the connection is to be given up, if its socket stays full until then, and when to
    /// look again.
    pub(super) fn stuck(
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
        if !status.over {
            watch.over = None;
            let verdict = watch.moved + options.write_wait;
            return Some((verdict, verdict));
        }
        if now >= watch.moved + QUIET {
            link.stall();
        }
        let (since, before) = *watch.over.get_or_insert((now, written));
        if written - before >= options.max_backlog as u64 / 2 {
            watch.over = Some((now, written));
        }
        let is_flooded = status.queued > options.max_backlog.saturating_mul(FLOODED);
        let (stall, trickle) = if is_flooded { IMPATIENCE } else { PATIENCE };
        let verdict = (watch.moved + stall.min(options.write_wait)).min(since + trickle);
        Some((verdict, verdict.min(now + QUIET)))
    }
}

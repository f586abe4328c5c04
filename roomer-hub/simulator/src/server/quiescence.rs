//! What must be true when nobody has anything to do, and when all is over.

use std::time::Duration;

use roomer_hub::Presence;

use super::conn_model::{End, State};
use super::expected::{ExpectedItem, Order};
use super::harness::Harness;
use super::marks::Mark;
use super::plan::{ClientFrame, Ending, Form, RequestKind, Size, Step};
use crate::alphabet::room_number;
use crate::fault::{Fault, ensure};
use crate::hub::op::IdSet;
use crate::hub::plan::{Address, Payload};

/// See the engine's `open.rs`: how long senders are held back after each read, for each [`SWALLOW`]
/// of it.
const BACKPRESSURE_PAUSE: Duration = Duration::from_millis(20);

/// See [`HOLD`].
const READ_QUANTUM: u64 = 64 * 1024;

/// See the engine's `closing`: behind so much of a message no close frame is looked for. What a
/// session holds may have room for twice as much.
const CLOSE_SCAN_LIMIT: usize = 32 * 1024;

/// See the engine's `closing`: how much is read after the close.
const MAX_READ_AFTER_CLOSE: u64 = 256 * 1024;

impl Harness<'_> {
    /// Checks the whole of it when no task is woken.
    pub(super) fn check_idle(&mut self) -> Result<(), Fault> {
        self.server.audit(true).map_err(Fault::new)?;
        self.check_counts()?;
        self.marks.mark(self.model.rejected_packets.no_shared_room > 0, Mark::NoSharedRoom);
        ensure!(self.pending_hooks.is_empty(), "no hook has heard of {:?}", self.pending_hooks);
        let waiting = self.conns.iter().filter(|conn| conn.waiting.is_some()).count();
        let running = self.application.state().running;
        ensure!(running == waiting, "{running} handlers are under way, due are {waiting}");
        let pending_auth = self.conns.iter().filter(|conn| conn.pending_auth.is_some()).count();
        let auth_in_progress = self.application.state().auth_in_progress;
        ensure!(
            auth_in_progress == pending_auth,
            "{auth_in_progress} are being thought about, due are {pending_auth}"
        );
        let state = self.application.state();
        let unasked = state.auth_calls.len() + state.auth_decided.len();
        drop(state);
        ensure!(unasked == 0, "the hook was asked, or has decided, {unasked} times too often");
        let is_ready = !self.is_stopping && self.drain.is_none() && !self.is_full();
        let found = (self.server.is_ready(), self.server.is_live());
        let expected = (is_ready, !self.is_stopping);
        ensure!(found == expected, "ready and live: {found:?}, due: {expected:?}");
        self.check_drain()?;
        for at in 0..self.conns.len() {
            self.check_line(at)
                .map_err(|Fault(what)| Fault::new(format!("at rest, connection {at}: {what}")))?;
        }
        Ok(())
    }

    fn check_line(&mut self, at: usize) -> Result<(), Fault> {
        let (now, setup) = (self.now(), &self.plan.setup);
        let millis = Duration::from_millis;
        let (may_pause_senders, close_timeout) = (self.may_pause_senders(), self.close_timeout(at));
        let conn = &mut self.conns[at];
        let has_room = conn.peer.has_space();
        let (unread, is_read) = (conn.peer.unread(), conn.is_fully_read());
        let may_be_congested = conn.expected.outstanding() > setup.max_backlog as u64 / 2;
        let mut is_paused = false;
        let reads = |what: &str| Fault::new(format!("{what} and nobody reads"));
        if let Some(waiting) = conn.waiting {
            ensure!(conn.state == State::Open, "it is closed, and its handler goes on");
            let is_asleep = waiting.until.is_some_and(|until| now < until);
            ensure!(is_asleep, "its handler waits until {:?}", waiting.until);
        }
        if conn.state == State::LogEntry {
            ensure!(conn.peer.is_dropped(), "its task has ended, its socket is kept");
            let lacks = conn.expected.items.iter().any(|item| !item.is_optional)
                && !conn.expected.is_finished;
            ensure!(
                !(conn.has_closed_cleanly && lacks),
                "its last words are lost: {}",
                conn.expected.describe()
            );
            return Ok(());
        }
        ensure!(!conn.is_aborted, "its task was dropped");
        match conn.state {
            State::Handshake => {
                ensure!(!self.is_stopping, "a handshake outlives the stop");
                ensure!(now < conn.created + millis(setup.handshake), "a handshake without end");
                let is_asleep =
                    conn.pending_auth.is_none_or(|pending_auth| now < pending_auth.until);
                ensure!(is_asleep, "the hook has decided, and nobody is let in or refused");
                let is_measured =
                    conn.pending_auth.is_none_or(|pending_auth| conn.read <= pending_auth.most);
                ensure!(is_measured, "too much is read before the hook has decided");
                let may_wait = conn.is_buffer_full();
                ensure!(may_wait || (unread == 0 && !is_read), "a handshake that is not read");
                self.marks.mark(may_wait && unread > 0, Mark::UnreadDuringAuth);
            }
            State::Open => {
                ensure!(!self.is_stopping, "it outlives the stop");
                // What was queued was not too much. What a room still owes may become it.
                conn.expected.may_exceed_limit &= setup.coalesce > 0;
                let is_late = now >= conn.last_ping + millis(setup.ping);
                ensure!(!is_late, "no ping since {:?}", conn.last_ping);
                let (pong, pong_margin) = (millis(setup.pong), millis(setup.pong - setup.ping));
                let received = conn.last_received.max(conn.writable.1);
                let silent =
                    conn.unanswered_ping.map(|asked| (received + pong).max(asked + pong_margin));
                let is_silent = silent.is_some_and(|at| now >= at) && !conn.is_ping_order_unknown;
                ensure!(!is_silent || conn.waiting.is_some(), "silent since {received:?}");
                if conn.waiting.is_some() {
                    // Nothing is read before its handler is done.
                    self.marks.mark(unread > 0, Mark::UnreadBehindSlow);
                } else if unread > 0 || is_read {
                    self.marks.mark(may_pause_senders, Mark::SenderPaused);
                    conn.was_unread = true;
                    if !may_pause_senders {
                        return Err(reads("bytes have arrived"));
                    }
                    // Whoever is held back reads something every now and then.
                    let swallows = conn.last_read.div_ceil(READ_QUANTUM).max(1) as u32;
                    let waits = (conn.read, now);
                    let (read, since) = *conn.paused.get_or_insert(waits);
                    if read != conn.read {
                        conn.paused = Some(waits);
                    } else if now >= since + BACKPRESSURE_PAUSE * swallows && !may_be_congested {
                        return Err(reads("bytes have arrived long ago"));
                    }
                    is_paused = true;
                } else if std::mem::take(&mut conn.was_unread) {
                    self.marks.mark(true, Mark::SenderResumed);
                }
                if !is_paused {
                    conn.paused = None;
                }
                if has_room {
                    let coalesce = millis(setup.coalesce);
                    let waits = |item: &ExpectedItem| {
                        matches!(item.order, Order::Room(_)) && now < item.at + coalesce
                    };
                    let lacks = conn.expected.items.iter().find(|i| !i.is_optional && !waits(i));
                    if lacks.is_some() || conn.expected.pings > 0 {
                        return Err(Fault::new(format!("not sent: {}", conn.expected.describe())));
                    }
                    if !conn.expected.items.iter().any(waits) {
                        conn.expected.items.clear();
                        conn.expected.may_exceed_limit = false;
                        conn.expected.optional_pings = 0;
                        conn.expected.bytes = conn.expected.received_bytes;
                        conn.congested_since = None;
                    }
                    ensure!(!conn.expected.is_mid_frame(), "a frame is cut short");
                } else if conn.expected.outstanding() > 0 {
                    let limit = millis(setup.write);
                    let is_late = conn.blocked_since().is_some_and(|since| now >= since + limit);
                    let is_owed = conn.expected.items.iter().any(|item| !item.is_optional);
                    ensure!(!(is_late && is_owed), "it takes nothing since {:?}", conn.taken.1);
                }
            }
            State::Closing => {
                // Whoever was told has had its turn by now.
                let shared = conn.closed.get_or_insert((now, None)).1.get_or_insert(now);
                let is_late = now >= (*shared).max(conn.writable.1) + close_timeout;
                ensure!(!is_late, "it takes too long to close");
                let has_read = conn.peer.bytes_read() - conn.read_at_close;
                let is_enough = has_read >= MAX_READ_AFTER_CLOSE;
                ensure!(is_enough || (unread == 0 && !is_read), "it is closing, and nobody reads");
                // What it has read in the turn that closed it comes on top.
                ensure!(
                    has_read < 6 * MAX_READ_AFTER_CLOSE,
                    "it is closing, and reads on for ever"
                );
                if has_room {
                    let lacks = conn.expected.items.iter().any(|item| !item.is_optional);
                    if lacks && !conn.expected.is_finished {
                        return Err(Fault::new(format!(
                            "last words: {}",
                            conn.expected.describe()
                        )));
                    }
                    ensure!(conn.peer.is_shut_down(), "its last bytes are out, but no end");
                    let received = conn.closes_at.is_some_and(|at| conn.peer.bytes_read() >= at);
                    let ignores_input =
                        conn.ignores_input || conn.traffic.largest > CLOSE_SCAN_LIMIT;
                    ensure!(!received || ignores_input, "both have closed");
                }
            }
            State::LogEntry => {}
        }
        // The engine may have seen it later than it was.
        let coalesce = millis(setup.coalesce);
        let is_queued = |item: &ExpectedItem| {
            !matches!(item.order, Order::Room(_)) || now >= item.at + coalesce
        };
        let is_owed = !has_room && conn.expected.items.iter().any(is_queued);
        conn.is_blocked_since(is_owed.then_some(now));
        Ok(())
    }

    /// The faults are over: everything drains, everybody's view is the truth, a word in each room
    /// reaches everyone once; then all end, and nothing is left.
    pub(super) fn finish(&mut self) -> Result<(), Fault> {
        let setup = self.plan.setup;
        for at in 0..self.conns.len() {
            let conn = &mut self.conns[at];
            conn.peer.max_read(usize::MAX);
            conn.peer.max_write(usize::MAX);
            conn.peer.interrupt(0);
            if conn.end == Some(End::Lost) {
                conn.peer.end_stream(Err(std::io::ErrorKind::TimedOut));
                conn.peer.fail_writes(std::io::ErrorKind::TimedOut);
                (conn.end, conn.is_broken) = (Some(End::Arrived), true);
            } else if conn.end != Some(End::Arrived) {
                conn.peer.set_space(usize::MAX);
            }
        }
        self.deliver_all()?;
        // Long enough for whatever the engine waits for, so that all is decided.
        let longest = setup.close.max(setup.handshake).max(setup.write).max(1000);
        self.finish_calls(Duration::from_millis(longest + 50))?;
        self.compare_views()?;
        self.probe()?;
        self.end_all()
    }

    /// Delivers whatever is under way until nothing more comes of it.
    fn deliver_all(&mut self) -> Result<(), Fault> {
        self.run_until_idle()?;
        for _ in 0..1000 {
            let mut moved = false;
            for at in 0..self.conns.len() {
                let conn = &mut self.conns[at];
                if conn.peer.is_shut_down() && conn.traffic.under_way.is_empty() {
                    conn.end.get_or_insert(End::Sending);
                }
                let can_end = conn.end == Some(End::Sending);
                if !conn.traffic.under_way.is_empty() || can_end {
                    moved = true;
                    self.deliver(at, usize::MAX);
                }
            }
            self.run_until_idle()?;
            if !moved {
                return Ok(());
            }
        }
        Err(Fault::new("clients and server talk for ever".into()))
    }

    /// Lets time go on in small pieces, with clients that answer.
    fn run_for_answering(&mut self, span: Duration) -> Result<(), Fault> {
        let end = self.now() + span;
        loop {
            self.deliver_all()?;
            let Some(expected) = self.clock.next_deadline().filter(|expected| *expected <= end)
            else {
                break;
            };
            self.clock.advance_to(expected);
            self.run_until_idle()?;
        }
        self.clock.advance_to(end);
        self.deliver_all()
    }

    /// Lets time go on, and on as long as a handler or a rule waits: one may come after the other.
    fn finish_calls(&mut self, span: Duration) -> Result<(), Fault> {
        self.run_for_answering(span)?;
        for _ in 0..1000 {
            if self.conns.iter().all(|conn| conn.waiting.is_none()) {
                return Ok(());
            }
            self.run_for_answering(span.max(Duration::from_secs(1)))?;
        }
        Err(Fault::new("handlers and rules wait for ever".into()))
    }

    fn compare_views(&self) -> Result<(), Fault> {
        for (at, conn) in self.conns.iter().enumerate() {
            if conn.state != State::Open {
                continue;
            }
            ensure!(conn.peer.unread() == 0, "connection {at} has unread bytes when all is quiet");
            let client = conn.client.unwrap_or_default();
            let rooms = self.model.rooms.iter().filter(|room| room.members.contains(&client));
            let mut truth: Vec<(u8, IdSet)> = rooms
                .map(|room| {
                    let is_shown = |member: &&u16| {
                        **member == client || self.model.presence(room.name) == Presence::Full
                    };
                    let shown = room.members.iter().filter(is_shown);
                    let ids = shown.map(|&client| self.model.clients[usize::from(client)].id);
                    (room_number(room.name).unwrap_or(u8::MAX), ids.collect())
                })
                .collect();
            let mut view = conn.view.rooms.clone();
            truth.sort_by_key(|(room, _)| *room);
            view.sort_by_key(|(room, _)| *room);
            ensure!(truth == view, "connection {at} sees {view:?}, but there are {truth:?}");
        }
        Ok(())
    }

    /// Somebody in each room says something.
    fn probe(&mut self) -> Result<(), Fault> {
        let rooms: Vec<(&'static str, Vec<u16>)> =
            self.model.rooms.iter().map(|room| (room.name, room.members.clone())).collect();
        for (room, members) in rooms {
            let conns = members.iter().map(|&client| self.conn_of_client[usize::from(client)]);
            let Some(at) = { conns }.find(|&at| self.conns[at].can_send()) else { continue };
            let payload = Size::Bytes(Payload(77, 3));
            let (dst, src, form) = (Address::Nothing, Address::Nothing, Form::Whole);
            self.send(at, ClientFrame::Packet { room, event: "cha", dst, src, payload, form });
        }
        self.deliver_all()?;
        let coalesce = self.plan.setup.coalesce;
        self.finish_calls(Duration::from_millis(coalesce))?;
        for (at, conn) in self.conns.iter().enumerate() {
            let is_owed = conn.state == State::Open && !conn.expected.items.is_empty();
            ensure!(!is_owed, "connection {at} waits for a word: {}", conn.expected.describe());
        }
        Ok(())
    }

    fn end_all(&mut self) -> Result<(), Fault> {
        let setup = self.plan.setup;
        match setup.ending {
            Ending::Shutdown | Ending::Drain => {
                // One who has just come, and has said half of what it wants.
                let slot = 31;
                self.connect(slot, RequestKind::Upgrade);
                self.step(&Step::Deliver { slot, bytes: 50 })?;
                self.run_until_idle()?;
                let is_drain = setup.ending == Ending::Drain;
                self.step(if is_drain { &Step::Drain } else { &Step::Shutdown })?;
            }
            ending => {
                for at in 0..self.conns.len() {
                    let conn = &mut self.conns[at];
                    if ending == Ending::Close && conn.can_send() && !conn.ignores_input {
                        conn.traffic.close(Some(1000));
                        conn.closes_at = conn.traffic.pending.back().map(|sent| sent.at);
                    } else {
                        conn.end.get_or_insert(End::Sending);
                    }
                }
            }
        }
        let waiter = self.server.clone();
        let drained = self.tasks.spawn(async move { waiter.drained().await });
        self.deliver_all()?;
        let longest = Duration::from_millis(setup.close.max(setup.pong * 2) + 50);
        self.run_for_answering(longest.max(self.drain_wait()))?;
        for (at, conn) in self.conns.iter().enumerate() {
            ensure!(
                conn.state == State::LogEntry,
                "connection {at} is left over ({:?})",
                conn.state
            );
        }
        ensure!(self.tasks.is_done(drained), "all are gone, but the server is not drained");
        let stats = self.server.stats();
        let left = (stats.connections, stats.rooms, stats.sockets);
        ensure!(left == (0, 0, 0), "connections, rooms and sockets are left: {left:?}");
        self.steps += 1;
        Ok(())
    }
}

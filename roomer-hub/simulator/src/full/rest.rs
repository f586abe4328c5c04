//! What must be true when nobody has anything to do, and when all is over.

use std::time::Duration;

use roomer_hub::Presence;

use super::due::{Item, Order};
use super::line::{End, State};
use super::marks::Mark;
use super::plan::{Ask, Ending, Form, Size, Step, Talk};
use super::stage::Stage;
use crate::fault::{Fault, ensure};
use crate::names::room_number;
use crate::op::Set;
use crate::plan::{Address, Payload};

/// See the engine's `open.rs`: how long senders are held back after each read, for each [`SWALLOW`]
/// of it.
const HOLD: Duration = Duration::from_millis(20);

/// See [`HOLD`].
const SWALLOW: u64 = 64 * 1024;

/// See the engine's `closing`: behind so much of a message no close frame is looked for. What a
/// session holds may have room for twice as much.
const LOOK_BEHIND: usize = 32 * 1024;

/// See the engine's `closing`: how much is read after the close.
const READ_AWAY: u64 = 256 * 1024;

impl Stage<'_> {
    /// Checks the whole of it when no task is woken.
    pub(super) fn check_rest(&mut self) -> Result<(), Fault> {
        self.server.audit(true).map_err(Fault::new)?;
        self.check_counts()?;
        self.seen.mark(self.model.rejected_packets.no_shared_room > 0, Mark::NoCommonRoom);
        ensure!(self.untold.is_empty(), "no hook has heard of {:?}", self.untold);
        let waiting = self.lines.iter().filter(|line| line.waiting.is_some()).count();
        let running = self.application.state().running;
        ensure!(running == waiting, "{running} handlers are under way, due are {waiting}");
        let asking = self.lines.iter().filter(|line| line.asking.is_some()).count();
        let knocking = self.application.state().knocking;
        ensure!(knocking == asking, "{knocking} are being thought about, due are {asking}");
        let state = self.application.state();
        let unasked = state.knocks.len() + state.resolved.len();
        drop(state);
        ensure!(unasked == 0, "the hook was asked, or has decided, {unasked} times too often");
        let is_ready = !self.is_stopping && self.drain.is_none() && !self.is_full();
        let found = (self.server.is_ready(), self.server.is_live());
        let due = (is_ready, !self.is_stopping);
        ensure!(found == due, "ready and live: {found:?}, due: {due:?}");
        self.check_drain()?;
        for at in 0..self.lines.len() {
            self.check_line(at)
                .map_err(|Fault(what)| Fault::new(format!("at rest, connection {at}: {what}")))?;
        }
        Ok(())
    }

    fn check_line(&mut self, at: usize) -> Result<(), Fault> {
        let (now, setup) = (self.now(), &self.plan.setup);
        let millis = Duration::from_millis;
        let (may_hold, close_timeout) = (self.may_hold(), self.close_timeout(at));
        let line = &mut self.lines[at];
        let has_room = line.peer.has_room();
        let (unread, is_read) = (line.peer.unread(), line.is_read_to_the_end());
        let may_be_over = line.due.owed() > setup.max_backlog as u64 / 2;
        let mut is_held = false;
        let reads = |what: &str| Fault::new(format!("{what} and nobody reads"));
        if let Some(waiting) = line.waiting {
            ensure!(line.state == State::Open, "it is closed, and its handler goes on");
            let is_asleep = waiting.until.is_some_and(|until| now < until);
            ensure!(is_asleep, "its handler waits until {:?}", waiting.until);
        }
        if line.state == State::Done {
            ensure!(line.peer.is_dropped(), "its task has ended, its socket is kept");
            let lacks = line.due.items.iter().any(|item| !item.may_lack) && !line.due.is_over;
            ensure!(!(line.has_agreed && lacks), "its last words are lost: {}", line.due.words());
            return Ok(());
        }
        ensure!(!line.is_aborted, "its task was dropped");
        match line.state {
            State::Handshake => {
                ensure!(!self.is_stopping, "a handshake outlives the stop");
                ensure!(now < line.created + millis(setup.handshake), "a handshake without end");
                let is_asleep = line.asking.is_none_or(|asking| now < asking.until);
                ensure!(is_asleep, "the hook has decided, and nobody is let in or refused");
                let is_measured = line.asking.is_none_or(|asking| line.read <= asking.most);
                ensure!(is_measured, "too much is read before the hook has decided");
                let may_wait = line.is_glutted();
                ensure!(may_wait || (unread == 0 && !is_read), "a handshake that is not read");
                self.seen.mark(may_wait && unread > 0, Mark::UnreadWhileAsking);
            }
            State::Open => {
                ensure!(!self.is_stopping, "it outlives the stop");
                // What was queued was not too much. What a room still owes may become it.
                line.due.may_overrun &= setup.coalesce > 0;
                let is_late = now >= line.pinged + millis(setup.ping);
                ensure!(!is_late, "no ping since {:?}", line.pinged);
                let (pong, spare) = (millis(setup.pong), millis(setup.pong - setup.ping));
                let heard = line.heard.max(line.relieved.1);
                let silent = line.asked.map(|asked| (heard + pong).max(asked + spare));
                let is_silent = silent.is_some_and(|at| now >= at) && !line.is_unsure;
                ensure!(!is_silent || line.waiting.is_some(), "silent since {heard:?}");
                if line.waiting.is_some() {
                    // Nothing is read before its handler is done.
                    self.seen.mark(unread > 0, Mark::UnreadBehindSlow);
                } else if unread > 0 || is_read {
                    self.seen.mark(may_hold, Mark::Held);
                    line.was_unread = true;
                    if !may_hold {
                        return Err(reads("bytes have arrived"));
                    }
                    // Whoever is held back reads something every now and then.
                    let swallows = line.gulp.div_ceil(SWALLOW).max(1) as u32;
                    let waits = (line.read, now);
                    let (read, since) = *line.held.get_or_insert(waits);
                    if read != line.read {
                        line.held = Some(waits);
                    } else if now >= since + HOLD * swallows && !may_be_over {
                        return Err(reads("bytes have arrived long ago"));
                    }
                    is_held = true;
                } else if std::mem::take(&mut line.was_unread) {
                    self.seen.mark(true, Mark::HeldReleased);
                }
                if !is_held {
                    line.held = None;
                }
                if has_room {
                    let coalesce = millis(setup.coalesce);
                    let waits = |item: &Item| {
                        matches!(item.order, Order::Room(_)) && now < item.at + coalesce
                    };
                    let lacks = line.due.items.iter().find(|i| !i.may_lack && !waits(i));
                    if lacks.is_some() || line.due.pings > 0 {
                        return Err(Fault::new(format!("not sent: {}", line.due.words())));
                    }
                    if !line.due.items.iter().any(waits) {
                        line.due.items.clear();
                        line.due.may_overrun = false;
                        line.due.lax_pings = 0;
                        line.due.bytes = line.due.came;
                        line.behind = None;
                    }
                    ensure!(!line.due.is_inside(), "a frame is cut short");
                } else if line.due.owed() > 0 {
                    let limit = millis(setup.write);
                    let is_late = line.blocked_since().is_some_and(|since| now >= since + limit);
                    let is_owed = line.due.items.iter().any(|item| !item.may_lack);
                    ensure!(!(is_late && is_owed), "it takes nothing since {:?}", line.took.1);
                }
            }
            State::Closing => {
                // Whoever was told has had its turn by now.
                let told = line.closed.get_or_insert((now, None)).1.get_or_insert(now);
                let is_late = now >= (*told).max(line.relieved.1) + close_timeout;
                ensure!(!is_late, "it takes too long to close");
                let has_read = line.peer.read() - line.read_at_close;
                let is_enough = has_read >= READ_AWAY;
                ensure!(is_enough || (unread == 0 && !is_read), "it is closing, and nobody reads");
                // What it has read in the turn that closed it comes on top.
                ensure!(has_read < 6 * READ_AWAY, "it is closing, and reads on for ever");
                if has_room {
                    let lacks = line.due.items.iter().any(|item| !item.may_lack);
                    if lacks && !line.due.is_over {
                        return Err(Fault::new(format!("last words: {}", line.due.words())));
                    }
                    ensure!(line.peer.is_shut(), "its last bytes are out, but no end");
                    let heard = line.closes_at.is_some_and(|at| line.peer.read() >= at);
                    let is_deaf = line.is_deaf || line.mouth.largest > LOOK_BEHIND;
                    ensure!(!heard || is_deaf, "both have closed");
                }
            }
            State::Done => {}
        }
        // The engine may have seen it later than it was.
        let coalesce = millis(setup.coalesce);
        let is_queued =
            |item: &Item| !matches!(item.order, Order::Room(_)) || now >= item.at + coalesce;
        let is_owed = !has_room && line.due.items.iter().any(is_queued);
        line.is_blocked_since(is_owed.then_some(now));
        Ok(())
    }

    /// The faults are over: everything drains, everybody's view is the truth, a word in each room
    /// reaches everyone once; then all end, and nothing is left.
    pub(super) fn quiet(&mut self) -> Result<(), Fault> {
        let setup = self.plan.setup;
        for at in 0..self.lines.len() {
            let line = &mut self.lines[at];
            line.peer.max_read(usize::MAX);
            line.peer.max_write(usize::MAX);
            line.peer.interrupt(0);
            if line.end == Some(End::Lost) {
                line.peer.end(Err(std::io::ErrorKind::TimedOut));
                line.peer.refuse(std::io::ErrorKind::TimedOut);
                (line.end, line.is_refused) = (Some(End::Arrived), true);
            } else if line.end != Some(End::Arrived) {
                line.peer.room(usize::MAX);
            }
        }
        self.drain()?;
        // Long enough for whatever the engine waits for, so that all is decided.
        let longest = setup.close.max(setup.handshake).max(setup.write).max(1000);
        self.settle(Duration::from_millis(longest + 50))?;
        self.compare_views()?;
        self.probe()?;
        self.end()
    }

    /// Delivers whatever is under way until nothing more comes of it.
    fn drain(&mut self) -> Result<(), Fault> {
        self.rest()?;
        for _ in 0..1000 {
            let mut moved = false;
            for at in 0..self.lines.len() {
                let line = &mut self.lines[at];
                if line.peer.is_shut() && line.mouth.under_way.is_empty() {
                    line.end.get_or_insert(End::Saying);
                }
                let can_end = line.end == Some(End::Saying);
                if !line.mouth.under_way.is_empty() || can_end {
                    moved = true;
                    self.deliver(at, usize::MAX);
                }
            }
            self.rest()?;
            if !moved {
                return Ok(());
            }
        }
        Err(Fault::new("clients and server talk for ever".into()))
    }

    /// Lets time go on in small pieces, with clients that answer.
    fn pass_answering(&mut self, span: Duration) -> Result<(), Fault> {
        let end = self.now() + span;
        loop {
            self.drain()?;
            let Some(due) = self.clock.next().filter(|due| *due <= end) else { break };
            self.clock.advance_to(due);
            self.rest()?;
        }
        self.clock.advance_to(end);
        self.drain()
    }

    /// Lets time go on, and on as long as a handler or a rule waits: one may come after the other.
    fn settle(&mut self, span: Duration) -> Result<(), Fault> {
        self.pass_answering(span)?;
        for _ in 0..1000 {
            if self.lines.iter().all(|line| line.waiting.is_none()) {
                return Ok(());
            }
            self.pass_answering(span.max(Duration::from_secs(1)))?;
        }
        Err(Fault::new("handlers and rules wait for ever".into()))
    }

    fn compare_views(&self) -> Result<(), Fault> {
        for (at, line) in self.lines.iter().enumerate() {
            if line.state != State::Open {
                continue;
            }
            ensure!(line.peer.unread() == 0, "connection {at} has unread bytes when all is quiet");
            let who = line.who.unwrap_or_default();
            let rooms = self.model.rooms.iter().filter(|room| room.members.contains(&who));
            let mut truth: Vec<(u8, Set)> = rooms
                .map(|room| {
                    let is_shown = |member: &&u16| {
                        **member == who || self.model.presence(room.name) == Presence::Full
                    };
                    let shown = room.members.iter().filter(is_shown);
                    let ids = shown.map(|&who| self.model.clients[usize::from(who)].id);
                    (room_number(room.name).unwrap_or(u8::MAX), ids.collect())
                })
                .collect();
            let mut view = line.view.rooms.clone();
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
            let lines = members.iter().map(|&who| self.people[usize::from(who)]);
            let Some(at) = { lines }.find(|&at| self.lines[at].can_say()) else { continue };
            let payload = Size::Bytes(Payload(77, 3));
            let (dst, src, form) = (Address::Nothing, Address::Nothing, Form::Whole);
            self.say(at, Talk::Packet { room, event: "cha", dst, src, payload, form });
        }
        self.drain()?;
        let coalesce = self.plan.setup.coalesce;
        self.settle(Duration::from_millis(coalesce))?;
        for (at, line) in self.lines.iter().enumerate() {
            let is_owed = line.state == State::Open && !line.due.items.is_empty();
            ensure!(!is_owed, "connection {at} waits for a word: {}", line.due.words());
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        let setup = self.plan.setup;
        match setup.ending {
            Ending::Shutdown | Ending::Drain => {
                // One who has just come, and has said half of what it wants.
                let slot = 31;
                self.connect(slot, Ask::Upgrade);
                self.step(&Step::Deliver { slot, bytes: 50 })?;
                self.rest()?;
                let is_drain = setup.ending == Ending::Drain;
                self.step(if is_drain { &Step::Drain } else { &Step::Shutdown })?;
            }
            ending => {
                for at in 0..self.lines.len() {
                    let line = &mut self.lines[at];
                    if ending == Ending::Close && line.can_say() && !line.is_deaf {
                        line.mouth.close(Some(1000));
                        line.closes_at = line.mouth.said.back().map(|said| said.at);
                    } else {
                        line.end.get_or_insert(End::Saying);
                    }
                }
            }
        }
        let waiter = self.server.clone();
        let drained = self.tasks.spawn(async move { waiter.drained().await });
        self.drain()?;
        let longest = Duration::from_millis(setup.close.max(setup.pong * 2) + 50);
        self.pass_answering(longest.max(self.drain_wait()))?;
        for (at, line) in self.lines.iter().enumerate() {
            ensure!(line.state == State::Done, "connection {at} is left over ({:?})", line.state);
        }
        ensure!(self.tasks.is_done(drained), "all are gone, but the server is not drained");
        let stats = self.server.stats();
        let left = (stats.connections, stats.rooms, stats.sockets);
        ensure!(left == (0, 0, 0), "connections, rooms and sockets are left: {left:?}");
        self.steps += 1;
        Ok(())
    }
}

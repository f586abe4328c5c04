//! Every input that the engine gives its hub is held against what it has read, and what is due
//! because of it is worked out by the model.

use std::time::Duration;

use roomer_engine::{DisconnectReason, RecordedInput};
use roomer_hub::{ConnKey, Presence};

use super::cursor::{Cursor, kind};
use super::due::{Order, What};
use super::handlers::Done;
use super::hooks::News;
use super::line::{Line, State};
use super::marks::Mark;
use super::stage::Stage;
use super::talk::{Meaning, Said};
use crate::fault::{Fault, ensure};
use crate::names::person;
use crate::op::{Effect, Op};

/// See the engine's `shed.rs`: one that is being closed and is owed more may be cut off for the sake
/// of all.
const FAREWELL: u64 = 64 * 1024;

impl Stage<'_> {
    /// Goes through the new entries of the journal; `polled` is the line whose task had a turn.
    pub(super) fn follow(&mut self, polled: Option<usize>) -> Result<(), Fault> {
        let (mut has_read, mut was_open) = (false, false);
        if let Some(at) = polled {
            let now = self.now();
            let line = &mut self.lines[at];
            let read = line.peer.read();
            (line.began, line.behind_slow) = (line.read, None);
            has_read = read > line.read;
            was_open = line.state == State::Open;
            if has_read {
                line.gulp = read - line.read;
                line.read = read;
                line.before = (line.heard, line.asked);
                (line.heard, line.asked, line.is_unsure) = (now, None, false);
            }
        }
        if self.tells && !self.journal.is_empty() {
            let (now, journal) = (self.clock.now(), &self.journal);
            self.history.push(format!("{now:?}, turn of {polled:?}: {journal:?}"));
        }
        self.has_spoken = false;
        let journal = std::mem::take(&mut self.journal);
        let (mut done, dropped) = {
            let mut state = self.application.state();
            (std::mem::take(&mut state.done), std::mem::take(&mut state.dropped))
        };
        let mut deeds = Cursor::new(&done);
        let mut entries = Cursor::new(&journal);
        loop {
            if let Some(Done::Resumed { by, after, bytes_in }) = deeds.peek()
                && after == entries.at()
            {
                deeds.next();
                self.resumed((by, bytes_in), polled, &mut entries, &mut deeds)?;
                continue;
            }
            if let Some(Done::Told { by, what, after, bytes_in }) = deeds.peek()
                && after == entries.at()
            {
                deeds.next();
                if let Some(at) = polled {
                    self.before_news(at, bytes_in);
                }
                self.told((by, what), &mut entries, &mut deeds)?;
                continue;
            }
            let Some(entry) = entries.next() else { break };
            self.trace.number(kind(entry));
            self.entry(entry, polled, &mut entries, &mut deeds)?;
        }
        // What an application has tried outside any handler leaves no entry.
        while let Some(deed) = deeds.next() {
            let Done::Raw { by, payload, taken } = deed else {
                return Err(Fault::new(format!("without an effect: {deed:?}")));
            };
            self.raw(by, payload, taken)?;
        }
        let mut journal = journal;
        journal.clear();
        self.journal = journal;
        done.clear();
        self.application.state().done.append(&mut done);
        for by in dropped {
            self.dropped(by, polled)?;
        }
        if self.may_be_out_of_memory() {
            let is_leaving = |line: &&mut Line| line.state == State::Closing;
            for line in self.lines.iter_mut().filter(is_leaving) {
                line.is_shed |= line.due.owed() > FAREWELL;
            }
        }
        if self.plan.setup.hooks.is_some() {
            self.bytes_in = self.server.stats().bytes_in;
        }
        let Some(at) = polled else { return Ok(()) };
        let has_resumed = std::mem::take(&mut self.lines[at].has_resumed);
        self.after_turn(at, has_read || has_resumed)?;
        let line = &mut self.lines[at];
        let is_due = self.clock.now() >= line.pinged + Duration::from_millis(self.plan.setup.ping);
        if was_open && line.state != State::Open && is_due {
            // The ping may have come before the end.
            line.due.lax_pings += 1;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        entry: RecordedInput,
        polled: Option<usize>,
        entries: &mut Cursor<'_, RecordedInput>,
        deeds: &mut Cursor<'_, Done>,
    ) -> Result<(), Fault> {
        match entry {
            RecordedInput::Opened(key) => self.opened(key, polled),
            RecordedInput::Packet(key) => {
                let at = self.by_key(key)?;
                ensure!(Some(at) == polled, "a packet of connection {at}, which had no turn");
                self.counts.messages_in += 1;
                self.before(at);
                let line = &mut self.lines[at];
                ensure!(line.waiting.is_none(), "a packet of {at} while its handler waits");
                let said = line.mouth.next(line.read);
                let Some(Said { what: Meaning::Packet(packet), at: end }) = said else {
                    let said = line.mouth.said.front();
                    return Err(Fault::new(format!("a packet is made of {said:?} of {at}")));
                };
                ensure!(!line.is_expelled, "a packet behind the one that has closed {at}");
                let Some(who) = line.who else { return Ok(()) };
                self.give(Op::Packet { who, packet }, None)?;
                self.expelled(at);
                (self.lines[at].understood, self.lines[at].behind_slow) = (end, None);
                self.called(at, entries, deeds)
            }
            RecordedInput::Gone(key) => self.gone(key, polled),
            RecordedInput::Close(key, code) => {
                let at = self.by_key(key)?;
                self.closed(at, code, polled, deeds)
            }
            RecordedInput::Broadcast(_)
            | RecordedInput::Send(_)
            | RecordedInput::Join(_)
            | RecordedInput::Leave(_) => {
                self.has_spoken |= polled.is_some();
                self.outside(entry, deeds)
            }
            other => Err(Fault::new(format!("an input that nobody gave: {other:?}"))),
        }
    }

    fn opened(&mut self, key: ConnKey, polled: Option<usize>) -> Result<(), Fault> {
        let Some(at) = polled else {
            return Err(Fault::new("a connection opens though none had a turn".into()));
        };
        let (now, id) = (self.now(), self.last_id());
        self.counts.opened += 1;
        ensure!(self.lines[at].state == State::Handshake, "connection {at} opens twice");
        let end = self.admitted(at)?;
        self.seen.mark(self.was_full, Mark::OpenedAfterFull);
        let line = &mut self.lines[at];
        ensure!(self.people.len() == self.model.clients.len(), "people are miscounted");
        let who = self.people.len() as u16;
        self.people.push(at);
        (line.who, line.key, line.id, line.state) = (Some(who), Some(key), id, State::Open);
        (line.heard, line.pinged) = (now, now);
        line.began = end;
        line.due.push(now, Order::Alone, What::Answer(101), false);
        let slot = usize::from(line.slot);
        if self.slots[slot] == Some(at) {
            self.application.state().slots[slot] = Some(id);
        }
        self.give(Op::Open { id }, None)
    }

    /// The last packet may have been one too many.
    pub(super) fn expelled(&mut self, at: usize) {
        let Some(Effect::Close { reason, .. }) = self.model.due.last() else { return };
        self.seen.mark(*reason == "rate", Mark::ClosedForRate);
        self.seen.mark(*reason != "rate", Mark::ClosedForStrikes);
        let now = self.now();
        let line = &mut self.lines[at];
        let behind = line.next();
        self.seen.mark(matches!(behind, Some(Meaning::Packet(_))), Mark::ClosedInMidst);
        self.seen.mark(matches!(behind, Some(Meaning::Close(_))), Mark::ClosedBeforeClose);
        line.is_expelled = true;
        line.begin_closing(now);
    }

    fn gone(&mut self, key: ConnKey, polled: Option<usize>) -> Result<(), Fault> {
        let at = self.by_key(key)?;
        ensure!(Some(at) == polled, "connection {at} is gone though it had no turn");
        self.before(at);
        let now = self.now();
        let line = &mut self.lines[at];
        ensure!(!line.is_expelled, "the hub has closed {at}, and hears that it is gone");
        let Some(who) = line.who else { return Ok(()) };
        if let Some(Meaning::Close(code)) = line.next() {
            line.mouth.said.pop_front();
            if line.state != State::Open {
                return self.give(Op::Gone { who }, None);
            }
            line.begin_closing(now);
            self.counts.closed_by_peer += 1;
            self.give(Op::Gone { who }, None)?;
            self.happened(who, News::Gone(DisconnectReason::ByPeer(code)));
            let line = &mut self.lines[at];
            line.due.is_cut |= line.due.is_beyond();
            let close = What::Close { code, reason: code.map(|_| "").or(Some("")) };
            line.due.push(now, Order::Barrier, close, false);
            self.seen.mark(true, Mark::ClosedByPeer);
            return Ok(());
        }
        let line = &self.lines[at];
        let may = line.is_refused || line.is_aborted || line.is_seen_to_end();
        ensure!(may || !self.is_here(at), "connection {at} is gone for no reason");
        ensure!(self.tasks.is_done(line.task), "connection {at} is gone, but its task goes on");
        self.seen.mark(!line.due.items.is_empty(), Mark::GoneWhileOwed);
        let was_here = self.is_here(at);
        self.give(Op::Gone { who }, None)?;
        if was_here {
            self.counts.lost += 1;
            self.happened(who, News::Gone(DisconnectReason::Lost));
        }
        Ok(())
    }

    /// The engine has closed a connection: for a reason?
    fn closed(
        &mut self,
        at: usize,
        code: u16,
        polled: Option<usize>,
        deeds: &mut Cursor<'_, Done>,
    ) -> Result<(), Fault> {
        if code == 1013 && polled == Some(at) {
            self.before(at);
        }
        if polled.is_none() {
            while let Some(Done::Raw { by, payload, taken }) = deeds.peek() {
                deeds.next();
                self.raw(by, payload, taken)?;
            }
        }
        if code == 1013 && self.may_be_out_of_memory() {
            self.seen.mark(polled != Some(at), Mark::OutOfMemory);
            self.close(at, code, None)?;
            (self.lines[at].due.is_cut, self.lines[at].is_shed) = (true, true);
            return Ok(());
        }
        // Outside a turn it is the application's or the stop's.
        if polled.is_none() {
            let id = self.lines[at].id;
            if matches!(deeds.peek(), Some(Done::Close { who, code: due, .. }) if who == id && due == code)
            {
                let entry = self.lines[at].key.map(|key| RecordedInput::Close(key, code));
                return match deeds.next() {
                    Some(deed) => self.deed(deed, entry),
                    None => Ok(()),
                };
            }
            let is_ending = self.is_stopping || self.is_dismissing;
            ensure!(is_ending && code == 1001, "connection {at} is closed with {code}");
            if self.is_dismissing {
                self.dismissed()?;
            }
            return self.close(at, code, Some("server is going away"));
        }
        ensure!(polled == Some(at), "connection {at} is closed with {code}, but had no turn");
        self.before(at);
        let line = &mut self.lines[at];
        if matches!(line.next(), Some(Meaning::Wrong(due)) if due == code) {
            line.mouth.said.pop_front();
            line.is_deaf = true;
            if let Some(bad) = line.bad {
                self.seen.bad(bad);
            }
            return self.close(at, code, None);
        }
        match code {
            1013 => {
                let is_silent = self.may_be_silent(at);
                let slow = self.check_slow(at);
                let reason = match (is_silent, slow) {
                    // Either will do.
                    (true, Ok(())) => None,
                    (true, Err(_)) => Some("no sign of life"),
                    (false, Ok(())) => Some("too slow"),
                    (false, Err(fault)) => return Err(fault),
                };
                self.seen.mark(reason == Some("no sign of life"), Mark::SilentClosed);
                if reason != Some("no sign of life") {
                    let others = self.lines.iter().filter(|line| line.state == State::Open).count();
                    self.seen.mark(others > 2, Mark::SlowClosed);
                    self.seen.mark(self.lines[at].is_felled, Mark::KillKills);
                }
                self.close(at, code, reason)?;
                self.lines[at].due.is_cut = true;
                Ok(())
            }
            _ => Err(Fault::new(format!("connection {at} is closed with {code} for no reason"))),
        }
    }

    /// Whether the server may take a connection for silent.
    fn may_be_silent(&self, at: usize) -> bool {
        let (line, setup) = (&self.lines[at], &self.plan.setup);
        let pong = Duration::from_millis(setup.pong);
        let spare = Duration::from_millis(setup.pong - setup.ping);
        // Whatever it has read it may have read after that.
        let is_silent = [(line.heard, line.asked), line.before].iter().any(|silence| {
            let (heard, Some(asked)) = *silence else { return false };
            self.now() >= (heard.max(line.relieved.0) + pong).max(asked + spare)
        });
        line.waiting.is_none() && is_silent
    }

    pub(super) fn close(
        &mut self,
        at: usize,
        code: u16,
        reason: Option<&'static str>,
    ) -> Result<(), Fault> {
        let Some(who) = self.lines[at].who else { return Ok(()) };
        let was_here = self.is_here(at);
        let now = self.now();
        self.give(Op::Close { who, code, reason: "" }, Some(reason))?;
        if was_here {
            self.lines[at].begin_closing(now);
        }
        Ok(())
    }

    /// Gives the model an input and makes what comes of it due.
    pub(super) fn give(
        &mut self,
        op: Op,
        reason: Option<Option<&'static str>>,
    ) -> Result<(), Fault> {
        let now = self.now();
        self.model.input(now, op);
        self.causes += 1;
        let effects = std::mem::take(&mut self.model.due);
        let is_close = matches!(op, Op::Close { .. });
        let mut left = None;
        for effect in &effects {
            match *effect {
                Effect::Left { who, room, name } => {
                    left = Some(room);
                    self.happened(who, News::Left(name));
                }
                Effect::Opened { who } => self.happened(who, News::Connected),
                Effect::Joined { who, name, .. } => self.happened(who, News::Joined(name)),
                Effect::JoinAck { to, room, members, shows } => {
                    let at = self.people[usize::from(to)];
                    let id = &*person(self.lines[at].id).text;
                    let number = self.model.room(room).map_or(u32::MAX, |room| room.number);
                    let due = What::JoinAck { room, id, members, shows };
                    self.seen.mark(shows == Presence::Count, Mark::CountShown);
                    self.seen.mark(shows == Presence::Off, Mark::OwnShown);
                    self.counts.messages_out += 1;
                    self.due(now, at, Order::After(number), due);
                }
                Effect::Send { to, packet } => {
                    let at = self.people[usize::from(to)];
                    let order = match (packet.dst.is_empty(), left) {
                        (false, _) => Order::Barrier,
                        (true, Some(room)) => Order::After(room),
                        (true, None) => Order::Alone,
                    };
                    self.counts.messages_out += 1;
                    self.due(now, at, order, What::Packet(packet));
                }
                Effect::Broadcast { room, to, packet } => {
                    for at in 0..self.lines.len() {
                        if self.lines[at].who.is_some() && to.contains(self.lines[at].id) {
                            let was_over = self.lines[at].due.may_overrun;
                            self.due(now, at, Order::Room(room), What::Packet(packet));
                            let line = &mut self.lines[at];
                            line.is_felled |= is_close && !was_over && line.due.may_overrun;
                        }
                    }
                    self.seen.mark(to.len() > 8, Mark::LargeRoom);
                    self.counts.messages_out += to.len() as u64;
                }
                Effect::Close { who, code, reason: due } => {
                    self.happened(who, News::Gone(DisconnectReason::ByServer(code)));
                    *self.counts.closes.entry(code).or_default() += 1;
                    let at = self.people[usize::from(who)];
                    let reason = reason.unwrap_or(Some(due));
                    // What came after the hard limit was passed is dropped.
                    let line = &mut self.lines[at];
                    line.due.is_cut |= line.due.is_beyond();
                    let close = What::Close { code: Some(code), reason };
                    line.due.push(now, Order::Barrier, close, false);
                }
                Effect::Refused => return Err(Fault::new("an id twice".into())),
                Effect::RoomClosed { .. } | Effect::Call { .. } | Effect::Ask { .. } => {}
            }
        }
        self.model.due = effects;
        Ok(())
    }

    pub(super) fn due(&mut self, now: Duration, at: usize, order: Order, what: What) {
        let setup = &self.plan.setup;
        let (soft, hard) = (setup.max_backlog, setup.hard());
        let line = &mut self.lines[at];
        line.due.push(now, order, what, false);
        let owed = line.due.owed() as usize;
        if !line.peer.has_room() {
            self.seen.mark(owed == soft, Mark::SoftExactly);
            self.seen.mark(owed == hard, Mark::HardExactly);
        }
        if owed > soft / 2 {
            line.behind.get_or_insert(now);
        }
    }

    /// Pings and pongs before the next thing that the server has understood.
    pub(super) fn before(&mut self, at: usize) {
        self.before_byte(at, u64::MAX);
    }

    /// The same, of what the server has understood once it has read so much.
    pub(super) fn before_byte(&mut self, at: usize, read: u64) {
        while let Some(what @ (Meaning::Ping(_) | Meaning::Pong)) = self.lines[at].next()
            && self.lines[at].mouth.said.front().is_some_and(|said| said.at <= read)
        {
            self.lines[at].mouth.said.pop_front();
            if let Meaning::Ping(payload) = what
                && self.is_here(at)
            {
                let (now, may_lack) = (self.now(), self.may_be_over(at));
                let has_spoken = self.has_spoken;
                let due = &mut self.lines[at].due;
                due.push(now, Order::Alone, What::Pong(payload), may_lack);
                // It may have been what was being written.
                due.may_overrun |= has_spoken && due.is_beyond();
                self.seen.mark(true, Mark::Pong);
            }
        }
    }

    /// Whether a connection may have been owed so much that messages for it were not taken.
    pub(super) fn may_be_over(&self, at: usize) -> bool {
        let soft = self.plan.setup.max_backlog as u64;
        self.lines[at].due.owed() > soft / 2
    }

    /// Whether all together may hold more than they may. What has been read of a message that is
    /// not whole yet takes at most twice its size, and so does what lies behind a slow handler.
    fn may_be_out_of_memory(&self) -> bool {
        let Some(budget) = self.plan.setup.budget() else { return false };
        let most = self.plan.setup.max_message as u64 + 100;
        let held = self.lines.iter().filter(|line| line.state != State::Done).map(|line| {
            // What is whole by now may have been read in pieces.
            let is_whole = line.mouth.said.front().is_none_or(|said| said.at <= line.began);
            let unfinished = if is_whole { 0 } else { 2 * most.min(line.read) };
            let waiting = line.waiting.map_or(0, |waiting| waiting.payload);
            let kept = line.kept_from.map_or(0, |from| 2 * (line.read - from));
            line.due.owed() + unfinished + waiting + kept
        });
        held.sum::<u64>() > budget
    }

    pub(super) fn is_here(&self, at: usize) -> bool {
        self.lines[at].who.is_some_and(|who| self.model.is_here(who))
    }

    fn by_key(&self, key: ConnKey) -> Result<usize, Fault> {
        let found = self.lines.iter().rposition(|line| line.key == Some(key));
        found.ok_or_else(|| Fault::new(format!("a key of nobody: {key:?}")))
    }

    fn last_id(&self) -> u16 {
        let given = self.ids.load(std::sync::atomic::Ordering::Relaxed);
        given.wrapping_sub(2) as u16
    }

    /// Whether somebody might be so far behind that those who send are held back.
    pub(super) fn may_hold(&self) -> bool {
        (0..self.lines.len()).any(|at| self.lines[at].state == State::Open && self.may_be_over(at))
    }
}

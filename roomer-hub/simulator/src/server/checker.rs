//! Every input that the engine gives its hub is held against what it has read, and what is due
//! because of it is worked out by the model.

use std::time::Duration;

use roomer_engine::{DisconnectReason, RecordedInput};
use roomer_hub::{ConnKey, Presence};

use super::application::LogEntry;
use super::conn_model::{ConnModel, State};
use super::cursor::{Cursor, kind};
use super::expected::{Order, Output};
use super::harness::Harness;
use super::hooks::HookEvent;
use super::marks::Mark;
use super::traffic::{Meaning, Sent};
use crate::alphabet::identity;
use crate::fault::{Fault, ensure};
use crate::hub::op::{Effect, Op};

/// See the engine's `shed.rs`: one that is being closed and is owed more may be cut off for the sake
/// of all.
const CLOSE_ALLOWANCE: u64 = 64 * 1024;

impl Harness<'_> {
    /// Goes through the new entries of the journal; `polled` is the line whose task had a turn.
    pub(super) fn check_journal(&mut self, polled: Option<usize>) -> Result<(), Fault> {
        let (mut has_read, mut was_open) = (false, false);
        if let Some(at) = polled {
            let now = self.now();
            let conn = &mut self.conns[at];
            let read = conn.peer.bytes_read();
            (conn.read_at_poll, conn.parse_resumes_at) = (conn.read, None);
            has_read = read > conn.read;
            was_open = conn.state == State::Open;
            if has_read {
                conn.last_read = read - conn.read;
                conn.read = read;
                conn.before_read = (conn.last_received, conn.unanswered_ping);
                (conn.last_received, conn.unanswered_ping, conn.is_ping_order_unknown) =
                    (now, None, false);
            }
        }
        if self.verbose && !self.journal.is_empty() {
            let (now, journal) = (self.clock.now(), &self.journal);
            self.history.push(format!("{now:?}, turn of {polled:?}: {journal:?}"));
        }
        self.sent_during_write = false;
        let mut inputs = std::mem::take(&mut self.journal);
        let (mut done, dropped) = {
            let mut state = self.application.state();
            (std::mem::take(&mut state.log), std::mem::take(&mut state.dropped))
        };
        let mut log = Cursor::new(&done);
        let mut journal = Cursor::new(&inputs);
        loop {
            if let Some(LogEntry::Resumed { by, after, bytes_in }) = log.peek()
                && after == journal.at()
            {
                log.next();
                self.check_resumed((by, bytes_in), polled, &mut journal, &mut log)?;
                continue;
            }
            if let Some(LogEntry::HookCalled { by, what, after, bytes_in }) = log.peek()
                && after == journal.at()
            {
                log.next();
                if let Some(at) = polled {
                    self.answer_before_hook(at, bytes_in);
                }
                self.check_hook_called((by, what), &mut journal, &mut log)?;
                continue;
            }
            let Some(entry) = journal.next() else { break };
            self.trace.number(kind(entry));
            self.check_input(entry, polled, &mut journal, &mut log)?;
        }
        // What an application has tried outside any handler leaves no entry.
        while let Some(action) = log.next() {
            let LogEntry::Raw { by, payload, taken } = action else {
                return Err(Fault::new(format!("without an effect: {action:?}")));
            };
            self.check_raw(by, payload, taken)?;
        }
        inputs.clear();
        self.journal = inputs;
        done.clear();
        self.application.state().log.append(&mut done);
        for by in dropped {
            self.check_dropped(by, polled)?;
        }
        if self.may_be_out_of_memory() {
            let is_leaving = |conn: &&mut ConnModel| conn.state == State::Closing;
            for conn in self.conns.iter_mut().filter(is_leaving) {
                conn.is_shed |= conn.expected.outstanding() > CLOSE_ALLOWANCE;
            }
        }
        if self.plan.setup.hooks.is_some() {
            self.bytes_in = self.server.stats().bytes_in;
        }
        let Some(at) = polled else { return Ok(()) };
        let has_resumed = std::mem::take(&mut self.conns[at].has_resumed);
        self.after_poll(at, has_read || has_resumed)?;
        let conn = &mut self.conns[at];
        let is_due =
            self.clock.now() >= conn.last_ping + Duration::from_millis(self.plan.setup.ping);
        if was_open && conn.state != State::Open && is_due {
            // The ping may have come before the end.
            conn.expected.optional_pings += 1;
        }
        Ok(())
    }

    fn check_input(
        &mut self,
        entry: RecordedInput,
        polled: Option<usize>,
        journal: &mut Cursor<'_, RecordedInput>,
        log: &mut Cursor<'_, LogEntry>,
    ) -> Result<(), Fault> {
        match entry {
            RecordedInput::Opened(key) => self.check_opened(key, polled),
            RecordedInput::Packet(key) => {
                let at = self.by_key(key)?;
                ensure!(Some(at) == polled, "a packet of connection {at}, which had no turn");
                self.counts.messages_in += 1;
                self.settle_pings(at);
                let conn = &mut self.conns[at];
                ensure!(conn.waiting.is_none(), "a packet of {at} while its handler waits");
                let sent = conn.traffic.next(conn.read);
                let Some(Sent { what: Meaning::Packet(packet), at: end }) = sent else {
                    let sent = conn.traffic.pending.front();
                    return Err(Fault::new(format!("a packet is made of {sent:?} of {at}")));
                };
                ensure!(!conn.is_closed_by_hub, "a packet behind the one that has closed {at}");
                let Some(client) = conn.client else { return Ok(()) };
                self.give(Op::Packet { client, packet }, None)?;
                self.note_closed_by_hub(at);
                (self.conns[at].parsed, self.conns[at].parse_resumes_at) = (end, None);
                self.check_called(at, journal, log)
            }
            RecordedInput::Gone(key) => self.check_gone(key, polled),
            RecordedInput::Close(key, code) => {
                let at = self.by_key(key)?;
                self.check_closed(at, code, polled, log)
            }
            RecordedInput::Broadcast(_)
            | RecordedInput::Send(_)
            | RecordedInput::Join(_)
            | RecordedInput::Leave(_) => {
                self.sent_during_write |= polled.is_some();
                self.check_outside(entry, log)
            }
            other => Err(Fault::new(format!("an input that nobody gave: {other:?}"))),
        }
    }

    fn check_opened(&mut self, key: ConnKey, polled: Option<usize>) -> Result<(), Fault> {
        let Some(at) = polled else {
            return Err(Fault::new("a connection opens though none had a turn".into()));
        };
        let (now, id) = (self.now(), self.last_id());
        self.counts.opened += 1;
        ensure!(self.conns[at].state == State::Handshake, "connection {at} opens twice");
        let end = self.check_admitted(at)?;
        self.marks.mark(self.was_full, Mark::OpenedAfterFull);
        let conn = &mut self.conns[at];
        ensure!(self.conn_of_client.len() == self.model.clients.len(), "people are miscounted");
        let client = self.conn_of_client.len() as u16;
        self.conn_of_client.push(at);
        (conn.client, conn.key, conn.id, conn.state) = (Some(client), Some(key), id, State::Open);
        (conn.last_received, conn.last_ping) = (now, now);
        conn.read_at_poll = end;
        conn.expected.push(now, Order::Direct, Output::Response(101), false);
        let slot = usize::from(conn.slot);
        if self.slots[slot] == Some(at) {
            self.application.state().slots[slot] = Some(id);
        }
        self.give(Op::Open { id }, None)
    }

    /// The last packet may have been one too many.
    pub(super) fn note_closed_by_hub(&mut self, at: usize) {
        let Some(Effect::Close { reason, .. }) = self.model.effects.last() else { return };
        self.marks.mark(*reason == "rate", Mark::ClosedForRate);
        self.marks.mark(*reason != "rate", Mark::ClosedForViolations);
        let now = self.now();
        let conn = &mut self.conns[at];
        let behind = conn.next();
        self.marks.mark(matches!(behind, Some(Meaning::Packet(_))), Mark::ClosedWithMoreInput);
        self.marks.mark(matches!(behind, Some(Meaning::Close(_))), Mark::ClosedBeforeClose);
        conn.is_closed_by_hub = true;
        conn.begin_closing(now);
    }

    fn check_gone(&mut self, key: ConnKey, polled: Option<usize>) -> Result<(), Fault> {
        let at = self.by_key(key)?;
        ensure!(Some(at) == polled, "connection {at} is gone though it had no turn");
        self.settle_pings(at);
        let now = self.now();
        let conn = &mut self.conns[at];
        ensure!(!conn.is_closed_by_hub, "the hub has closed {at}, and hears that it is gone");
        let Some(client) = conn.client else { return Ok(()) };
        if let Some(Meaning::Close(code)) = conn.next() {
            conn.traffic.pending.pop_front();
            if conn.state != State::Open {
                return self.give(Op::Gone { client }, None);
            }
            conn.begin_closing(now);
            self.counts.closed_by_peer += 1;
            self.give(Op::Gone { client }, None)?;
            self.expect_hook(client, HookEvent::Gone(DisconnectReason::ByPeer(code)));
            let conn = &mut self.conns[at];
            conn.expected.may_be_truncated |= conn.expected.may_drop_next();
            let close = Output::Close { code, reason: code.map(|_| "").or(Some("")) };
            conn.expected.push(now, Order::Barrier, close, false);
            self.marks.mark(true, Mark::ClosedByPeer);
            return Ok(());
        }
        let conn = &self.conns[at];
        let may = conn.is_broken || conn.is_aborted || conn.is_end_visible();
        ensure!(may || !self.is_connected(at), "connection {at} is gone for no reason");
        ensure!(self.tasks.is_done(conn.task), "connection {at} is gone, but its task goes on");
        self.marks.mark(!conn.expected.items.is_empty(), Mark::GoneWithOutputLeft);
        let was_here = self.is_connected(at);
        self.give(Op::Gone { client }, None)?;
        if was_here {
            self.counts.lost += 1;
            self.expect_hook(client, HookEvent::Gone(DisconnectReason::Lost));
        }
        Ok(())
    }

    /// The engine has closed a connection: for a reason?
    fn check_closed(
        &mut self,
        at: usize,
        code: u16,
        polled: Option<usize>,
        log: &mut Cursor<'_, LogEntry>,
    ) -> Result<(), Fault> {
        if code == 1013 && polled == Some(at) {
            self.settle_pings(at);
        }
        if polled.is_none() {
            while let Some(LogEntry::Raw { by, payload, taken }) = log.peek() {
                log.next();
                self.check_raw(by, payload, taken)?;
            }
        }
        if code == 1013 && self.may_be_out_of_memory() {
            self.marks.mark(polled != Some(at), Mark::OutOfMemory);
            self.close(at, code, None)?;
            (self.conns[at].expected.may_be_truncated, self.conns[at].is_shed) = (true, true);
            return Ok(());
        }
        // Outside a turn it is the application's or the stop's.
        if polled.is_none() {
            let id = self.conns[at].id;
            if matches!(log.peek(), Some(LogEntry::Close { client, code: expected, .. }) if client == id && expected == code)
            {
                let entry = self.conns[at].key.map(|key| RecordedInput::Close(key, code));
                return match log.next() {
                    Some(action) => self.check_action(action, entry),
                    None => Ok(()),
                };
            }
            let is_ending = self.is_stopping || self.is_drain_poll;
            ensure!(is_ending && code == 1001, "connection {at} is closed with {code}");
            if self.is_drain_poll {
                self.closed_by_drain()?;
            }
            return self.close(at, code, Some("server is going away"));
        }
        ensure!(polled == Some(at), "connection {at} is closed with {code}, but had no turn");
        self.settle_pings(at);
        let conn = &mut self.conns[at];
        if matches!(conn.next(), Some(Meaning::Violation(expected)) if expected == code) {
            conn.traffic.pending.pop_front();
            conn.ignores_input = true;
            if let Some(violation) = conn.violation {
                self.marks.violation(violation);
            }
            return self.close(at, code, None);
        }
        match code {
            1013 => {
                let is_silent = self.may_time_out(at);
                let slow = self.check_slow(at);
                let reason = match (is_silent, slow) {
                    // Either will do.
                    (true, Ok(())) => None,
                    (true, Err(_)) => Some("no sign of life"),
                    (false, Ok(())) => Some("too slow"),
                    (false, Err(fault)) => return Err(fault),
                };
                self.marks.mark(reason == Some("no sign of life"), Mark::SilentClosed);
                if reason != Some("no sign of life") {
                    let others = self.conns.iter().filter(|conn| conn.state == State::Open).count();
                    self.marks.mark(others > 2, Mark::SlowClosed);
                    self.marks.mark(self.conns[at].overflowed_by_close, Mark::CloseOverflowsOther);
                }
                self.close(at, code, reason)?;
                self.conns[at].expected.may_be_truncated = true;
                Ok(())
            }
            _ => Err(Fault::new(format!("connection {at} is closed with {code} for no reason"))),
        }
    }

    /// Whether the server may take a connection for silent.
    fn may_time_out(&self, at: usize) -> bool {
        let (conn, setup) = (&self.conns[at], &self.plan.setup);
        let pong = Duration::from_millis(setup.pong);
        let pong_margin = Duration::from_millis(setup.pong - setup.ping);
        // Whatever it has read it may have read after that.
        let is_silent =
            [(conn.last_received, conn.unanswered_ping), conn.before_read].iter().any(|silence| {
                let (received, Some(asked)) = *silence else { return false };
                self.now() >= (received.max(conn.writable.0) + pong).max(asked + pong_margin)
            });
        conn.waiting.is_none() && is_silent
    }

    pub(super) fn close(
        &mut self,
        at: usize,
        code: u16,
        reason: Option<&'static str>,
    ) -> Result<(), Fault> {
        let Some(client) = self.conns[at].client else { return Ok(()) };
        let was_here = self.is_connected(at);
        let now = self.now();
        self.give(Op::Close { client, code, reason: "" }, Some(reason))?;
        if was_here {
            self.conns[at].begin_closing(now);
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
        self.input_count += 1;
        let effects = std::mem::take(&mut self.model.effects);
        let is_close = matches!(op, Op::Close { .. });
        let mut left = None;
        for effect in &effects {
            match *effect {
                Effect::Left { client, room, name } => {
                    left = Some(room);
                    self.expect_hook(client, HookEvent::Left(name));
                }
                Effect::Opened { client } => self.expect_hook(client, HookEvent::Connected),
                Effect::Joined { client, name, .. } => {
                    self.expect_hook(client, HookEvent::Joined(name))
                }
                Effect::JoinAck { to, room, members, shows } => {
                    let at = self.conn_of_client[usize::from(to)];
                    let id = &*identity(self.conns[at].id).text;
                    let number = self.model.room(room).map_or(u32::MAX, |room| room.number);
                    let expected = Output::JoinAck { room, id, members, shows };
                    self.marks.mark(shows == Presence::Count, Mark::CountShown);
                    self.marks.mark(shows == Presence::Off, Mark::SelfOnlyShown);
                    self.counts.messages_out += 1;
                    self.expect(now, at, Order::After(number), expected);
                }
                Effect::Send { to, packet } => {
                    let at = self.conn_of_client[usize::from(to)];
                    let order = match (packet.dst.is_empty(), left) {
                        (false, _) => Order::Barrier,
                        (true, Some(room)) => Order::After(room),
                        (true, None) => Order::Direct,
                    };
                    self.counts.messages_out += 1;
                    self.expect(now, at, order, Output::Packet(packet));
                }
                Effect::Broadcast { room, to, packet } => {
                    for at in 0..self.conns.len() {
                        if self.conns[at].client.is_some() && to.contains(self.conns[at].id) {
                            let was_over = self.conns[at].expected.may_exceed_limit;
                            self.expect(now, at, Order::Room(room), Output::Packet(packet));
                            let conn = &mut self.conns[at];
                            conn.overflowed_by_close |=
                                is_close && !was_over && conn.expected.may_exceed_limit;
                        }
                    }
                    self.marks.mark(to.len() > 8, Mark::LargeRoom);
                    self.counts.messages_out += to.len() as u64;
                }
                Effect::Close { client, code, reason: expected } => {
                    self.expect_hook(client, HookEvent::Gone(DisconnectReason::ByServer(code)));
                    *self.counts.closes.entry(code).or_default() += 1;
                    let at = self.conn_of_client[usize::from(client)];
                    let reason = reason.unwrap_or(Some(expected));
                    // What came after the hard limit was passed is dropped.
                    let conn = &mut self.conns[at];
                    conn.expected.may_be_truncated |= conn.expected.may_drop_next();
                    let close = Output::Close { code: Some(code), reason };
                    conn.expected.push(now, Order::Barrier, close, false);
                }
                Effect::Rejected => return Err(Fault::new("an id twice".into())),
                Effect::RoomClosed { .. } | Effect::Call { .. } | Effect::Authorize { .. } => {}
            }
        }
        self.model.effects = effects;
        Ok(())
    }

    pub(super) fn expect(&mut self, now: Duration, at: usize, order: Order, what: Output) {
        let setup = &self.plan.setup;
        let (soft, hard) = (setup.max_backlog, setup.hard_limit());
        let conn = &mut self.conns[at];
        conn.expected.push(now, order, what, false);
        let outstanding = conn.expected.outstanding() as usize;
        if !conn.peer.has_space() {
            self.marks.mark(outstanding == soft, Mark::SoftExactly);
            self.marks.mark(outstanding == hard, Mark::HardExactly);
        }
        if outstanding > soft / 2 {
            conn.congested_since.get_or_insert(now);
        }
    }

    /// Pings and pongs before the next thing that the server has understood.
    pub(super) fn settle_pings(&mut self, at: usize) {
        self.settle_pings_up_to(at, u64::MAX);
    }

    /// The same, of what the server has understood once it has read so much.
    pub(super) fn settle_pings_up_to(&mut self, at: usize, read: u64) {
        while let Some(what @ (Meaning::Ping(_) | Meaning::Pong)) = self.conns[at].next()
            && self.conns[at].traffic.pending.front().is_some_and(|sent| sent.at <= read)
        {
            self.conns[at].traffic.pending.pop_front();
            if let Meaning::Ping(payload) = what
                && self.is_connected(at)
            {
                let (now, is_optional) = (self.now(), self.may_be_congested(at));
                let sent_during_write = self.sent_during_write;
                let expected = &mut self.conns[at].expected;
                expected.push(now, Order::Direct, Output::Pong(payload), is_optional);
                // It may have been what was being written.
                expected.may_exceed_limit |= sent_during_write && expected.may_drop_next();
                self.marks.mark(true, Mark::Pong);
            }
        }
    }

    /// Whether a connection may have been owed so much that messages for it were not taken.
    pub(super) fn may_be_congested(&self, at: usize) -> bool {
        let soft = self.plan.setup.max_backlog as u64;
        self.conns[at].expected.outstanding() > soft / 2
    }

    /// Whether all together may hold more than they may. What has been read of a message that is
    /// not whole yet takes at most twice its size, and so does what lies behind a slow handler.
    fn may_be_out_of_memory(&self) -> bool {
        let Some(budget) = self.plan.setup.budget() else { return false };
        let most = self.plan.setup.max_message as u64 + 100;
        let paused = self.conns.iter().filter(|conn| conn.state != State::LogEntry).map(|conn| {
            // What is whole by now may have been read in pieces.
            let is_whole =
                conn.traffic.pending.front().is_none_or(|sent| sent.at <= conn.read_at_poll);
            let unfinished = if is_whole { 0 } else { 2 * most.min(conn.read) };
            let waiting = conn.waiting.map_or(0, |waiting| waiting.payload);
            let examples = conn.buffered_from.map_or(0, |from| 2 * (conn.read - from));
            conn.expected.outstanding() + unfinished + waiting + examples
        });
        paused.sum::<u64>() > budget
    }

    pub(super) fn is_connected(&self, at: usize) -> bool {
        self.conns[at].client.is_some_and(|client| self.model.is_connected(client))
    }

    fn by_key(&self, key: ConnKey) -> Result<usize, Fault> {
        let found = self.conns.iter().rposition(|conn| conn.key == Some(key));
        found.ok_or_else(|| Fault::new(format!("a key of nobody: {key:?}")))
    }

    fn last_id(&self) -> u16 {
        let given = self.ids.load(std::sync::atomic::Ordering::Relaxed);
        given.wrapping_sub(2) as u16
    }

    /// Whether somebody might be so far behind that those who send are held back.
    pub(super) fn may_pause_senders(&self) -> bool {
        (0..self.conns.len())
            .any(|at| self.conns[at].state == State::Open && self.may_be_congested(at))
    }
}

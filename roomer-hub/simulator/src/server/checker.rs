//! Checks each input that the engine passes to its hub against the bytes that the engine has read.
//! Passes it to the model, which computes the expected output.

use std::time::Duration;

use roomer_engine::{DisconnectReason, RecordedInput};
use roomer_hub::ConnKey;

use super::application::LogEntry;
use super::conn_model::{ConnModel, State};
use super::cursor::{Cursor, kind};
use super::expected::{Order, Output};
use super::harness::Harness;
use super::hooks::HookEvent;
use super::marks::Mark;
use super::traffic::{Meaning, Sent};
use crate::fault::{Fault, ensure};
use crate::hub::op::{Effect, Op};

/// The engine's `CLOSE_ALLOWANCE`: if a closing connection has more pending output than this, it
/// may be aborted to save memory.
const CLOSE_ALLOWANCE: u64 = 64 * 1024;

impl Harness<'_> {
    /// Checks the journal's new entries. `polled` is the connection whose task was polled.
    pub(super) fn check_journal(&mut self, polled: Option<usize>) -> Result<(), Fault> {
        let was_open = polled.is_some_and(|at| self.conns[at].state == State::Open);
        let has_read = polled.is_some_and(|at| self.note_read(at));
        if self.verbose && !self.journal.is_empty() {
            let (now, journal) = (self.clock.now(), &self.journal);
            self.history.push(format!("{now:?}, poll of {polled:?}: {journal:?}"));
        }
        self.sent_during_write = false;
        let mut inputs = std::mem::take(&mut self.journal);
        let (mut entries, dropped) = {
            let mut state = self.application.state();
            (std::mem::take(&mut state.log), std::mem::take(&mut state.dropped))
        };
        self.check_entries(polled, &inputs, &entries)?;
        // Put the vectors back, so that their capacity is used again.
        inputs.clear();
        self.journal = inputs;
        entries.clear();
        self.application.state().log.append(&mut entries);
        // Check the dropped handlers after the inputs, which contain the reason.
        for by in dropped {
            self.check_dropped(by, polled)?;
        }
        if self.may_be_out_of_memory() {
            let is_closing = |conn: &&mut ConnModel| conn.state == State::Closing;
            for conn in self.conns.iter_mut().filter(is_closing) {
                conn.is_shed |= conn.expected.outstanding() > CLOSE_ALLOWANCE;
            }
        }
        if self.plan.setup.hooks.is_some() {
            self.bytes_in = self.server.stats().bytes_in;
        }
        match polled {
            Some(at) => self.check_poll(at, has_read, was_open),
            None => Ok(()),
        }
    }

    /// Records the bytes that a connection has read in this poll. Returns true if there are any.
    fn note_read(&mut self, at: usize) -> bool {
        let now = self.now();
        let conn = &mut self.conns[at];
        let read = conn.peer.bytes_read();
        (conn.read_at_poll, conn.parse_resumes_at) = (conn.read, None);
        if read <= conn.read {
            return false;
        }
        conn.last_read = read - conn.read;
        conn.read = read;
        conn.before_read = (conn.last_received, conn.unanswered_ping);
        (conn.last_received, conn.unanswered_ping, conn.is_ping_order_unknown) = (now, None, false);
        true
    }

    /// Checks the hub's inputs and the entries in the application's log, in the order in which they
    /// occurred.
    fn check_entries(
        &mut self,
        polled: Option<usize>,
        inputs: &[RecordedInput],
        entries: &[LogEntry],
    ) -> Result<(), Fault> {
        let (mut journal, mut log) = (Cursor::new(inputs), Cursor::new(entries));
        loop {
            match log.peek() {
                // A handler that resumes was polled between two inputs, at the position that it has
                // recorded.
                Some(LogEntry::Resumed { by, after, bytes_in }) if after == journal.at() => {
                    log.next();
                    self.check_resumed((by, bytes_in), polled, &mut journal, &mut log)?;
                    continue;
                }
                Some(LogEntry::HookCalled { by, event: what, after, bytes_in })
                    if after == journal.at() =>
                {
                    log.next();
                    if let Some(at) = polled {
                        self.answer_before_hook(at, bytes_in);
                    }
                    self.check_hook_called((by, what), &mut journal, &mut log)?;
                    continue;
                }
                _ => {}
            }
            let Some(entry) = journal.next() else { break };
            self.trace.number(kind(entry));
            self.check_input(entry, polled, &mut journal, &mut log)?;
        }
        // `send_raw` causes no input for the hub, so such messages can be left over in the log.
        while let Some(action) = log.next() {
            let LogEntry::Raw { by, payload, taken } = action else {
                return Err(Fault::new(format!("an action without an effect: {action:?}")));
            };
            self.check_raw(by, payload, taken)?;
        }
        Ok(())
    }

    /// Checks the state of a connection after its task was polled.
    fn check_poll(&mut self, at: usize, has_read: bool, was_open: bool) -> Result<(), Fault> {
        let has_resumed = std::mem::take(&mut self.conns[at].has_resumed);
        self.after_poll(at, has_read || has_resumed)?;
        let (now, ping) = (self.now(), Duration::from_millis(self.plan.setup.ping));
        let conn = &mut self.conns[at];
        if was_open && conn.state != State::Open && now >= conn.last_ping + ping {
            // The engine may have queued the ping before the connection ended.
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
                ensure!(Some(at) == polled, "a packet of connection {at}, which was not polled");
                self.counts.messages_in += 1;
                self.settle_pings(at);
                let conn = &mut self.conns[at];
                ensure!(conn.waiting.is_none(), "a packet of {at} while its handler is pending");
                let sent = conn.traffic.next(conn.read);
                let Some(Sent { meaning: Meaning::Packet(packet), at: end }) = sent else {
                    let sent = conn.traffic.pending.front();
                    return Err(Fault::new(format!("{sent:?} of {at} is taken for a packet")));
                };
                // After a packet that closes the connection, no frames may be handled.
                ensure!(!conn.is_closed_by_hub, "a packet after the one that has closed {at}");
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
            other => Err(Fault::new(format!("an unexpected input: {other:?}"))),
        }
    }

    fn check_opened(&mut self, key: ConnKey, polled: Option<usize>) -> Result<(), Fault> {
        let Some(at) = polled else {
            return Err(Fault::new("a connection opens outside a poll".into()));
        };
        let (now, id) = (self.now(), self.last_id());
        self.counts.opened += 1;
        ensure!(self.conns[at].state == State::Handshake, "connection {at} opens twice");
        let end = self.check_admitted(at)?;
        self.marks.mark(self.was_full, Mark::OpenedAfterFull);
        let conn = &mut self.conns[at];
        ensure!(
            self.conn_of_client.len() == self.model.clients.len(),
            "the clients are miscounted"
        );
        let client = self.conn_of_client.len() as u16;
        self.conn_of_client.push(at);
        (conn.client, conn.key, conn.id, conn.state) = (Some(client), Some(key), id, State::Open);
        (conn.last_received, conn.last_ping) = (now, now);
        conn.read_at_poll = end;
        conn.expected.push(now, Order::Direct, Output::Response(101), false);
        let slot = usize::from(conn.slot);
        // A later connection may occupy the slot by now. The plan's remaining steps then refer to
        // that connection.
        if self.slots[slot] == Some(at) {
            self.application.state().slots[slot] = Some(id);
        }
        self.give(Op::Open { id }, None)
    }

    /// Records that the hub has closed a connection in response to its last packet.
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
        ensure!(Some(at) == polled, "connection {at} is gone outside a poll");
        self.settle_before_gone(at);
        let close_behind = self.close_behind(at);
        let is_late = self.is_late(at);
        let now = self.now();
        let conn = &mut self.conns[at];
        ensure!(!conn.is_closed_by_hub, "{at} is reported as gone after the hub has closed it");
        let Some(client) = conn.client else { return Ok(()) };
        if let Some(code) = close_behind.or_else(|| conn.next_close()) {
            conn.traffic.pending.pop_front();
            // The server has already sent a close frame, to which this one is the response.
            if conn.state != State::Open {
                return self.give(Op::Gone { client }, None);
            }
            conn.begin_closing(now);
            self.counts.closed_by_peer += 1;
            self.give(Op::Gone { client }, None)?;
            self.expect_hook(client, HookEvent::Gone(DisconnectReason::ByPeer(code)));
            let conn = &mut self.conns[at];
            // If the queue has no space for the close frame, the frame replaces queued output.
            conn.expected.may_be_truncated |= conn.expected.may_drop_next();
            let close = Output::Close { code, reason: code.map(|_| "").or(Some("")) };
            conn.expected.push(now, Order::Barrier, close, false);
            self.marks.mark(true, Mark::ClosedByPeer);
            return Ok(());
        }
        let conn = &self.conns[at];
        let may = conn.is_broken || conn.is_aborted || conn.is_end_visible();
        let may = may || (is_late && conn.is_fully_read());
        ensure!(may || !self.is_connected(at), "connection {at} is gone without a reason");
        ensure!(self.tasks.is_done(conn.task), "connection {at} is gone, but its task is running");
        self.marks.mark(!conn.expected.items.is_empty(), Mark::GoneWithOutputLeft);
        let was_here = self.is_connected(at);
        self.give(Op::Gone { client }, None)?;
        if was_here {
            self.counts.lost += 1;
            self.expect_hook(client, HookEvent::Gone(DisconnectReason::Lost));
        }
        Ok(())
    }

    /// Checks that the engine has a valid reason for closing a connection.
    fn check_closed(
        &mut self,
        at: usize,
        code: u16,
        polled: Option<usize>,
        log: &mut Cursor<'_, LogEntry>,
    ) -> Result<(), Fault> {
        self.settle_overtaking_pings(at, true);
        // The close may be due to pongs that have filled the queue.
        if code == 1013 && polled == Some(at) {
            self.settle_pings(at);
        }
        if polled.is_none() {
            // Raw messages are not inputs for the hub. Check those that precede this close now.
            while let Some(LogEntry::Raw { by, payload, taken }) = log.peek() {
                log.next();
                self.check_raw(by, payload, taken)?;
            }
        }
        // Above the memory budget, any connection may be closed, even in another connection's poll.
        if code == 1013 && self.may_be_out_of_memory() {
            self.marks.mark(polled != Some(at), Mark::OutOfMemory);
            self.close(at, code, None)?;
            // To free memory, the engine drops the connection's queue, except for the close frame.
            (self.conns[at].expected.may_be_truncated, self.conns[at].is_shed) = (true, true);
            return Ok(());
        }
        if polled.is_none() {
            return self.check_closed_outside(at, code, log);
        }
        ensure!(polled == Some(at), "connection {at} is closed with {code} outside a poll");
        self.settle_pings(at);
        self.skip_late(at, Some(code));
        let is_late = self.is_late(at);
        let conn = &mut self.conns[at];
        // If the client closed long ago, its violation ends a pending call.
        let next = if is_late { conn.traffic.peek(conn.read) } else { conn.next() };
        if matches!(next, Some(Meaning::Violation(expected)) if expected == code) {
            conn.traffic.pending.pop_front();
            conn.ignores_input = true;
            if let Some(violation) = conn.violation {
                self.marks.violation(violation);
            }
            return self.close(at, code, None);
        }
        ensure!(code == 1013, "connection {at} is closed with {code} without a reason");
        self.check_closed_slow(at, code)
    }

    /// Checks a close that occurs outside a poll: by the application, a shutdown or a drain.
    fn check_closed_outside(
        &mut self,
        at: usize,
        code: u16,
        log: &mut Cursor<'_, LogEntry>,
    ) -> Result<(), Fault> {
        let id = self.conns[at].id;
        let is_own = |action: &LogEntry| {
            matches!(action, LogEntry::Close { client, code: given, .. }
                if *client == id && *given == code)
        };
        if let Some(action) = log.peek().filter(is_own) {
            log.next();
            let entry = self.conns[at].key.map(|key| RecordedInput::Close(key, code));
            return self.check_action(action, entry);
        }
        let is_ending = self.is_stopping || self.is_drain_poll;
        ensure!(is_ending && code == 1001, "connection {at} is closed with {code}");
        if self.is_drain_poll {
            self.closed_by_drain()?;
        }
        self.close(at, code, Some("server is going away"))
    }

    /// Checks that a connection that was closed by a timeout was silent or too slow.
    fn check_closed_slow(&mut self, at: usize, code: u16) -> Result<(), Fault> {
        let is_silent = self.may_time_out(at);
        let reason = match (is_silent, self.check_slow(at)) {
            // Both reasons are possible, so accept either.
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

    pub(super) fn is_connected(&self, at: usize) -> bool {
        self.conns[at].client.is_some_and(|client| self.model.is_connected(client))
    }

    fn by_key(&self, key: ConnKey) -> Result<usize, Fault> {
        // Search from the end, since most inputs concern connections opened recently.
        let found = self.conns.iter().rposition(|conn| conn.key == Some(key));
        found.ok_or_else(|| Fault::new(format!("an unknown key: {key:?}")))
    }

    fn last_id(&self) -> u16 {
        let given = self.ids.load(std::sync::atomic::Ordering::Relaxed);
        given.wrapping_sub(2) as u16
    }
}

//! Compares the actions of handlers, rules and code outside them with the inputs to the hub.
//!
//! Code outside handlers and rules holds a connection's handle.

use roomer_engine::RecordedInput;
use roomer_hub::Permission;

use super::application::{LogEntry, hash};
use super::conn_model::{State, Waiting};
use super::cursor::Cursor;
use super::expected::{Order, Output};
use super::harness::Harness;
use super::marks::Mark;
use super::permissions::digest;
use super::plan::AppAction;
use super::traffic::Meaning;
use crate::fault::{Fault, ensure};
use crate::hub::op::{Effect, Op};

impl Harness<'_> {
    /// Checks that the engine called the rule or handler that the model expects for a packet.
    pub(super) fn check_called(
        &mut self,
        at: usize,
        journal: &mut Cursor<'_, RecordedInput>,
        log: &mut Cursor<'_, LogEntry>,
    ) -> Result<(), Fault> {
        let id = self.conns[at].id;
        let plan = self.plan;
        let is_due =
            |effect: &&Effect| matches!(effect, Effect::Call { .. } | Effect::Authorize { .. });
        let (is_slow, packet) = match self.model.effects.iter().find(is_due) {
            Some(&Effect::Call { handler, packet, .. }) => {
                let called = log.next();
                let is_right = matches!(called, Some(LogEntry::HandlerCalled { by, handler: h, hash: digest })
                    if by == id && h == handler && digest == hash(&packet));
                ensure!(is_right, "{handler} is to be called by connection {at}, but: {called:?}");
                let after_rule = self.conns[at].pending_rule.take().is_some();
                self.marks.mark(after_rule, Mark::HandlerAfterRule);
                let script = &plan.scripts[handler];
                // If the first action of a slow handler is a panic, the handler panics in the call,
                // before it returns a future.
                (script.is_slow() && script.actions[0] != AppAction::Panic, packet)
            }
            Some(&Effect::Authorize { permission: about, packet, .. }) => {
                let entry = log.next();
                let expected = digest(about, &packet);
                let is_right = matches!(entry, Some(LogEntry::RuleCalled { by, about: question, digest })
                    if by == id && question == about && digest == expected);
                ensure!(is_right, "{about:?} is to be asked for connection {at}, but: {entry:?}");
                self.conns[at].pending_rule = Some((about, packet));
                let answers = plan.setup.authorize[about as usize];
                (answers.is_some_and(|answers| answers.wait.is_some()), packet)
            }
            _ => return Ok(()),
        };
        if !is_slow {
            return self.check_call(at, journal, log);
        }
        let conn = &mut self.conns[at];
        let (read, payload) = (conn.read, packet.payload.len() as u64);
        conn.waiting = Some(Waiting { until: None, read, payload, overtaken: 0 });
        // Input behind this packet stays in the decoder's buffer until the handler has completed.
        conn.buffered_from.get_or_insert(conn.parsed);
        Ok(())
    }

    /// Checks that the engine passes a rule's answer to the hub.
    fn check_answered(
        &mut self,
        at: usize,
        is_allowed: bool,
        journal: &mut Cursor<'_, RecordedInput>,
        log: &mut Cursor<'_, LogEntry>,
    ) -> Result<(), Fault> {
        let conn = &mut self.conns[at];
        let has_waited = conn.waiting.take().is_some_and(|waiting| waiting.until.is_some());
        let (Some((about, packet)), Some(key), Some(client)) =
            (conn.pending_rule, conn.key, conn.client)
        else {
            return Err(Fault::new(format!("an answer about {at} without a question")));
        };
        if std::mem::take(&mut conn.is_join_cancelled) && self.is_connected(at) {
            // The answer has no effect, since a kick has already answered the join.
            self.conns[at].pending_rule = None;
            return Ok(());
        }
        let entry = journal.next();
        let (expected, op) = match is_allowed {
            true => (RecordedInput::Allowed(key), Op::Allowed { client, packet }),
            false => (RecordedInput::Denied(key), Op::Denied { client, packet }),
        };
        ensure!(entry == Some(expected), "a rule answers {expected:?}, the hub is given {entry:?}");
        self.marks.mark(!self.is_connected(at), Mark::AnswerAfterClose);
        let is_in = about == Permission::Join && self.model.is_in(client, packet.room);
        self.marks.mark(!is_allowed && is_in, Mark::DeniedInside);
        self.marks.rule(about, is_allowed, has_waited);
        let rejected_before = self.model.rejected_packets;
        self.give(op, None)?;
        let is_rejected = self.model.rejected_packets != rejected_before;
        self.marks.mark(is_allowed && is_rejected, Mark::RejectedAfterAllow);
        // A packet that is allowed may call a handler, which may be slow as well.
        self.check_called(at, journal, log)?;
        self.conns[at].pending_rule = None;
        Ok(())
    }

    /// Checks that a pending handler was polled in the poll of its own connection.
    pub(super) fn check_resumed(
        &mut self,
        (by, bytes_in): (u16, u64),
        polled: Option<usize>,
        journal: &mut Cursor<'_, RecordedInput>,
        log: &mut Cursor<'_, LogEntry>,
    ) -> Result<(), Fault> {
        let found = self.by_id(by).filter(|&at| self.conns[at].waiting.is_some());
        let Some(at) = found else {
            return Err(Fault::new(format!("a handler of {by} is polled that was never called")));
        };
        // A handler runs in the task of its connection, and is polled only together with it.
        ensure!(polled == Some(at), "the handler of {at} is polled in the poll of {polled:?}");
        self.check_call(at, journal, log)?;
        let now = self.now();
        let conn = &mut self.conns[at];
        conn.has_resumed = conn.waiting.is_none();
        if conn.has_resumed {
            // Perhaps no bytes were read while the handler was pending, so restart the measurement
            // of silence.
            (conn.last_received, conn.unanswered_ping, conn.is_ping_order_unknown) =
                (now, None, false);
            (conn.before_read, conn.parse_resumes_at) = ((now, None), Some(bytes_in));
            let behind = conn.next();
            self.marks.mark(matches!(behind, Some(Meaning::Packet(_))), Mark::MessageBehindSlow);
            self.marks.mark(matches!(behind, Some(Meaning::Close(_))), Mark::CloseBehindSlow);
        }
        Ok(())
    }

    /// Checks that a panic of application code closes the connection immediately.
    pub(super) fn check_panicked(
        &mut self,
        at: usize,
        journal: &mut Cursor<'_, RecordedInput>,
        reason: &'static str,
    ) -> Result<(), Fault> {
        let entry = journal.next();
        let close = self.conns[at].key.map(|key| RecordedInput::Close(key, 1011));
        ensure!(entry == close, "{reason}: a panic is followed by {entry:?}");
        self.close(at, 1011, Some(reason))
    }

    /// Checks the actions of a handler, until it completes or starts to wait.
    fn check_call(
        &mut self,
        at: usize,
        journal: &mut Cursor<'_, RecordedInput>,
        log: &mut Cursor<'_, LogEntry>,
    ) -> Result<(), Fault> {
        let id = self.conns[at].id;
        let has_waited = self.conns[at].waiting.is_some_and(|waiting| waiting.until.is_some());
        while let Some(action) = log.next() {
            match action {
                LogEntry::Returned { failed } => {
                    self.failures.0 += u64::from(failed);
                    self.marks.mark(failed && has_waited, Mark::ErrorAfterWait);
                    self.conns[at].waiting = None;
                    return Ok(());
                }
                LogEntry::RuleAnswered { allowed } => {
                    return self.check_answered(at, allowed, journal, log);
                }
                LogEntry::Paused { until } => {
                    // `check_called` has set `waiting` only if the handler or rule is slow.
                    let Some(waiting) = &mut self.conns[at].waiting else {
                        return Err(Fault::new(format!("a synchronous handler of {at} waits")));
                    };
                    waiting.until = Some(until);
                    let count = self.conns.iter().filter(|conn| conn.waiting.is_some()).count();
                    let is_rule = self.conns[at].pending_rule.is_some();
                    self.marks.mark(true, if is_rule { Mark::SlowRule } else { Mark::SlowHandler });
                    self.marks.mark(count > 1, Mark::TwoWait);
                    return Ok(());
                }
                LogEntry::Panicked => {
                    self.record_panic(at, has_waited);
                    return self.check_panicked(at, journal, "handler failed");
                }
                // A raw message is not an input to the hub, so there is no entry in the journal.
                LogEntry::Raw { by, payload, taken } => self.check_raw(by, payload, taken)?,
                action => {
                    let entry = journal.next();
                    self.check_action(action, entry)?;
                    let closes = matches!(action, LogEntry::Close { client, .. } if client == id);
                    self.marks.mark(closes, Mark::HandlerClosesCaller);
                    self.marks.mark(closes && has_waited, Mark::ClosesCallerAfterWait);
                    let other = matches!(action, LogEntry::Close { client, .. } if client != id);
                    self.marks.mark(other, Mark::HandlerClosesOther);
                }
            }
        }
        Err(Fault::new("a handler did not complete".into()))
    }

    /// Records that the pending handler or rule of a connection has panicked.
    fn record_panic(&mut self, at: usize, has_waited: bool) {
        self.failures.1 += 1;
        self.conns[at].waiting = None;
        let is_rule = self.conns[at].pending_rule.take().is_some();
        self.marks.mark(is_rule && has_waited, Mark::RulePanicsAfterWait);
        self.marks.mark(is_rule, Mark::RulePanics);
        self.marks.mark(!is_rule, Mark::HandlerPanics);
        self.marks.mark(has_waited, Mark::PanicAfterWait);
        let crowd = self.conns.iter().filter(|conn| conn.state == State::Open).count();
        self.marks.mark(crowd > 2, Mark::PanicInCrowd);
    }

    /// Checks that a slow handler was dropped because its connection has ended, in a poll of that
    /// connection.
    pub(super) fn check_dropped(&mut self, by: u16, polled: Option<usize>) -> Result<(), Fault> {
        let found = self.by_id(by).filter(|&at| polled == Some(at));
        let Some(at) = found else {
            return Err(Fault::new(format!("the handler of {by} is dropped by {polled:?}")));
        };
        let conn = &mut self.conns[at];
        let waiting = conn.waiting.take();
        let is_finished = conn.state != State::Open || self.tasks.is_done(conn.task);
        ensure!(is_finished && waiting.is_some(), "the handler of {at} is dropped: {waiting:?}");
        let has_begun = waiting.is_some_and(|waiting| waiting.until.is_some());
        self.marks.mark(!has_begun, Mark::SlowNeverPolled);
        let mark = match conn {
            conn if conn.is_aborted => Mark::AbortedWhileWaiting,
            conn if conn.is_broken => Mark::LostWhileWaiting,
            _ if self.is_stopping => Mark::ShutdownWhileWaiting,
            _ => Mark::ClosedWhileWaiting,
        };
        self.marks.mark(has_begun, mark);
        Ok(())
    }

    /// Checks a command that the application has issued outside any handler.
    pub(super) fn check_outside(
        &mut self,
        entry: RecordedInput,
        log: &mut Cursor<'_, LogEntry>,
    ) -> Result<(), Fault> {
        loop {
            match log.next() {
                Some(LogEntry::Raw { by, payload, taken }) => self.check_raw(by, payload, taken)?,
                Some(action) => return self.check_action(action, Some(entry)),
                None => return Err(Fault::new(format!("an input without an action: {entry:?}"))),
            }
        }
    }

    /// Compares an action with the input that it must cause in the hub.
    pub(super) fn check_action(
        &mut self,
        action: LogEntry,
        entry: Option<RecordedInput>,
    ) -> Result<(), Fault> {
        let key = |harness: &Self, id| harness.by_id(id).and_then(|at| harness.conns[at].key);
        let (expected, op) = match action {
            LogEntry::ToRoom { by, room, event, payload } => {
                let from = self.by_id(by).and_then(|at| self.conns[at].client);
                let expected = RecordedInput::Broadcast(key(self, by));
                let except_guest = None;
                (expected, Op::Broadcast { from, except: from, except_guest, room, event, payload })
            }
            LogEntry::ToClient { by, dst, event, payload } => {
                let from = self.by_id(by).and_then(|at| self.conns[at].client);
                (RecordedInput::Send(key(self, by)), Op::Send { from, dst, event, payload })
            }
            LogEntry::Join { client, room } | LogEntry::Leave { client, room } => {
                let found =
                    self.by_id(client).map(|at| (self.conns[at].key, self.conns[at].client));
                let Some((Some(key), Some(client))) = found else {
                    return Err(Fault::new(format!("an unknown connection: {action:?}")));
                };
                match action {
                    LogEntry::Join { .. } => (RecordedInput::Join(key), Op::Join { client, room }),
                    _ => {
                        self.cancel_join(client, room);
                        (RecordedInput::Leave(key), Op::Leave { client, room })
                    }
                }
            }
            LogEntry::Close { client, code, reason } => {
                let Some(at) = self.by_id(client) else {
                    return Err(Fault::new(format!("an unknown connection: {action:?}")));
                };
                let expected = key(self, client).map(|key| RecordedInput::Close(key, code));
                ensure!(entry == expected, "{action:?} became {entry:?}");
                return self.close(at, code, Some(reason));
            }
            other => return Err(Fault::new(format!("out of order: {other:?}"))),
        };
        ensure!(entry == Some(expected), "{action:?} became {entry:?}");
        self.give(op, None)
    }

    /// Records that the application has removed a client from a room, which cancels its pending
    /// join.
    fn cancel_join(&mut self, client: u16, room: &str) {
        let at = self.conn_of_client[usize::from(client)];
        let conn = &mut self.conns[at];
        let question = conn.pending_rule;
        conn.is_join_cancelled |= question
            .is_some_and(|(about, packet)| about == Permission::Join && packet.room == room);
    }

    pub(super) fn check_raw(
        &mut self,
        by: u16,
        payload: &'static [u8],
        taken: bool,
    ) -> Result<(), Fault> {
        let now = self.now();
        let Some(at) = self.by_id(by) else { return Ok(()) };
        let is_connected = self.is_connected(at);
        if taken {
            ensure!(is_connected, "a message is accepted for connection {at}, which is closed");
            self.expect(now, at, Order::Direct, Output::Raw(payload));
            return Ok(());
        }
        self.marks.mark(is_connected, Mark::RawRejected);
        ensure!(
            !is_connected || self.may_be_congested(at),
            "a message for connection {at} is not accepted"
        );
        Ok(())
    }
}

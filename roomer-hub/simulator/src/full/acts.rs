//! What the application did: its handlers, at once or after a while, and whoever else has a
//! connection's handle.

use roomer_engine::RecordedInput;
use roomer_hub::Permission;

use super::cursor::Cursor;
use super::due::{Order, What};
use super::handlers::{Done, hash};
use super::line::{State, Waiting};
use super::marks::Mark;
use super::plan::Deed;
use super::rules::sum;
use super::stage::Stage;
use super::talk::Meaning;
use crate::fault::{Fault, ensure};
use crate::op::{Effect, Op};

impl Stage<'_> {
    /// What the application has to do with a packet: a rule is asked, or a handler called.
    pub(super) fn called(
        &mut self,
        at: usize,
        entries: &mut Cursor<'_, RecordedInput>,
        deeds: &mut Cursor<'_, Done>,
    ) -> Result<(), Fault> {
        let id = self.lines[at].id;
        let plan = self.plan;
        let is_due = |effect: &&Effect| matches!(effect, Effect::Call { .. } | Effect::Ask { .. });
        let (is_slow, packet) = match self.model.due.iter().find(is_due) {
            Some(&Effect::Call { handler, packet, .. }) => {
                let called = deeds.next();
                let is_right = matches!(called, Some(Done::Called { by, handler: h, hash: sum })
                    if by == id && h == handler && sum == hash(&packet));
                ensure!(is_right, "{handler} is to be called by connection {at}, but: {called:?}");
                let after_rule = self.lines[at].asked_about.take().is_some();
                self.seen.mark(after_rule, Mark::HandlerAfterRule);
                let script = &plan.scripts[handler];
                (script.is_slow() && script.does[0] != Deed::Panic, packet)
            }
            Some(&Effect::Ask { about, packet, .. }) => {
                let asked = deeds.next();
                let due = sum(about, &packet);
                let is_right = matches!(asked, Some(Done::Asked { by, about: question, sum })
                    if by == id && question == about && sum == due);
                ensure!(is_right, "{about:?} is to be asked for connection {at}, but: {asked:?}");
                self.lines[at].asked_about = Some((about, packet));
                let answers = plan.setup.asks[about as usize];
                (answers.is_some_and(|answers| answers.wait.is_some()), packet)
            }
            _ => return Ok(()),
        };
        if !is_slow {
            return self.acts(at, entries, deeds);
        }
        let line = &mut self.lines[at];
        let (read, payload) = (line.read, packet.payload.len() as u64);
        line.waiting = Some(Waiting { until: None, read, payload });
        line.kept_from.get_or_insert(line.understood);
        Ok(())
    }

    /// A rule has answered, and the hub hears of it.
    fn answered(
        &mut self,
        at: usize,
        is_allowed: bool,
        entries: &mut Cursor<'_, RecordedInput>,
        deeds: &mut Cursor<'_, Done>,
    ) -> Result<(), Fault> {
        let line = &mut self.lines[at];
        let has_waited = line.waiting.take().is_some_and(|waiting| waiting.until.is_some());
        let (Some((about, packet)), Some(key), Some(who)) = (line.asked_about, line.key, line.who)
        else {
            return Err(Fault::new(format!("an answer about {at} that nobody asked for")));
        };
        let entry = entries.next();
        let (due, op) = match is_allowed {
            true => (RecordedInput::Allowed(key), Op::Allowed { who, packet }),
            false => (RecordedInput::Denied(key), Op::Denied { who, packet }),
        };
        ensure!(entry == Some(due), "a rule says {due:?}, the hub hears {entry:?}");
        self.seen.mark(!self.is_here(at), Mark::AnswerForNobody);
        let is_in = about == Permission::Join && self.model.is_in(who, packet.room);
        self.seen.mark(!is_allowed && is_in, Mark::DeniedInside);
        self.seen.rule(about, is_allowed, has_waited);
        self.give(op, None)?;
        self.expelled(at);
        self.seen.mark(self.lines[at].is_expelled, Mark::ClosedByAnswer);
        self.called(at, entries, deeds)?;
        self.lines[at].asked_about = None;
        Ok(())
    }

    /// A slow handler has its turn, which is its connection's.
    pub(super) fn resumed(
        &mut self,
        (by, bytes_in): (u16, u64),
        polled: Option<usize>,
        entries: &mut Cursor<'_, RecordedInput>,
        deeds: &mut Cursor<'_, Done>,
    ) -> Result<(), Fault> {
        let found = self.by_id(by).filter(|&at| self.lines[at].waiting.is_some());
        let Some(at) = found else {
            return Err(Fault::new(format!("a handler of {by} goes on that was never called")));
        };
        ensure!(polled == Some(at), "the handler of {at} goes on in the turn of {polled:?}");
        self.acts(at, entries, deeds)?;
        let now = self.now();
        let line = &mut self.lines[at];
        line.has_resumed = line.waiting.is_none();
        if line.has_resumed {
            // Nothing was read meanwhile: silence begins anew.
            (line.heard, line.asked, line.is_unsure) = (now, None, false);
            (line.before, line.behind_slow) = ((now, None), Some(bytes_in));
            let behind = line.next();
            self.seen.mark(matches!(behind, Some(Meaning::Packet(_))), Mark::MessageBehindSlow);
            self.seen.mark(matches!(behind, Some(Meaning::Ping(_))), Mark::PingBehindSlow);
            self.seen.mark(matches!(behind, Some(Meaning::Close(_))), Mark::CloseBehindSlow);
        }
        Ok(())
    }

    /// The application's code has panicked: its connection is closed, at once.
    pub(super) fn panicked(
        &mut self,
        at: usize,
        entries: &mut Cursor<'_, RecordedInput>,
        reason: &'static str,
    ) -> Result<(), Fault> {
        let entry = entries.next();
        let close = self.lines[at].key.map(|key| RecordedInput::Close(key, 1011));
        ensure!(entry == close, "{reason}: it panicked, and then: {entry:?}");
        self.close(at, 1011, Some(reason))
    }

    /// What a handler does until its end, or until it waits.
    fn acts(
        &mut self,
        at: usize,
        entries: &mut Cursor<'_, RecordedInput>,
        deeds: &mut Cursor<'_, Done>,
    ) -> Result<(), Fault> {
        let id = self.lines[at].id;
        let has_waited = self.lines[at].waiting.is_some_and(|waiting| waiting.until.is_some());
        while let Some(deed) = deeds.next() {
            match deed {
                Done::Returned { failed } => {
                    self.failures.0 += u64::from(failed);
                    self.seen.mark(failed && has_waited, Mark::ErrorAfterWait);
                    self.lines[at].waiting = None;
                    return Ok(());
                }
                Done::Answered { allowed } => return self.answered(at, allowed, entries, deeds),
                Done::Paused { until } => {
                    let Some(waiting) = &mut self.lines[at].waiting else {
                        return Err(Fault::new(format!("a quick handler of {at} waits")));
                    };
                    waiting.until = Some(until);
                    let count = self.lines.iter().filter(|line| line.waiting.is_some()).count();
                    let is_rule = self.lines[at].asked_about.is_some();
                    self.seen.mark(true, if is_rule { Mark::SlowRule } else { Mark::SlowHandler });
                    self.seen.mark(count > 1, Mark::TwoWait);
                    return Ok(());
                }
                Done::Panicked => {
                    self.failures.1 += 1;
                    self.lines[at].waiting = None;
                    let is_rule = self.lines[at].asked_about.take().is_some();
                    self.seen.mark(is_rule && has_waited, Mark::RulePanicsAfterWait);
                    self.seen.mark(is_rule, Mark::RulePanics);
                    self.seen.mark(!is_rule, Mark::HandlerPanics);
                    self.seen.mark(has_waited, Mark::PanicAfterWait);
                    let crowd = self.lines.iter().filter(|l| l.state == State::Open).count();
                    self.seen.mark(crowd > 2, Mark::PanicInCrowd);
                    return self.panicked(at, entries, "handler failed");
                }
                Done::Raw { by, payload, taken } => self.raw(by, payload, taken)?,
                deed => {
                    let entry = entries.next();
                    self.deed(deed, entry)?;
                    let closes = matches!(deed, Done::Close { who, .. } if who == id);
                    self.seen.mark(closes, Mark::HandlerClosesCaller);
                    self.seen.mark(closes && has_waited, Mark::ClosesCallerAfterWait);
                    let other = matches!(deed, Done::Close { who, .. } if who != id);
                    self.seen.mark(other, Mark::HandlerClosesOther);
                }
            }
        }
        Err(Fault::new("a handler did not come to its end".into()))
    }

    /// A slow handler was dropped before its end: its connection's end has to be why, seen in a
    /// turn of its own.
    pub(super) fn dropped(&mut self, by: u16, polled: Option<usize>) -> Result<(), Fault> {
        let found = self.by_id(by).filter(|&at| polled == Some(at));
        let Some(at) = found else {
            return Err(Fault::new(format!("the handler of {by} is dropped by {polled:?}")));
        };
        let line = &mut self.lines[at];
        let waiting = line.waiting.take();
        let is_over = line.state != State::Open || self.tasks.is_done(line.task);
        ensure!(is_over && waiting.is_some(), "the handler of {at} is dropped: {waiting:?}");
        let has_begun = waiting.is_some_and(|waiting| waiting.until.is_some());
        self.seen.mark(!has_begun, Mark::SlowNeverBegun);
        let mark = match line {
            line if line.is_aborted => Mark::AbortedWhileWaiting,
            line if line.is_refused => Mark::LostWhileWaiting,
            _ if self.is_stopping => Mark::ShutdownWhileWaiting,
            _ => Mark::ClosedWhileWaiting,
        };
        self.seen.mark(has_begun, mark);
        Ok(())
    }

    /// A command that no handler gave.
    pub(super) fn outside(
        &mut self,
        entry: RecordedInput,
        deeds: &mut Cursor<'_, Done>,
    ) -> Result<(), Fault> {
        loop {
            match deeds.next() {
                Some(Done::Raw { by, payload, taken }) => self.raw(by, payload, taken)?,
                Some(deed) => return self.deed(deed, Some(entry)),
                None => return Err(Fault::new(format!("nobody asked for {entry:?}"))),
            }
        }
    }

    /// What a handle was used for, beside what the engine made of it.
    pub(super) fn deed(&mut self, deed: Done, entry: Option<RecordedInput>) -> Result<(), Fault> {
        let key = |stage: &Self, id| stage.by_id(id).and_then(|at| stage.lines[at].key);
        let (due, op) = match deed {
            Done::ToRoom { by, room, event, payload } => {
                let from = self.by_id(by).and_then(|at| self.lines[at].who);
                let due = RecordedInput::Broadcast(key(self, by));
                (due, Op::Broadcast { from, except: from, room, event, payload })
            }
            Done::ToClient { by, dst, event, payload } => {
                let from = self.by_id(by).and_then(|at| self.lines[at].who);
                (RecordedInput::Send(key(self, by)), Op::Send { from, dst, event, payload })
            }
            Done::Join { who, room } | Done::Leave { who, room } => {
                let found = self.by_id(who).map(|at| (self.lines[at].key, self.lines[at].who));
                let Some((Some(key), Some(who))) = found else {
                    return Err(Fault::new(format!("nobody is moved: {deed:?}")));
                };
                match deed {
                    Done::Join { .. } => (RecordedInput::Join(key), Op::Join { who, room }),
                    _ => (RecordedInput::Leave(key), Op::Leave { who, room }),
                }
            }
            Done::Close { who, code, reason } => {
                let Some(at) = self.by_id(who) else {
                    return Err(Fault::new(format!("nobody is closed: {deed:?}")));
                };
                let due = key(self, who).map(|key| RecordedInput::Close(key, code));
                ensure!(entry == due, "{deed:?} became {entry:?}");
                return self.close(at, code, Some(reason));
            }
            other => return Err(Fault::new(format!("out of turn: {other:?}"))),
        };
        ensure!(entry == Some(due), "{deed:?} became {entry:?}");
        self.give(op, None)
    }

    pub(super) fn raw(
        &mut self,
        by: u16,
        payload: &'static [u8],
        taken: bool,
    ) -> Result<(), Fault> {
        let now = self.now();
        let Some(at) = self.by_id(by) else { return Ok(()) };
        let is_here = self.is_here(at);
        if taken {
            ensure!(is_here, "a message is taken for connection {at}, which is gone");
            self.due(now, at, Order::Alone, What::Raw(payload));
            return Ok(());
        }
        self.seen.mark(is_here, Mark::RawRefused);
        ensure!(!is_here || self.may_be_over(at), "a message for connection {at} is not taken");
        Ok(())
    }
}

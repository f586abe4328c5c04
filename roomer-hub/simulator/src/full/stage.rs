//! A plan is carried out: the real server, its sockets and tasks, and the clients, step by step.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use roomer_engine::{RecordedInput, Server};
use roomer_proto::PacketRef;
use roomer_testkit::{Clock, Tasks, socket};

use super::caps::address;
use super::counts::Counts;
use super::drain::Drain;
use super::due::Heard;
use super::handlers::Application;
use super::hooks::Untold;
use super::line::{End, Line, State};
use super::marks::{Mark, Seen};
use super::plan::{Ask, Deed, Plan, Setup, Size, Step, Talk};
use super::setup::Chance;
use crate::fault::{Fault, ensure};
use crate::model::Model;
use crate::names::{noise, person};
use crate::plan::Rules;
use crate::trace::Trace;

/// The most turns that may follow one another at one moment.
const RESTLESS: u32 = 1_000_000;

/// The most connections of a plan.
const MOST: usize = 120;

pub struct Stage<'p> {
    pub plan: &'p Plan,
    pub clock: Clock,
    pub server: Server,
    pub tasks: Tasks,
    pub lines: Vec<Line>,
    /// Who is in the slots, by number of line.
    pub slots: [Option<usize>; 32],
    pub application: Application,
    pub model: Model,
    /// Lines by number of client.
    pub people: Vec<usize>,
    pub journal: Vec<RecordedInput>,
    /// How many ids have been given out.
    pub ids: Arc<AtomicU32>,
    pub is_stopping: bool,
    pub(super) drain: Option<Drain>,
    /// This is a turn of the drain's.
    pub(super) is_dismissing: bool,
    pub trace: Trace,
    /// What hooks have not heard of.
    pub untold: VecDeque<Untold>,
    /// Bytes that the server had counted before this turn, if there are hooks.
    pub bytes_in: u64,
    /// Somebody has spoken while a write of this turn was under way.
    pub has_spoken: bool,
    /// How many inputs there have been.
    pub causes: u32,
    pub(super) counts: Counts,
    /// Handlers that have failed, and those that have panicked.
    pub failures: (u64, u64),
    /// Somebody was refused since there was no room.
    pub(super) was_full: bool,
    /// Helpers. Their tasks come after the keeper's and before the connections'.
    pub(super) helpers: usize,
    /// What was left of each large flush after the last turn.
    pub(super) flushes: Vec<usize>,
    pub steps: u64,
    pub seen: Seen,
    pub tells: bool,
    /// What the engine gave its hub, for a report.
    pub history: Vec<String>,
    buffer: Vec<u8>,
}

impl<'p> Stage<'p> {
    pub fn new(plan: &'p Plan) -> Result<Self, Fault> {
        let setup = &plan.setup;
        let clock = Clock::new(0);
        let ids = Arc::new(AtomicU32::new(0));
        let application = Application::default();
        let env = Chance { clock: clock.clone(), ids: ids.clone() };
        let builder = setup.builder().environment(env);
        let builder = application.register(builder, &plan.scripts, &clock);
        let builder = application.hooks(builder, setup.hooks);
        let builder = application.door(builder, setup.door, &clock);
        let server = application.rules(builder, &setup.asks, &clock).build();
        let server = server.map_err(|error| Fault::new(error.to_string()))?;
        server.keep_journal();
        let mut tasks = Tasks::new();
        let (keeper, sleeper) = (server.clone(), clock.clone());
        tasks.spawn(async move { keeper.run_timers(|wait| sleeper.sleep(wait)).await });
        let helpers = setup.flush.map_or(1, |flush| flush.helpers);
        for _ in 0..helpers {
            let helper = server.clone();
            tasks.spawn(async move { helper.run_flush_worker().await });
        }
        let handlers = plan.scripts.iter().map(|script| script.event).collect();
        let mut model = Model::new(setup.config(), handlers);
        model.memberships.extend(setup.memberships.into_iter().flatten());
        (model.paces, model.shared_room_only) = (setup.paces, setup.shared_room_only);
        Ok(Stage {
            plan,
            clock,
            server,
            tasks,
            lines: Vec::new(),
            slots: [None; 32],
            application,
            model,
            people: Vec::new(),
            journal: Vec::new(),
            ids,
            is_stopping: false,
            drain: None,
            is_dismissing: false,
            trace: Trace::new(),
            untold: VecDeque::new(),
            bytes_in: 0,
            has_spoken: false,
            causes: 0,
            counts: Counts::default(),
            failures: (0, 0),
            helpers,
            flushes: Vec::new(),
            was_full: false,
            steps: 0,
            seen: Seen::default(),
            tells: false,
            history: Vec::new(),
            buffer: Vec::new(),
        })
    }

    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    pub fn step(&mut self, step: &Step) -> Result<(), Fault> {
        match *step {
            Step::Connect { slot, ask } => self.connect(slot, ask),
            Step::Turn { place } => {
                let woken = self.tasks.woken();
                if woken == 0 {
                    return Ok(());
                }
                let task = self.tasks.turn(usize::from(place) % woken);
                self.steps += 1;
                self.look(task)?;
            }
            Step::Rest => self.rest()?,
            Step::Jump { millis } => {
                self.clock.advance_to(self.now() + Duration::from_millis(millis.into()))
            }
            Step::Pass { millis } => self.pass(Duration::from_millis(millis.into()))?,
            Step::Shutdown => {
                self.is_stopping = true;
                self.mark_shutdown();
                self.server.shutdown();
                self.look(None)?;
            }
            Step::Drain => self.begin_drain()?,
            Step::App { slot, ref deed } => {
                if !matches!(deed, Deed::Panic | Deed::Fail | Deed::Pause { .. }) {
                    self.application.outside(slot, deed);
                    self.look(None)?;
                }
            }
            Step::Say { slot, talk } => {
                if let Some(line) = self.line(slot) {
                    self.say(line, talk);
                }
            }
            Step::Deliver { slot, bytes } => {
                if let Some(line) = self.line(slot) {
                    self.deliver(line, bytes as usize);
                }
            }
            Step::Poll { slot }
            | Step::Room { slot, .. }
            | Step::Narrow { slot, .. }
            | Step::Interrupt { slot }
            | Step::Meanwhile { slot, .. }
            | Step::Pretend { slot }
            | Step::HalfClose { slot }
            | Step::Reset { slot }
            | Step::Vanish { slot }
            | Step::Refuse { slot }
            | Step::Abort { slot } => {
                if let Some(line) = self.line(slot) {
                    self.trouble(line, step)?;
                }
            }
        }
        self.steps += 1;
        Ok(())
    }

    pub fn line(&self, slot: u8) -> Option<usize> {
        *self.slots.get(usize::from(slot))?
    }

    pub fn connect(&mut self, slot: u8, ask: Ask) {
        if self.lines.len() >= MOST || usize::from(slot) >= self.slots.len() {
            return;
        }
        let (reader, writer, peer) = socket();
        let turned_away = self.turns_away(slot);
        let task = self.tasks.spawn(self.server.connect(reader, writer, address(slot)));
        let is_mute = self.plan.setup.mute & (1 << slot) != 0;
        let mut line = Line::new(peer, task, slot, is_mute, self.now());
        line.turned_away = turned_away;
        turned_away.into_iter().for_each(|status| self.counts.refused(status));
        line.due.hard = self.plan.setup.hard() as u64;
        line.due.coalesces = self.plan.setup.coalesce > 0;
        line.mouth.ask(ask, slot, self.plan.setup.rules);
        if self.tells {
            line.due.heard = Some(Vec::new());
        }
        if let Some(before) = self.line(slot) {
            let is_gone = self.lines[before].state == State::Done;
            self.seen.mark(is_gone, Mark::SlotReused);
        }
        self.slots[usize::from(slot)] = Some(self.lines.len());
        self.application.state().slots[usize::from(slot)] = None;
        self.lines.push(line);
    }

    pub fn say(&mut self, at: usize, talk: Talk) {
        let setup = &self.plan.setup;
        let caller = self.lines[at].id;
        let (dst, src) = match talk {
            Talk::Packet { dst, src, .. } => {
                let state = self.application.state();
                (state.address(dst, caller % 512), state.address(src, caller % 512))
            }
            _ => ("", ""),
        };
        let line = &mut self.lines[at];
        if !line.can_say() {
            return;
        }
        match talk {
            Talk::Packet { room, event, payload, form, .. } => {
                let bare = PacketRef { room, event, dst, src, payload: &[] };
                let payload = match payload {
                    Size::Queue { slot, hard, more } => self.fill(slot, hard, more, &bare),
                    payload => payload_of(payload, &bare, setup),
                };
                let line = &mut self.lines[at];
                let packet = PacketRef { payload, ..bare };
                let length = packet.encoded_len();
                self.seen.mark(length == setup.max_message, Mark::MessageAtLimit);
                self.seen.mark(length == setup.max_message + 1, Mark::MessageOverLimit);
                self.seen.mark(length + 1 == setup.max_message, Mark::MessageUnderLimit);
                line.mouth.packet(packet, form, setup);
                line.is_deaf |= line.mouth.has_said_wrong();
            }
            Talk::Ping(length) => line.mouth.ping(noise(3, length.min(125).into())),
            Talk::Pong(length) => line.mouth.pong(noise(4, length.min(125).into())),
            Talk::Close(code) => {
                line.mouth.close((code != 0).then_some(code));
                line.closes_at = line.mouth.said.back().map(|said| said.at);
            }
            Talk::Bad(bad) => {
                line.mouth.bad(bad, setup);
                line.bad.get_or_insert(bad);
                line.is_deaf = true;
            }
        }
    }

    /// A payload that brings a queue to its limit, or near it.
    fn fill(&self, slot: u8, hard: bool, more: i8, bare: &PacketRef<'_>) -> &'static [u8] {
        let setup = &self.plan.setup;
        let limit = if hard { setup.hard() } else { setup.max_backlog };
        let owed = self.line(slot).map_or(0, |at| self.lines[at].due.owed()) as usize;
        let left = limit.saturating_sub(owed).saturating_add_signed(more.into());
        let head = match left {
            0..=127 => 2,
            128..=0x1_0003 => 4,
            _ => 10,
        };
        let around = head + bare.encoded_len() - bare.src.len() + person(0).text.len();
        let most = setup.max_message.saturating_sub(bare.encoded_len()).min(0x1_0000);
        noise(8, left.saturating_sub(around).min(most) as u32)
    }

    pub fn deliver(&mut self, at: usize, bytes: usize) {
        let line = &mut self.lines[at];
        if line.end == Some(End::Lost) || line.end == Some(End::Arrived) {
            return;
        }
        let size = bytes.min(line.mouth.under_way.len());
        if size > 0 {
            let (front, back) = line.mouth.under_way.as_slices();
            let first = front.len().min(size);
            line.peer.deliver(&front[..first]);
            line.peer.deliver(&back[..size - first]);
            line.mouth.under_way.drain(..size);
        }
        if line.mouth.under_way.is_empty() && line.end == Some(End::Saying) {
            line.peer.end(Ok(()));
            line.end = Some(End::Arrived);
        }
    }

    fn trouble(&mut self, at: usize, step: &Step) -> Result<(), Fault> {
        let line = &mut self.lines[at];
        let peer = &line.peer;
        match *step {
            Step::Poll { .. } => {
                let task = line.task;
                if !self.tasks.is_done(task) {
                    self.tasks.poll(task);
                    self.look(Some(task))?;
                }
            }
            Step::Room { bytes, .. } if line.end != Some(End::Lost) => {
                peer.room(if bytes == u32::MAX { usize::MAX } else { bytes as usize });
                self.seen.mark(line.due.is_inside(), Mark::HalfFrameResumed);
            }
            Step::Narrow { read, write, .. } => {
                peer.max_read(read as usize);
                peer.max_write(write as usize);
                line.is_narrow = true;
            }
            Step::Interrupt { .. } => peer.interrupt(1),
            Step::Meanwhile { of, room, payload, .. } => {
                let application = self.application.clone();
                let deed = Deed::ToRoom { room, event: "cha", payload };
                peer.meanwhile(move || (0..3).for_each(|_| application.outside(of, &deed)));
            }
            Step::Pretend { .. } => peer.pretend_room(),
            Step::HalfClose { .. } => {
                line.end.get_or_insert(End::Saying);
            }
            Step::Reset { .. } if line.end != Some(End::Arrived) => {
                line.mouth.under_way.clear();
                peer.lose_unread();
                peer.room(0);
                peer.end(Err(ErrorKind::ConnectionReset));
                peer.refuse(ErrorKind::ConnectionReset);
                (line.end, line.is_refused) = (Some(End::Arrived), true);
            }
            Step::Vanish { .. } if line.end != Some(End::Arrived) => {
                line.mouth.under_way.clear();
                peer.lose_unread();
                peer.room(0);
                line.end = Some(End::Lost);
            }
            Step::Refuse { .. } => {
                peer.refuse(ErrorKind::BrokenPipe);
                line.is_refused = true;
            }
            Step::Abort { .. } => {
                let task = line.task;
                line.is_aborted = true;
                if !self.tasks.is_done(task) {
                    self.tasks.abort(task);
                    self.look(Some(task))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Lets everybody who has been woken have turns until nobody is left, then checks what must be
    /// true at rest.
    pub fn rest(&mut self) -> Result<(), Fault> {
        let mut turns = 0;
        while let Some(task) = self.tasks.turn(0) {
            turns += 1;
            ensure!(turns < RESTLESS, "the server does not come to rest");
            self.look(Some(task))?;
        }
        self.steps += u64::from(turns);
        self.check_rest()
    }

    /// Lets time go on, stopping wherever somebody wants to be woken.
    pub fn pass(&mut self, span: Duration) -> Result<(), Fault> {
        let end = self.now() + span;
        self.rest()?;
        while let Some(due) = self.clock.next().filter(|due| *due <= end) {
            self.clock.advance_to(due);
            self.rest()?;
        }
        self.clock.advance_to(end);
        self.rest()
    }

    /// Follows what has happened: what the server did with its inputs, and what it sent.
    pub fn look(&mut self, task: Option<usize>) -> Result<(), Fault> {
        self.journal.append(&mut self.application.state().journal);
        self.server.take_journal(&mut self.journal);
        let at = |task| self.lines.binary_search_by_key(&task, |line| line.task).ok();
        let polled = task.and_then(at);
        self.look_at_flushes(task)?;
        self.look_at_drain(task)?;
        let now = self.now();
        for line in &mut self.lines {
            let written = line.peer.written();
            if written != line.took.0 {
                line.took = (written, now);
                if std::mem::take(&mut line.was_full) {
                    line.relieved = (now, now);
                } else if line.is_narrow {
                    line.relieved.1 = now;
                }
            }
            line.was_full |= line.peer.is_full();
        }
        self.follow(polled)?;
        for at in 0..self.lines.len() {
            if self.lines[at].peer.waiting() > 0 {
                self.hear(at)?;
            }
        }
        Ok(())
    }

    /// A client reads.
    fn hear(&mut self, at: usize) -> Result<(), Fault> {
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.clear();
        let line = &mut self.lines[at];
        line.peer.take(usize::MAX, &mut bytes);
        self.trace.number(at as u64);
        self.trace.bytes(&bytes);
        let compat = self.plan.setup.rules == Rules::Compat;
        let Line { due, view, mouth, is_mute, end, closes_at, id, .. } = line;
        let (id, is_polite) = (*id, !*is_mute && end.is_none());
        let seen = &mut self.seen;
        let heard = due.hear(&bytes, |heard| {
            match heard {
                Heard::Ping if is_polite && closes_at.is_none() => mouth.pong(&[]),
                Heard::Ping => {}
                Heard::Close(code) => {
                    seen.close(code);
                    if is_polite && closes_at.is_none() {
                        mouth.close(code);
                        *closes_at = mouth.said.back().map(|said| said.at);
                    }
                }
                Heard::Item(item) => {
                    seen.frame(&item);
                    view.hear(id, &item, compat)?;
                }
            }
            Ok(())
        });
        self.buffer = bytes;
        if !self.may_be_over(at) {
            self.lines[at].behind = None;
        }
        let who = self.lines[at].who;
        heard.map_err(|Fault(what)| Fault::new(format!("connection {at} (client {who:?}): {what}")))
    }

    pub(super) fn mark_shutdown(&mut self) {
        let in_handshake = self.lines.iter().any(|line| line.state == State::Handshake);
        self.seen.mark(in_handshake, Mark::ShutdownInHandshake);
        let is_stalled = |line: &Line| line.state == State::Open && !line.peer.has_room();
        self.seen.mark(self.lines.iter().any(is_stalled), Mark::ShutdownWhileStalled);
    }

    /// The number of a client's line, by the number of its id.
    pub fn by_id(&self, id: u16) -> Option<usize> {
        self.lines.iter().rposition(|line| line.id == id && line.who.is_some())
    }
}

/// The payload of a packet that is to have a certain size.
fn payload_of(size: Size, bare: &PacketRef<'_>, setup: &Setup) -> &'static [u8] {
    const MOST: usize = 0x1_0000;
    match size {
        Size::Bytes(payload) => noise(payload.0, payload.1),
        Size::Queue { .. } => &[],
        Size::Limit(more) => {
            let length = setup.max_message.saturating_add_signed(more.into());
            noise(5, length.saturating_sub(bare.encoded_len()).min(MOST) as u32)
        }
        Size::Frame(length) => {
            // The server puts the sender's id where the client's src was.
            let around = bare.encoded_len() - bare.src.len() + person(0).text.len();
            noise(6, (length as usize).saturating_sub(around).min(MOST) as u32)
        }
    }
}

//! Runs the steps of a plan: the real server with its sockets and tasks, and the clients.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use roomer_engine::{RecordedInput, Server};
use roomer_testkit::{Clock, Tasks, socket};

use super::admission::address;
use super::application::Application;
use super::conn_model::{ConnModel, State};
use super::counters::Counts;
use super::drain::Drain;
use super::hooks::PendingHook;
use super::marks::{Mark, Marks};
use super::plan::{AppAction, Plan, RequestKind, Step};
use super::setup::SimEnvironment;
use crate::fault::{Fault, ensure};
use crate::hub::model::Model;
use crate::trace::Trace;

/// The maximum number of polls at one point in time. More polls mean an endless loop.
const MAX_POLLS: u32 = 1_000_000;

/// The maximum number of connections in a plan.
const MAX_CONNS: usize = 120;

pub struct Harness<'p> {
    pub plan: &'p Plan,
    pub clock: Clock,
    pub server: Server,
    pub tasks: Tasks,
    pub conns: Vec<ConnModel>,
    /// For each slot, the latest connection in it.
    pub slots: [Option<usize>; 32],
    pub application: Application,
    pub model: Model,
    /// For each client of the model, its connection.
    pub conn_of_client: Vec<usize>,
    pub journal: Vec<RecordedInput>,
    /// The number of ids that have been generated.
    pub ids: Arc<AtomicU32>,
    pub is_stopping: bool,
    pub(super) drain: Option<Drain>,
    /// True while a task that waits for the drain is being polled.
    pub(super) is_drain_poll: bool,
    pub trace: Trace,
    /// The events for which a hook must still be called, in order.
    pub pending_hooks: VecDeque<PendingHook>,
    /// If the plan has hooks: the number of bytes that the server had received before this poll.
    pub bytes_in: u64,
    /// True if, in this poll, another connection has sent a message while the server was writing.
    pub sent_during_write: bool,
    /// The number of inputs that the hub has received.
    pub input_count: u32,
    pub(super) counts: Counts,
    /// The number of handlers that have failed, and of callbacks that have panicked.
    pub failures: (u64, u64),
    /// True if a connection was rejected because of a limit.
    pub(super) was_full: bool,
    /// The number of flush workers. In `tasks` they follow the timer task, and precede the
    /// connections.
    pub(super) workers: usize,
    /// For each large flush, the number of connections that were left to write after the last poll.
    pub(super) flushes: Vec<usize>,
    pub steps: u64,
    pub marks: Marks,
    pub verbose: bool,
    /// The inputs to the hub as text, if a report needs them.
    pub history: Vec<String>,
    pub(super) buffer: Vec<u8>,
}

impl<'p> Harness<'p> {
    pub fn new(plan: &'p Plan) -> Result<Self, Fault> {
        let setup = &plan.setup;
        let clock = Clock::new(0);
        let ids = Arc::new(AtomicU32::new(0));
        let application = Application::default();
        let env = SimEnvironment { clock: clock.clone(), ids: ids.clone() };
        let builder = setup.builder().environment(env);
        let builder = application.register_handlers(builder, &plan.scripts, &clock);
        let builder = application.register_hooks(builder, setup.hooks);
        let builder = application.register_auth_hook(builder, setup.auth_hook, &clock);
        let server = application.register_rules(builder, &setup.authorize, &clock).build();
        let server = server.map_err(|error| Fault::new(error.to_string()))?;
        server.keep_journal();
        // Spawn the timer task and the workers first, so that all later tasks belong to
        // connections.
        let mut tasks = Tasks::new();
        let (keeper, sleeper) = (server.clone(), clock.clone());
        tasks.spawn(async move { keeper.run_timers(|wait| sleeper.sleep(wait)).await });
        let workers = setup.flush.map_or(1, |flush| flush.workers);
        for _ in 0..workers {
            let worker = server.clone();
            tasks.spawn(async move { worker.run_flush_worker().await });
        }
        let handlers = plan.scripts.iter().map(|script| script.event).collect();
        let mut model = Model::new(setup.config(), handlers);
        model.presence_rules.extend(setup.presence_rules.into_iter().flatten());
        (model.rates, model.shared_room_only) = (setup.rates, setup.shared_room_only);
        Ok(Harness {
            plan,
            clock,
            server,
            tasks,
            conns: Vec::new(),
            slots: [None; 32],
            application,
            model,
            conn_of_client: Vec::new(),
            journal: Vec::new(),
            ids,
            is_stopping: false,
            drain: None,
            is_drain_poll: false,
            trace: Trace::new(),
            pending_hooks: VecDeque::new(),
            bytes_in: 0,
            sent_during_write: false,
            input_count: 0,
            counts: Counts::default(),
            failures: (0, 0),
            workers,
            flushes: Vec::new(),
            was_full: false,
            steps: 0,
            marks: Marks::default(),
            verbose: false,
            history: Vec::new(),
            buffer: Vec::new(),
        })
    }

    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Executes a step of the plan.
    pub fn step(&mut self, step: &Step) -> Result<(), Fault> {
        match *step {
            Step::Connect { slot, request } => self.connect(slot, request),
            Step::PollWoken { nth } => {
                let woken = self.tasks.woken_count();
                if woken == 0 {
                    return Ok(());
                }
                let task = self.tasks.poll_nth_woken(usize::from(nth) % woken);
                self.steps += 1;
                self.observe(task)?;
            }
            Step::RunUntilIdle => self.run_until_idle()?,
            Step::AdvanceClock { millis } => {
                self.clock.advance_to(self.now() + Duration::from_millis(millis.into()))
            }
            Step::RunFor { millis } => self.run_for(Duration::from_millis(millis.into()))?,
            Step::Shutdown => {
                self.is_stopping = true;
                self.mark_shutdown();
                self.server.shutdown();
                self.observe(None)?;
            }
            Step::Drain => self.begin_drain()?,
            Step::App { slot, ref action } => {
                if !matches!(action, AppAction::Panic | AppAction::Fail | AppAction::Pause { .. }) {
                    self.application.outside(slot, action);
                    self.observe(None)?;
                }
            }
            Step::Send { slot, frame } => {
                if let Some(conn) = self.conn_in_slot(slot) {
                    self.send(conn, frame);
                }
            }
            Step::Deliver { slot, bytes } => {
                if let Some(conn) = self.conn_in_slot(slot) {
                    self.deliver(conn, bytes as usize);
                }
            }
            Step::Poll { slot }
            | Step::SocketSpace { slot, .. }
            | Step::LimitIo { slot, .. }
            | Step::Interrupt { slot }
            | Step::SendDuringWrite { slot, .. }
            | Step::SpuriousWritable { slot }
            | Step::HalfClose { slot }
            | Step::Reset { slot }
            | Step::Vanish { slot }
            | Step::FailWrites { slot }
            | Step::Abort { slot } => {
                if let Some(conn) = self.conn_in_slot(slot) {
                    self.inject(conn, step)?;
                }
            }
        }
        self.steps += 1;
        Ok(())
    }

    /// Returns the latest connection in a slot.
    pub fn conn_in_slot(&self, slot: u8) -> Option<usize> {
        *self.slots.get(usize::from(slot))?
    }

    /// Connects a client in a slot and sends its request, which is then in flight.
    pub fn connect(&mut self, slot: u8, request: RequestKind) {
        if self.conns.len() >= MAX_CONNS || usize::from(slot) >= self.slots.len() {
            return;
        }
        let (socket, peer) = socket();
        // Determine this before the new socket itself counts as a handshake.
        let rejected_early = self.early_rejection(slot);
        let task = self.tasks.spawn(self.server.connect(socket, address(slot)));
        let is_mute = self.plan.setup.mute & (1 << slot) != 0;
        let mut conn = ConnModel::new(peer, task, slot, is_mute, self.now());
        conn.rejected_early = rejected_early;
        rejected_early.into_iter().for_each(|status| self.counts.rejected(status));
        conn.expected.hard_limit = self.plan.setup.hard_limit() as u64;
        conn.expected.coalesces = self.plan.setup.coalesce > 0;
        conn.traffic.request(request, slot, self.plan.setup.mode);
        if self.verbose {
            conn.expected.frame_log = Some(Vec::new());
        }
        if let Some(before) = self.conn_in_slot(slot) {
            let is_gone = self.conns[before].state == State::Ended;
            self.marks.mark(is_gone, Mark::SlotReused);
        }
        self.slots[usize::from(slot)] = Some(self.conns.len());
        // Until the connection opens, it has no id, so the application cannot act on it.
        self.application.state().slots[usize::from(slot)] = None;
        self.conns.push(conn);
    }

    /// Polls woken tasks until there are none left, then checks the invariants of an idle server.
    pub fn run_until_idle(&mut self) -> Result<(), Fault> {
        let mut polls = 0;
        while let Some(task) = self.tasks.poll_nth_woken(0) {
            polls += 1;
            ensure!(polls < MAX_POLLS, "the server does not become idle");
            self.observe(Some(task))?;
        }
        self.steps += u64::from(polls);
        self.check_idle()
    }

    /// Advances the time by `span`. Stops at each timer, and polls the woken tasks there.
    pub fn run_for(&mut self, span: Duration) -> Result<(), Fault> {
        let end = self.now() + span;
        self.run_until_idle()?;
        while let Some(expected) = self.clock.next_deadline().filter(|expected| *expected <= end) {
            self.clock.advance_to(expected);
            self.run_until_idle()?;
        }
        self.clock.advance_to(end);
        self.run_until_idle()
    }

    /// Checks everything that a poll, or a call from outside, has caused: the hub's inputs, and the
    /// output.
    pub fn observe(&mut self, task: Option<usize>) -> Result<(), Fault> {
        // During the poll, the application has already taken these entries from the engine's
        // journal, so they precede the rest.
        self.journal.append(&mut self.application.state().journal);
        self.server.take_journal(&mut self.journal);
        // Tasks and connections are both numbered in the order of creation.
        let at = |task| self.conns.binary_search_by_key(&task, |conn| conn.task).ok();
        let polled = task.and_then(at);
        self.observe_flushes(task)?;
        self.observe_drain(task)?;
        let now = self.now();
        for conn in &mut self.conns {
            let written = conn.peer.bytes_written();
            if written != conn.taken.0 {
                conn.taken = (written, now);
                if std::mem::take(&mut conn.was_full) {
                    // A socket that was full has accepted bytes, so it must have become writable
                    // since.
                    conn.writable = (now, now);
                } else if conn.is_narrow {
                    // The engine takes a short write as a sign that the socket is full.
                    conn.writable.1 = now;
                }
            }
            conn.was_full |= conn.peer.is_full();
        }
        // Check the journal before the clients read, so that the expected output is complete when
        // it is compared.
        self.check_journal(polled)?;
        for at in 0..self.conns.len() {
            if self.conns[at].peer.available() > 0 {
                self.receive(at)?;
            }
        }
        Ok(())
    }

    /// Sets the marks for a shutdown.
    pub(super) fn mark_shutdown(&mut self) {
        let in_handshake = self.conns.iter().any(|conn| conn.state == State::Handshake);
        self.marks.mark(in_handshake, Mark::ShutdownInHandshake);
        let is_stalled = |conn: &ConnModel| conn.state == State::Open && !conn.peer.has_space();
        self.marks.mark(self.conns.iter().any(is_stalled), Mark::ShutdownWhileStalled);
    }

    /// Returns the index of the connection with this id number.
    pub fn by_id(&self, id: u16) -> Option<usize> {
        self.conns.iter().rposition(|conn| conn.id == id && conn.client.is_some())
    }
}

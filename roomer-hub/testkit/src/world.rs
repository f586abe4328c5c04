//! Runs a server, its clients and the network between them, step by step.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};
use std::time::Duration;

use super::application::{Application, panic_message};
use super::client::Client;
use super::clock::Clock;
use super::faults::Faults;
use super::frames;
use super::rng::Rng;
use super::socket::socket;
use super::tasks::Tasks;
use roomer_engine::{Builder, Server};

/// The maximum number of steps in one `settle`. More steps indicate an endless loop.
const MAX_STEPS: u64 = 10_000_000;

/// The maximum number of consecutive polls that move no byte. More polls indicate a handler that
/// keeps waking itself.
const MAX_IDLE_POLLS: u64 = 100_000;

/// A real server, scripted clients and a network between them, in virtual time on one thread. The
/// [crate documentation](super) contains a tutorial.
///
/// A world runs only inside [`settle`](Self::settle), [`advance`](Self::advance) and
/// [`step`](Self::step). Wherever several things can happen next, the seed determines the order:
/// equal seeds give equal runs, byte for byte ([`trace`](Self::trace)).
pub struct World {
    seed: u64,
    pub(super) rng: Rng,
    pub(super) clock: Clock,
    server: Server,
    pub(super) tasks: Tasks,
    pub(super) clients: Vec<Client>,
    pub(super) faults: Faults,
    /// Changes to injected faults that are due later, each with its client's number.
    pub(super) scheduled: Vec<(Duration, usize, Scheduled)>,
    step_count: u64,
    /// The client whose connection was last polled.
    pub(super) last_polled: Option<usize>,
    /// The number of consecutive polls that moved no byte.
    pub(super) idle_polls: u64,
    trace: u64,
    pub(super) application: Application,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Scheduled {
    Resume,
    Notify,
}

/// A step that is currently possible.
#[derive(Clone, Copy)]
enum StepKind {
    Poll(usize),
    Deliver(usize),
    Take(usize),
}

impl World {
    /// Builds the server with a virtual [environment](Builder::environment) (time and seeded ids),
    /// under [gentle](Faults::gentle) faults.
    ///
    /// # Panics
    ///
    /// Panics if the server cannot be built.
    #[must_use]
    pub fn new<E>(seed: u64, builder: Builder<E>) -> Self {
        World::with_faults(seed, Faults::gentle(), builder)
    }

    /// Builds a world as [`new`](Self::new) does, with other faults.
    ///
    /// # Panics
    ///
    /// Panics if the server cannot be built.
    #[must_use]
    pub fn with_faults<E>(seed: u64, faults: Faults, builder: Builder<E>) -> Self {
        let clock = Clock::new(seed);
        let application = Application::default();
        let builder = builder.environment(clock.clone()).monitor(application.monitor.clone());
        let server = match builder.build() {
            Ok(server) => server,
            Err(error) => panic!("{error}"),
        };
        let mut tasks = Tasks::new();
        let (timers, timer_clock) = (server.clone(), clock.clone());
        tasks.spawn(async move { timers.run_timers(|wait| timer_clock.sleep(wait)).await });
        // Run a worker so that large flushes are shared as they are on a runtime with several
        // threads.
        let worker = server.clone();
        tasks.spawn(async move { worker.run_flush_worker().await });
        World {
            seed,
            // Use a different sequence than the clock so that ids do not depend on the order of
            // steps.
            rng: Rng::new(seed ^ 0x0077_6f72_6c64),
            clock,
            server,
            tasks,
            clients: Vec::new(),
            faults,
            scheduled: Vec::new(),
            step_count: 0,
            last_polled: None,
            idle_polls: 0,
            application,
            trace: 0xcbf2_9ce4_8422_2325,
        }
    }

    /// Adds a client that requests an upgrade at the path `/ws`.
    pub fn connect(&mut self) -> Client {
        self.connect_to("/ws", "")
    }

    /// Adds a client with another path and query, and with additional header lines, each ending
    /// with `\r\n`. [`connect_with`](Self::connect_with) encodes the query and the header lines for
    /// you.
    pub fn connect_to(&mut self, target: &str, headers: &str) -> Client {
        self.connect_raw(frames::request(target, headers))
    }

    /// Adds a client that starts with these bytes instead of a request.
    pub fn connect_raw(&mut self, bytes: Vec<u8>) -> Client {
        self.connect_raw_from(None, bytes)
    }

    /// Adds a client with a network address. Clients added by other methods have no address.
    pub fn connect_from(&mut self, address: SocketAddr) -> Client {
        self.connect_raw_from(Some(address), frames::request("/ws", ""))
    }

    pub(super) fn connect_raw_from(
        &mut self,
        address: Option<SocketAddr>,
        bytes: Vec<u8>,
    ) -> Client {
        let (socket, peer) = socket();
        let task = self.tasks.spawn(self.server.connect(socket, address));
        let client = Client::new(self.clients.len(), peer, task, bytes);
        self.clients.push(client.clone());
        client
    }

    /// Spawns a future next to the server, such as [`Server::drain`](roomer_engine::Server::drain).
    /// Returns a number for [`abort`](Self::abort).
    pub fn spawn(&mut self, future: impl Future<Output = ()> + 'static) -> usize {
        self.tasks.spawn(future)
    }

    /// Drops a spawned future before it completes.
    pub fn abort(&mut self, task: usize) {
        self.tasks.abort(task);
    }

    /// Runs until no step is possible at the current time.
    ///
    /// # Panics
    ///
    /// Panics if a client receives data that violates the contract, if the server's tables
    /// contradict each other, or if the world does not become idle. The message contains the seed.
    pub fn settle(&mut self) {
        let before = self.step_count;
        while self.step() {
            self.check(self.step_count < before + MAX_STEPS, || {
                "the server does not become idle".into()
            });
        }
        // Check for waiting callbacks only now: no byte can move anymore, so nothing in this world
        // can still wake them.
        self.check_waiting();
        // If other threads may send, the server may be idle only for a moment.
        let is_at_rest = !self.application.has_driver;
        if let Err(error) = self.server.audit(is_at_rest) {
            self.fail(&error);
        }
    }

    /// Advances the time by `span`, stopping at each timer, and settles each time.
    ///
    /// # Panics
    ///
    /// Panics as [`settle`](Self::settle) does.
    pub fn advance(&mut self, span: Duration) {
        let end = self.now() + span;
        loop {
            self.settle();
            // Look up the next timer in each iteration, since the last steps may have set an
            // earlier one.
            let Some(due) = self.next_due().filter(|due| *due <= end) else {
                break;
            };
            self.jump_to(due);
        }
        self.jump_to(end);
        self.settle();
    }

    /// Moves the clock forward by `span` in one step, as when a suspended process resumes: no timer
    /// runs in between.
    pub fn jump(&mut self, span: Duration) {
        self.jump_to(self.now() + span);
    }

    /// Returns the time of the next timer or scheduled fault, if any.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        let scheduled = self.scheduled.iter().map(|(at, ..)| *at).min();
        [self.clock.next_deadline(), scheduled].into_iter().flatten().min()
    }

    /// Completes when a task has been woken. For a runtime that drives this world with
    /// [`step`](Self::step) and [`jump`](Self::jump).
    pub fn poll_woken(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.tasks.poll_woken(cx)
    }

    /// Performs one step, chosen by the seed: polls a task, delivers bytes, or makes a client read.
    /// Returns false if no step is possible.
    ///
    /// # Panics
    ///
    /// Panics if a client receives data that violates the contract. The message contains the seed.
    pub fn step(&mut self) -> bool {
        self.inject_faults();
        let mut possible: Vec<StepKind> =
            (0..self.tasks.woken_count()).map(StepKind::Poll).collect();
        for (number, client) in self.clients.iter().enumerate() {
            let state = client.state();
            if !state.is_lost
                && (!state.in_flight.is_empty() || state.end.is_some_and(|e| e.is_ok()))
            {
                possible.push(StepKind::Deliver(number));
            }
            // Read from a full socket even if no bytes are available, since a read makes space in
            // the socket.
            if state.is_reading && (state.peer.available() > 0 || state.peer.is_full()) {
                possible.push(StepKind::Take(number));
            }
        }
        if possible.is_empty() {
            return false;
        }
        self.step_count += 1;
        match *self.rng.pick(&possible) {
            StepKind::Poll(nth) => {
                let task = self.poll_woken_task(nth);
                self.idle_polls += 1;
                self.record(&[1, task.unwrap_or_default() as u8]);
            }
            StepKind::Deliver(number) => self.deliver(number),
            StepKind::Take(number) => self.take(number),
        }
        self.check_application(self.idle_polls > MAX_IDLE_POLLS);
        if self.faults.spurious_polls && self.rng.chance(2) && !self.clients.is_empty() {
            let number = self.rng.below(self.clients.len());
            let task = self.clients[number].state().task;
            self.tasks.poll(task);
        }
        self.deliver_stream_ends();
        true
    }

    /// Returns the virtual time since the world was created.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Returns the seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns the server under test.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Returns all clients, in the order in which they were added.
    #[must_use]
    pub fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// Returns the world's generator, for scripts that make their own seeded choices.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// Replaces the faults for all further steps.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// Ends all faults, then settles. Stalled clients read again, and the server notices every lost
    /// connection.
    ///
    /// # Panics
    ///
    /// Panics as [`settle`](Self::settle) does.
    pub fn heal(&mut self) {
        self.faults = Faults::none();
        // Discard scheduled changes, since the loop below ends these faults now.
        self.scheduled.clear();
        for client in &self.clients {
            let is_lost = client.state().is_lost;
            client.state().peer.max_read(usize::MAX);
            client.state().peer.max_write(usize::MAX);
            if is_lost { client.notify() } else { client.resume() }
        }
        self.settle();
    }

    /// Returns a hash of all steps: the order of polls, and the bytes delivered to the server and
    /// to clients. Equal seeds and scripts have equal hashes.
    #[must_use]
    pub fn trace(&self) -> u64 {
        self.trace
    }

    /// Returns the number of steps so far.
    #[must_use]
    pub fn step_count(&self) -> u64 {
        self.step_count
    }

    /// Fails the scenario, naming the seed, unless `holds` is true.
    ///
    /// # Panics
    ///
    /// Panics if `holds` is false.
    pub fn check(&self, holds: bool, why: impl FnOnce() -> String) {
        if !holds {
            self.fail(&why());
        }
    }

    pub(super) fn fail(&self, why: &str) -> ! {
        panic!("under seed {}, at {:?}: {why}", self.seed, self.now());
    }

    fn jump_to(&mut self, time: Duration) {
        self.clock.advance_to(time);
        let now = self.now();
        let due: Vec<_> = self.scheduled.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, number, what) in due {
            let client = &self.clients[number];
            match what {
                // The client lost its connection while it was stalled, so it stays lost.
                Scheduled::Resume if client.state().is_lost => {}
                Scheduled::Resume => client.resume(),
                Scheduled::Notify => client.notify(),
            }
        }
    }

    /// Polls the woken task at position `nth`. Fails the test if the task panics.
    fn poll_woken_task(&mut self, nth: usize) -> Option<usize> {
        // Catch the panic so that the failure message contains the seed.
        match catch_unwind(AssertUnwindSafe(|| self.tasks.poll_nth_woken(nth))) {
            Ok(task) => {
                let is_its = |client: &Client| Some(client.state().task) == task;
                self.last_polled = self.clients.iter().position(is_its);
                task
            }
            Err(panic) => {
                self.fail(&format!("a spawned task panicked: {}", panic_message(&*panic)))
            }
        }
    }

    /// Adds bytes to the trace (FNV-1a).
    pub(super) fn record(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("seed", &self.seed)
            .field("now", &self.now())
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

//! A server and its clients in a world of their own.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};
use std::time::Duration;

use super::application::{Application, said};
use super::client::Client;
use super::clock::Clock;
use super::faults::Faults;
use super::frames;
use super::rng::Rng;
use super::socket::socket;
use super::tasks::Tasks;
use roomer_engine::{Builder, Server};

/// The most moves that may follow one another at one moment of virtual time.
const RESTLESS: u64 = 10_000_000;

/// The most turns in a row without a byte moved that a handler may have kept busy.
const RESTLESS_HANDLER: u64 = 100_000;

/// A real server, scripted clients, and a network between them, in virtual time on one thread.
/// See the [module's page](super).
///
/// Everything that happens, happens in [`settle`](Self::settle), [`advance`](Self::advance) and
/// [`step`](Self::step). The order in which things happen that could happen in any order is
/// decided by the seed: the same seed, the same world, to the byte ([`trace`](Self::trace)).
pub struct World {
    seed: u64,
    pub(super) rng: Rng,
    pub(super) clock: Clock,
    server: Server,
    pub(super) tasks: Tasks,
    pub(super) clients: Vec<Client>,
    pub(super) faults: Faults,
    /// What is to happen to clients, and when.
    pub(super) later: Vec<(Duration, usize, Later)>,
    moves: u64,
    /// The client whose connection has had the last turn.
    pub(super) in_turn: Option<usize>,
    /// How many turns in a row in which no byte has moved.
    pub(super) idle_turns: u64,
    trace: u64,
    pub(super) application: Application,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Later {
    Resume,
    Notify,
}

/// Something that could happen now.
#[derive(Clone, Copy)]
enum Move {
    Turn(usize),
    Deliver(usize),
    Take(usize),
}

impl World {
    /// Builds the server, with virtual time and seeded ids for its
    /// [environment](Builder::environment), under [gentle](Faults::gentle) faults.
    ///
    /// # Panics
    ///
    /// When the server cannot be built.
    #[must_use]
    pub fn new<E>(seed: u64, builder: Builder<E>) -> Self {
        World::with_faults(seed, Faults::gentle(), builder)
    }

    /// As [`new`](Self::new), with other faults.
    ///
    /// # Panics
    ///
    /// When the server cannot be built.
    #[must_use]
    pub fn with_faults<E>(seed: u64, faults: Faults, builder: Builder<E>) -> Self {
        let clock = Clock::new(seed);
        let application = Application::default();
        let builder = builder.environment(clock.clone()).monitor(application.witness.clone());
        let server = match builder.build() {
            Ok(server) => server,
            Err(error) => panic!("{error}"),
        };
        let mut tasks = Tasks::new();
        let (keeper, sleeper) = (server.clone(), clock.clone());
        tasks.spawn(async move { keeper.run_timers(|wait| sleeper.sleep(wait)).await });
        let helper = server.clone();
        tasks.spawn(async move { helper.run_flush_worker().await });
        World {
            seed,
            rng: Rng::new(seed ^ 0x0077_6f72_6c64),
            clock,
            server,
            tasks,
            clients: Vec::new(),
            faults,
            later: Vec::new(),
            moves: 0,
            in_turn: None,
            idle_turns: 0,
            application,
            trace: 0xcbf2_9ce4_8422_2325,
        }
    }

    /// A new client, which asks for an upgrade of the path `/ws` at once.
    pub fn connect(&mut self) -> Client {
        self.connect_to("/ws", "")
    }

    /// As [`connect`](Self::connect), for another path and query, and with more header lines, each
    /// with its `\r\n`. [`connect_with`](Self::connect_with) writes them.
    pub fn connect_to(&mut self, target: &str, headers: &str) -> Client {
        self.open(frames::request(target, headers))
    }

    /// A new client that begins with any bytes.
    pub fn open(&mut self, bytes: Vec<u8>) -> Client {
        self.open_from(None, bytes)
    }

    /// As [`connect`](Self::connect), from an address: clients have none otherwise.
    pub fn connect_from(&mut self, address: SocketAddr) -> Client {
        self.open_from(Some(address), frames::request("/ws", ""))
    }

    pub(super) fn open_from(&mut self, address: Option<SocketAddr>, bytes: Vec<u8>) -> Client {
        let (reader, writer, peer) = socket();
        let task = self.tasks.spawn(self.server.connect(reader, writer, address));
        let client = Client::new(self.clients.len(), peer, task, bytes);
        self.clients.push(client.clone());
        client
    }

    /// Runs a future of yours beside the server, such as
    /// [`Server::drain`](roomer_engine::Server::drain); a number to [`abort`](Self::abort) it by.
    pub fn spawn(&mut self, future: impl Future<Output = ()> + 'static) -> usize {
        self.tasks.spawn(future)
    }

    /// Drops a future wherever it is.
    pub fn abort(&mut self, task: usize) {
        self.tasks.abort(task);
    }

    /// Lets everything happen that can happen without time going on.
    ///
    /// # Panics
    ///
    /// When a client hears what the contract rules out, when the server's tables contradict each
    /// other, or when there is no end of it; the message has the seed.
    pub fn settle(&mut self) {
        let before = self.moves;
        while self.step() {
            self.check(self.moves < before + RESTLESS, || {
                "the server does not come to rest".into()
            });
        }
        self.check_waiting();
        // Where other threads take part, it may be at rest for a moment only.
        let is_at_rest = !self.application.is_driven;
        if let Err(error) = self.server.audit(is_at_rest) {
            self.fail(&error);
        }
    }

    /// Lets time go on by `span`, stopping wherever something is due, and settles each time.
    ///
    /// # Panics
    ///
    /// As [`settle`](Self::settle).
    pub fn advance(&mut self, span: Duration) {
        let end = self.now() + span;
        loop {
            self.settle();
            let Some(due) = self.next_due().filter(|due| *due <= end) else {
                break;
            };
            self.jump_to(due);
        }
        self.jump_to(end);
        self.settle();
    }

    /// Lets the clock jump by `span`, as for a process that was stopped for so long: nobody wakes
    /// in between.
    pub fn jump(&mut self, span: Duration) {
        self.jump_to(self.now() + span);
    }

    /// When the next thing is due: a timer of the server's, or something that befalls a client.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        let later = self.later.iter().map(|(at, ..)| *at).min();
        [self.clock.next(), later].into_iter().flatten().min()
    }

    /// Waits until a task has been woken, for a runtime that drives this world by
    /// [`step`](Self::step) and [`jump`](Self::jump).
    pub fn poll_woken(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.tasks.poll_woken(cx)
    }

    /// Lets one thing happen, chosen by the seed: a task has its turn, some bytes arrive, a client
    /// reads. False when nothing can.
    ///
    /// # Panics
    ///
    /// When a client hears what the contract rules out; the message has the seed.
    pub fn step(&mut self) -> bool {
        self.mischief();
        let mut moves: Vec<Move> = (0..self.tasks.woken()).map(Move::Turn).collect();
        for (number, client) in self.clients.iter().enumerate() {
            let state = client.state();
            if !state.is_lost
                && (!state.under_way.is_empty() || state.end.is_some_and(|e| e.is_ok()))
            {
                moves.push(Move::Deliver(number));
            }
            if state.is_reading && (state.peer.waiting() > 0 || state.peer.is_full()) {
                moves.push(Move::Take(number));
            }
        }
        if moves.is_empty() {
            return false;
        }
        self.moves += 1;
        match *self.rng.pick(&moves) {
            Move::Turn(place) => {
                let task = self.turn(place);
                self.idle_turns += 1;
                self.note(&[1, task.unwrap_or_default() as u8]);
            }
            Move::Deliver(number) => self.deliver(number),
            Move::Take(number) => self.take(number),
        }
        self.check_application(self.idle_turns > RESTLESS_HANDLER);
        if self.faults.spurious && self.rng.chance(2) && !self.clients.is_empty() {
            let number = self.rng.below(self.clients.len());
            let task = self.clients[number].state().task;
            self.tasks.poll(task);
        }
        self.hang_up();
        true
    }

    /// The virtual time since the world began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// All clients so far, in the order of their coming.
    #[must_use]
    pub fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// A generator of the world's own, for scripts that want to choose by the seed as well.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// Changes the faults from here on. `Faults::none()` is the quiet after the storm.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// Ends all that faults have begun: who was stalled reads again, and the server hears of every
    /// lost connection. Then settles.
    ///
    /// # Panics
    ///
    /// As [`settle`](Self::settle).
    pub fn calm(&mut self) {
        self.faults = Faults::none();
        self.later.clear();
        for client in &self.clients {
            let is_lost = client.state().is_lost;
            client.state().peer.max_read(usize::MAX);
            client.state().peer.max_write(usize::MAX);
            if is_lost { client.notify() } else { client.resume() }
        }
        self.settle();
    }

    /// A number that stands for everything that has happened: who had a turn, what arrived, what
    /// each client heard. Equal for equal seeds and scripts.
    #[must_use]
    pub fn trace(&self) -> u64 {
        self.trace
    }

    /// How many things have happened.
    #[must_use]
    pub fn moves(&self) -> u64 {
        self.moves
    }

    /// Fails the scenario unless `holds`, with the seed in the message.
    ///
    /// # Panics
    ///
    /// That is what it is for.
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
        let due: Vec<_> = self.later.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, number, what) in due {
            let client = &self.clients[number];
            match what {
                Later::Resume if client.state().is_lost => {}
                Later::Resume => client.resume(),
                Later::Notify => client.notify(),
            }
        }
    }

    /// Gives a task its turn. One of the test's own may panic.
    fn turn(&mut self, place: usize) -> Option<usize> {
        match catch_unwind(AssertUnwindSafe(|| self.tasks.turn(place))) {
            Ok(task) => {
                let is_its = |client: &Client| Some(client.state().task) == task;
                self.in_turn = self.clients.iter().position(is_its);
                task
            }
            Err(panic) => self.fail(&format!("a spawned task panicked: {}", said(&*panic))),
        }
    }

    /// Makes something part of the trace (FNV-1a).
    pub(super) fn note(&mut self, bytes: &[u8]) {
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

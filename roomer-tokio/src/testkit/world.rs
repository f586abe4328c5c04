//! A test world within a tokio runtime, on tokio's paused clock.

use std::fmt;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::ops::Deref;
use std::pin::{Pin, pin};
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use roomer_testkit::{Client, Faults, Handshake, Rng, World};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{spawn_blocking, unconstrained, yield_now};
use tokio::time::{self, Instant, sleep};

use crate::Builder;

/// How long, in real time, a pending handler may cause no event before it is assumed to wait for
/// virtual time or for another client. Most blocking work takes only a fraction of this time.
const PATIENCE: Duration = Duration::from_secs(1);

/// The timeout of [`TokioWorld::until`], as a multiple of the patience.
const UNTIL_FACTOR: u32 = 10;

/// The interval at which [`TokioWorld::until`] checks its condition if no event triggers a check.
const CHECK_INTERVAL: Duration = Duration::from_millis(1);

/// The number of yields after which spawned tasks are assumed to be idle. The runtime polls dozens
/// of tasks per yield.
const YIELDS: usize = 32;

/// The resolution of tokio's timers.
const TICK: Duration = Duration::from_millis(1);

/// A [`World`] within a tokio runtime, on tokio's paused clock, so that handlers may use tokio. See the
/// [module documentation](super).
///
/// Dereferences to [`World`], for methods that only inspect the world ([`clients`](World::clients),
/// [`errors`](World::errors), [`waiting`](World::waiting)).
pub struct TokioWorld {
    world: World,
    /// The instant on tokio's clock that is the world's time zero.
    start: Instant,
    /// True if `start` is aligned to one of tokio's ticks.
    is_aligned: bool,
    patience: Duration,
    /// The ids of waits for which the patience has been exhausted.
    patient: Vec<u64>,
}

impl TokioWorld {
    /// Creates a world like [`World::new`], and pauses tokio's clock if it is not paused.
    ///
    /// # Panics
    ///
    /// Panics if the server cannot be built, or if this is called outside a single-threaded tokio
    /// runtime, which `#[tokio::test(start_paused = true)]` creates.
    #[must_use]
    pub fn new(seed: u64, builder: Builder) -> Self {
        TokioWorld::with_faults(seed, Faults::gentle(), builder)
    }

    /// Creates a world like [`new`](Self::new), with other faults.
    ///
    /// # Panics
    ///
    /// Panics in the same cases as [`new`](Self::new).
    #[must_use]
    pub fn with_faults(seed: u64, faults: Faults, builder: Builder) -> Self {
        let is_aligned = !pause();
        let mut world = World::with_faults(seed, faults, builder);
        world.allow_external_wakeups();
        let (start, patient) = (Instant::now(), Vec::new());
        TokioWorld { world, start, is_aligned, patience: PATIENCE, patient }
    }

    /// Sets how long, in real time, [`settle`](Self::settle) waits for a pending handler, rule or
    /// hook that causes no event; one second by default. Increase it for slow external work.
    /// Decrease it if handlers wait only for timers.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Runs everything that can run without advancing virtual time, including work on other threads
    /// and real I/O, and waits for running handlers, rules and hooks. The [module's page](super)
    /// describes how long it waits.
    ///
    /// # Panics
    ///
    /// Panics in the same cases as [`World::settle`].
    pub async fn settle(&mut self) {
        loop {
            self.run_until_idle().await;
            let waiting = self.world.waiting();
            if waiting.iter().all(|waiting| self.patient.contains(&waiting.wait_id)) {
                return;
            }
            if !self.woken_within(self.patience).await {
                let moves = self.world.step_count();
                self.run_until_idle().await;
                if self.world.step_count() == moves {
                    self.patient = waiting.iter().map(|waiting| waiting.wait_id).collect();
                    return;
                }
            }
        }
    }

    /// Advances tokio's clock and the world's clock by `span`, from timer to timer, and settles after
    /// each step.
    ///
    /// # Panics
    ///
    /// Panics in the same cases as [`World::settle`].
    pub async fn advance(&mut self, span: Duration) {
        let end = self.world.now() + span;
        loop {
            self.settle().await;
            let now = self.world.now();
            if now >= end {
                return;
            }
            let due = self.world.next_due().map_or(end, |due| due.min(end));
            let wait = due.saturating_sub(now);
            if wait > TICK {
                // tokio advances its paused clock to the next timer when the runtime is idle.
                let woken = poll_fn(|cx| self.world.poll_woken(cx));
                tokio::select! { biased; () = woken => {} () = sleep(wait - TICK) => {} }
            } else {
                // tokio's timers have a resolution of one tick, so advance the rest of the time
                // explicitly.
                time::advance(wait).await;
            }
            self.sync_clock();
        }
    }

    /// Runs the world like [`settle`](Self::settle) until a condition holds. Use it to wait for
    /// spawned tasks, other processes or slow work.
    ///
    /// ```
    /// # use roomer_tokio::{Server, testkit::TokioWorld};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let mut world = TokioWorld::new(1, Server::builder().on("later", |conn, _| {
    ///     let conn = conn.clone();
    ///     std::thread::spawn(move || conn.send_to_room("root", "done", b""));
    ///     Ok(())
    /// }));
    /// let (ann, bob) = (world.connect(), world.connect());
    /// world.settle().await;
    /// ann.send("root", "later", "");
    /// world.until(|_| bob.texts("root", "done").len() == 1).await;
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the condition does not hold within ten times the [patience](Self::set_patience) in
    /// real time, ten seconds by default. The message names the pending calls. Also panics in the
    /// same cases as [`World::settle`].
    pub async fn until(&mut self, mut holds: impl FnMut(&World) -> bool) {
        let timeout = self.patience * UNTIL_FACTOR;
        let deadline = std::time::Instant::now() + timeout;
        loop {
            self.run_until_idle().await;
            if holds(&self.world) {
                return;
            }
            self.world.check(std::time::Instant::now() < deadline, || {
                let waiting = self.world.waiting();
                let names =
                    waiting.iter().map(|it| self.world.describe(&it.part, it.conn) + " waits");
                let names: Vec<String> = names.collect();
                let pending =
                    if names.is_empty() { "nothing waits".into() } else { names.join("; ") };
                format!("the condition does not hold after {timeout:?}: {pending}")
            });
            self.woken_within(CHECK_INTERVAL).await;
        }
    }

    /// Ends all faults and settles the world, like [`World::heal`].
    ///
    /// # Panics
    ///
    /// Panics in the same cases as [`World::settle`].
    pub async fn heal(&mut self) {
        without_budget(|| self.world.heal()).await;
        self.settle().await;
    }

    /// Connects a client, like [`World::connect`].
    pub fn connect(&mut self) -> Client {
        self.world.connect()
    }

    /// Connects a client with this target and these headers, like [`World::connect_to`].
    pub fn connect_to(&mut self, target: &str, headers: &str) -> Client {
        self.world.connect_to(target, headers)
    }

    /// Connects a client with this address, like [`World::connect_from`].
    pub fn connect_from(&mut self, address: SocketAddr) -> Client {
        self.world.connect_from(address)
    }

    /// Connects a client with these options, like [`World::connect_with`].
    ///
    /// # Panics
    ///
    /// Panics in the same cases as [`World::connect_with`].
    pub fn connect_with(&mut self, handshake: Handshake) -> Client {
        self.world.connect_with(handshake)
    }

    /// Connects a client that sends these bytes, like [`World::connect_raw`].
    pub fn connect_raw(&mut self, bytes: Vec<u8>) -> Client {
        self.world.connect_raw(bytes)
    }

    /// Spawns a future, like [`World::spawn`]. Unlike `tokio::spawn`, the seed determines when the
    /// future is polled.
    pub fn spawn(&mut self, future: impl Future<Output = ()> + 'static) -> usize {
        self.world.spawn(future)
    }

    /// Drops a spawned future, like [`World::abort`].
    pub fn abort(&mut self, task: usize) {
        self.world.abort(task);
    }

    /// Replaces the network faults, like [`World::set_faults`].
    pub fn set_faults(&mut self, faults: Faults) {
        self.world.set_faults(faults);
    }

    /// Returns the world's random number generator, like [`World::rng`].
    pub fn rng(&mut self) -> &mut Rng {
        self.world.rng()
    }

    /// Permits panics in application code, like [`World::allow_panics`].
    pub fn allow_panics(&mut self) {
        self.world.allow_panics();
    }

    /// Permits handlers to be pending at the end, like [`World::allow_waiting`].
    pub fn allow_waiting(&mut self) {
        self.world.allow_waiting();
    }

    /// Runs the world and the runtime's tasks until both are idle.
    async fn run_until_idle(&mut self) {
        if !std::mem::replace(&mut self.is_aligned, true) {
            align().await;
            self.start = Instant::now();
        }
        loop {
            self.sync_clock();
            without_budget(|| self.world.settle()).await;
            let moves = self.world.step_count();
            for _ in 0..YIELDS {
                yield_now().await;
            }
            without_budget(|| self.world.settle()).await;
            if self.world.step_count() == moves {
                return;
            }
        }
    }

    /// Advances the world's clock to tokio's time.
    fn sync_clock(&mut self) {
        let now = self.start.elapsed();
        self.world.jump(now.saturating_sub(self.world.now()));
    }

    /// Waits in real time, while tokio's clock is paused, until a connection has work. Returns
    /// false if that takes longer than `most`.
    async fn woken_within(&self, most: Duration) -> bool {
        let (end, ended) = mpsc::channel::<()>();
        // tokio does not advance its paused clock while blocking work is running.
        let mut timer = spawn_blocking(move || {
            let _ = ended.recv_timeout(most);
        });
        let is_woken = poll_fn(|cx| {
            if self.world.poll_woken(cx).is_ready() {
                return Poll::Ready(true);
            }
            Pin::new(&mut timer).poll(cx).map(|_| false)
        });
        let is_woken = is_woken.await;
        // End the blocking work so that tokio's clock can advance again.
        drop(end);
        if is_woken {
            let _ = timer.await;
        }
        is_woken
    }
}

impl Deref for TokioWorld {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl fmt::Debug for TokioWorld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokioWorld").field(&self.world).finish()
    }
}

/// Runs many of the world's tasks within one tokio poll, without the cooperative budget. The budget
/// is meant for a single task: once it is exhausted, all the world's other tasks would stay
/// pending.
async fn without_budget<T>(mut run: impl FnMut() -> T) -> T {
    unconstrained(poll_fn(|_| Poll::Ready(run()))).await
}

/// Pauses tokio's clock. Returns false if it was already paused.
fn pause() -> bool {
    let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
    assert!(
        matches!(flavor, Ok(RuntimeFlavor::CurrentThread)),
        "a TokioWorld needs a tokio runtime of one thread: write \
         #[tokio::test(start_paused = true)] above the test"
    );
    // `time::pause` panics if the clock is already paused, which is observable only because a
    // paused clock does not advance.
    let (real, paused) = (std::time::Instant::now(), Instant::now());
    while real.elapsed() < Duration::from_micros(1) {}
    let is_running = Instant::now() != paused;
    if is_running {
        time::pause();
    }
    is_running
}

/// Advances the paused clock to the start of one of tokio's ticks, with nanosecond precision.
/// Otherwise, timers would fire up to a tick late.
async fn align() {
    // An upper bound on the time since the start of the tick. Each round reduces it.
    let mut late = TICK;
    for step in [50_000, 1_000, 20, 1].map(Duration::from_nanos) {
        let mut tick = pin!(sleep(Duration::from_nanos(1)));
        let mut has_begun = async || poll_fn(|cx| Poll::Ready(tick.as_mut().poll(cx))).await;
        // The first poll registers the timer.
        let _ = has_begun().await;
        time::advance(TICK - late).await;
        while has_begun().await.is_pending() {
            time::advance(step).await;
        }
        late = step;
    }
}

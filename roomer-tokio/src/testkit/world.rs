//! A world that tokio drives, on its paused clock.

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

/// How long in real time a handler may wait without anything happening before it is taken to wait
/// for virtual time or another client. Blocking work is mostly done in a fraction of it.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many times the patience [`TokioWorld::until`] waits.
const LONGER: u32 = 10;

/// How often [`TokioWorld::until`] looks, when nothing tells it to look earlier.
const LOOK: Duration = Duration::from_millis(1);

/// How often spawned tasks get their turns before they are taken to be at rest. A runtime runs
/// dozens of them each time.
const ROUNDS: usize = 32;

/// The resolution of tokio's timers.
const TICK: Duration = Duration::from_millis(1);

/// A [`World`] inside a tokio runtime, on its paused clock: handlers may use tokio. See the
/// [module's page](super).
///
/// What only looks at a world ([`clients`](World::clients), [`errors`](World::errors),
/// [`waiting`](World::waiting)) is that of [`World`], to which this dereferences.
pub struct TokioWorld {
    world: World,
    /// tokio's time when the world's began.
    start: Instant,
    /// Whether that is where one of tokio's ticks begins.
    is_aligned: bool,
    patience: Duration,
    /// The waits that have been given all patience, by their turns.
    patient: Vec<u64>,
}

impl TokioWorld {
    /// As [`World::new`]. Pauses tokio's clock, if it is not paused already.
    ///
    /// # Panics
    ///
    /// When the server cannot be built, and outside a tokio runtime of one thread:
    /// `#[tokio::test(start_paused = true)]` makes one.
    #[must_use]
    pub fn new(seed: u64, builder: Builder) -> Self {
        TokioWorld::with_faults(seed, Faults::gentle(), builder)
    }

    /// As [`new`](Self::new), with other faults.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    #[must_use]
    pub fn with_faults(seed: u64, faults: Faults, builder: Builder) -> Self {
        let is_aligned = !pause();
        let mut world = World::with_faults(seed, faults, builder);
        world.allow_external_wakeups();
        let (start, patient) = (Instant::now(), Vec::new());
        TokioWorld { world, start, is_aligned, patience: PATIENCE, patient }
    }

    /// How long in real time [`settle`](Self::settle) waits for a handler, a rule or a hook while
    /// nothing happens; one second by default. Longer for slow work outside, shorter when handlers
    /// wait for nothing but time.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Lets everything happen that can happen without virtual time going on, work on other threads
    /// and real I/O included, and waits for the handlers, rules and hooks that are under way. The
    /// [module's page](super) says for how long.
    ///
    /// # Panics
    ///
    /// As [`World::settle`].
    pub async fn settle(&mut self) {
        loop {
            self.rest().await;
            let waiting = self.world.waiting();
            if waiting.iter().all(|waiting| self.patient.contains(&waiting.wait_id)) {
                return;
            }
            if !self.woken_within(self.patience).await {
                let moves = self.world.step_count();
                self.rest().await;
                if self.world.step_count() == moves {
                    self.patient = waiting.iter().map(|waiting| waiting.wait_id).collect();
                    return;
                }
            }
        }
    }

    /// Lets tokio's time and the world's go on by `span`, from each timer to the next, of either,
    /// and settles each time.
    ///
    /// # Panics
    ///
    /// As [`World::settle`].
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
                // The clock goes by itself to the next timer once the runtime has nothing to do.
                let woken = poll_fn(|cx| self.world.poll_woken(cx));
                tokio::select! { biased; () = woken => {} () = sleep(wait - TICK) => {} }
            } else {
                time::advance(wait).await;
            }
            self.keep_up();
        }
    }

    /// Lets everything happen, as [`settle`](Self::settle) does, until something holds: for what
    /// comes of tasks that your code has spawned, of other processes, or of slow work.
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
    /// When it does not hold within ten times the [patience](Self::set_patience) of real time, ten
    /// seconds by default; the message names what is still waiting. And as [`World::settle`].
    pub async fn until(&mut self, mut holds: impl FnMut(&World) -> bool) {
        let (begin, deadline) = (std::time::Instant::now(), self.patience * LONGER);
        loop {
            self.rest().await;
            if holds(&self.world) {
                return;
            }
            self.world.check(begin.elapsed() < deadline, || {
                let waiting = self.world.waiting();
                let names =
                    waiting.iter().map(|it| self.world.describe(&it.part, it.conn) + " waits");
                let names: Vec<String> = names.collect();
                let who = if names.is_empty() { "nothing waits".into() } else { names.join("; ") };
                format!("what the test waits for has not come within {deadline:?}: {who}")
            });
            self.woken_within(LOOK).await;
        }
    }

    /// As [`World::calm`].
    ///
    /// # Panics
    ///
    /// As [`World::settle`].
    pub async fn calm(&mut self) {
        unbound(|| self.world.calm()).await;
        self.settle().await;
    }

    /// As [`World::connect`].
    pub fn connect(&mut self) -> Client {
        self.world.connect()
    }

    /// As [`World::connect_to`].
    pub fn connect_to(&mut self, target: &str, headers: &str) -> Client {
        self.world.connect_to(target, headers)
    }

    /// As [`World::connect_from`].
    pub fn connect_from(&mut self, address: SocketAddr) -> Client {
        self.world.connect_from(address)
    }

    /// As [`World::connect_with`].
    ///
    /// # Panics
    ///
    /// As [`World::connect_with`].
    pub fn connect_with(&mut self, handshake: Handshake) -> Client {
        self.world.connect_with(handshake)
    }

    /// As [`World::open`].
    pub fn open(&mut self, bytes: Vec<u8>) -> Client {
        self.world.connect_raw(bytes)
    }

    /// As [`World::spawn`]: a future that takes part in the order that the seed decides, other than
    /// those of `tokio::spawn`.
    pub fn spawn(&mut self, future: impl Future<Output = ()> + 'static) -> usize {
        self.world.spawn(future)
    }

    /// As [`World::abort`].
    pub fn abort(&mut self, task: usize) {
        self.world.abort(task);
    }

    /// As [`World::set_faults`].
    pub fn set_faults(&mut self, faults: Faults) {
        self.world.set_faults(faults);
    }

    /// As [`World::rng`].
    pub fn rng(&mut self) -> &mut Rng {
        self.world.rng()
    }

    /// As [`World::allow_panics`].
    pub fn allow_panics(&mut self) {
        self.world.allow_panics();
    }

    /// As [`World::allow_waiting`].
    pub fn allow_waiting(&mut self) {
        self.world.allow_waiting();
    }

    /// Lets everything happen until nothing does, in the world and among the runtime's tasks.
    async fn rest(&mut self) {
        if !std::mem::replace(&mut self.is_aligned, true) {
            align().await;
            self.start = Instant::now();
        }
        loop {
            self.keep_up();
            unbound(|| self.world.settle()).await;
            let moves = self.world.step_count();
            for _ in 0..ROUNDS {
                yield_now().await;
            }
            unbound(|| self.world.settle()).await;
            if self.world.step_count() == moves {
                return;
            }
        }
    }

    /// Moves the world's clock to where tokio's is.
    fn keep_up(&mut self) {
        let now = self.start.elapsed();
        self.world.jump(now.saturating_sub(self.world.now()));
    }

    /// Waits in real time, while tokio's clock stands still, until a connection has something to
    /// do. False after `most`.
    async fn woken_within(&self, most: Duration) -> bool {
        let (end, ended) = mpsc::channel::<()>();
        // tokio's clock does not go on by itself while there is blocking work.
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

/// Runs many tasks' turns as one of tokio's: its budget is meant for one, and would have those of
/// the world's that come late find everything unready, for ever.
async fn unbound<T>(mut run: impl FnMut() -> T) -> T {
    unconstrained(poll_fn(|_| Poll::Ready(run()))).await
}

/// Pauses tokio's clock. False when it was paused.
fn pause() -> bool {
    let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
    assert!(
        matches!(flavor, Ok(RuntimeFlavor::CurrentThread)),
        "a TokioWorld lives in a tokio runtime of one thread: write \
         #[tokio::test(start_paused = true)] over the test"
    );
    let (real, paused) = (std::time::Instant::now(), Instant::now());
    while real.elapsed() < Duration::from_micros(1) {}
    let is_running = Instant::now() != paused;
    if is_running {
        time::pause();
    }
    is_running
}

/// Moves a clock that was paused at any moment on to where one of tokio's ticks begins, to the
/// nanosecond: timers would go off up to a tick late otherwise.
async fn align() {
    // How far behind the beginning of a tick the clock is at most; each round finds it closer.
    let mut late = TICK;
    for step in [50_000, 1_000, 20, 1].map(Duration::from_nanos) {
        let mut tick = pin!(sleep(Duration::from_nanos(1)));
        let mut has_begun = async || poll_fn(|cx| Poll::Ready(tick.as_mut().poll(cx))).await;
        let _ = has_begun().await;
        time::advance(TICK - late).await;
        while has_begun().await.is_pending() {
            time::advance(step).await;
        }
        late = step;
    }
}

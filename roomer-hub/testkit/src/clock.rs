//! Virtual time and seeded randomness, as the engine's [`Environment`].

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::rng::Rng;
use roomer_engine::Environment;

/// A virtual clock, advanced only by [`advance_to`](Self::advance_to), and a seeded source of ids.
/// Clones share the same state.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    nanos: AtomicU64,
    sleepers: Mutex<Sleepers>,
    chance: Mutex<Rng>,
}

#[derive(Debug, Default)]
struct Sleepers {
    waiting: Vec<(Duration, u64, Waker)>,
    serial: u64,
}

impl Clock {
    /// Creates a clock at zero. The seed determines the ids.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Clock(Arc::new(Inner {
            nanos: AtomicU64::new(0),
            sleepers: Mutex::default(),
            chance: Mutex::new(Rng::new(seed)),
        }))
    }

    /// Returns the virtual time since the clock was created.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.0.nanos.load(Ordering::Relaxed))
    }

    /// Advances the time to `time`, and wakes all sleepers that are due. An earlier `time` has no
    /// effect.
    pub fn advance_to(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        // `Environment` requires that the time never decreases, so ignore an earlier time.
        self.0.nanos.fetch_max(nanos, Ordering::Relaxed);
        let now = self.now();
        let due: Vec<_> = self.sleepers().waiting.extract_if(.., |(at, ..)| *at <= now).collect();
        // Wake after releasing the lock: a woken task may go to sleep again immediately.
        due.into_iter().for_each(|(_, _, waker)| waker.wake());
    }

    /// Returns the earliest deadline among all sleepers.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        self.sleepers().waiting.iter().map(|(at, ..)| *at).min()
    }

    /// Returns a future that completes after `wait` of virtual time, for
    /// [`Server::run_timers`](roomer_engine::Server::run_timers).
    #[must_use]
    pub fn sleep(&self, wait: Duration) -> Sleep {
        let mut sleepers = self.sleepers();
        sleepers.serial += 1;
        Sleep { until: self.now() + wait, serial: sleepers.serial, clock: self.clone() }
    }

    fn sleepers(&self) -> std::sync::MutexGuard<'_, Sleepers> {
        self.0.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Environment for Clock {
    fn now(&self) -> Duration {
        Clock::now(self)
    }

    fn random(&self) -> [u8; 16] {
        let mut chance = self.0.chance.lock().unwrap_or_else(PoisonError::into_inner);
        let [high, low] = [chance.next(), chance.next()];
        ((u128::from(high) << 64) | u128::from(low)).to_be_bytes()
    }
}

/// A future that completes when its clock reaches a deadline. Created by [`Clock::sleep`].
#[derive(Debug)]
pub struct Sleep {
    clock: Clock,
    until: Duration,
    serial: u64,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.clock.now() >= self.until {
            return Poll::Ready(());
        }
        let mut sleepers = self.clock.sleepers();
        // Keep one entry per `Sleep`, with the newest waker.
        sleepers.waiting.retain(|(_, serial, _)| *serial != self.serial);
        sleepers.waiting.push((self.until, self.serial, cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.clock.sleepers().waiting.retain(|(_, serial, _)| *serial != self.serial);
    }
}

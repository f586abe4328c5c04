//! A queue of wake-up times shared by all of a server's connections.
//!
//! A runtime timer in each connection would take a few hundred bytes per connection. In this queue,
//! a timer is an entry in an ordered map, and one task per server sleeps until the first entry is
//! due.

pub(crate) mod moment;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::future::{Future, poll_fn};
use std::num::NonZeroU32;
use std::pin::pin;
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::sync::{Mutex, lock};
use crate::timer::moment::Moment;

/// The time for which the timer task sleeps if no timer is set.
const IDLE: Duration = Duration::from_secs(3600);

#[derive(Debug, Default)]
pub(crate) struct TimerQueue(Mutex<Deadlines>);

#[derive(Debug, Default)]
struct Deadlines {
    due: BTreeMap<Key, Waker>,
    serial: Serial,
    /// Wakers for the tasks that run the timers, called when a new timer is the first one due.
    drivers: Vec<Waker>,
    called: bool,
}

/// A connection's timer, with at most one wake-up time.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    set: Option<Key>,
}

/// The key of a timer in the queue: its time, and a serial number that orders timers with the same
/// time. The time is split into two fields so that the key takes only 12 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    high: u32,
    low: u32,
    serial: NonZeroU32,
}

impl Key {
    fn new(at: Moment, serial: NonZeroU32) -> Key {
        let at = at.to_bits();
        Key { high: (at >> 32) as u32, low: at as u32, serial }
    }

    fn at(self) -> Moment {
        Moment::from_bits(u64::from(self.high) << 32 | u64::from(self.low))
    }
}

/// The next timer's serial number. Wraps around.
#[derive(Debug)]
struct Serial(NonZeroU32);

impl Default for Serial {
    fn default() -> Self {
        Serial(NonZeroU32::MIN)
    }
}

impl Serial {
    fn take(&mut self) -> NonZeroU32 {
        let next = self.0.checked_add(1).unwrap_or(NonZeroU32::MIN);
        std::mem::replace(&mut self.0, next)
    }
}

impl Deadlines {
    fn insert(&mut self, at: Moment, waker: &Waker) -> Key {
        loop {
            let key = Key::new(at, self.serial.take());
            // The entry is occupied if the serial numbers have wrapped around while an old timer
            // was waiting.
            if let Entry::Vacant(free) = self.due.entry(key) {
                free.insert(waker.clone());
                return key;
            }
        }
    }

    fn first(&self) -> Option<Key> {
        self.due.first_key_value().map(|(key, _)| *key)
    }
}

impl Timer {
    /// Schedules a call to `waker` at the time `at`. If an earlier time is already set, it is kept:
    /// the task is then woken early, checks the clock and sets the timer again.
    pub(crate) fn set(&mut self, timers: &TimerQueue, at: Duration, waker: &Waker) {
        let at = Moment::from(at);
        if self.set.is_some_and(|earlier| earlier.at() <= at) {
            return;
        }
        let mut table = lock(&timers.0);
        if let Some(later) = self.set.take() {
            table.due.remove(&later);
        }
        let key = table.insert(at, waker);
        self.set = Some(key);
        let is_first = table.first() == Some(key);
        let drivers = if is_first { std::mem::take(&mut table.drivers) } else { Vec::new() };
        // Here and below, call wakers after releasing the lock: a runtime may immediately poll the
        // woken task, which sets its timer under this lock.
        drop(table);
        drivers.into_iter().for_each(Waker::wake);
    }

    /// Clears a wake-up time that has passed.
    pub(crate) fn expire(&mut self, now: Duration) {
        if self.set.is_some_and(|key| now >= key.at()) {
            self.set = None;
        }
    }

    pub(crate) fn cancel(&mut self, timers: &TimerQueue) {
        if let Some(key) = self.set.take() {
            lock(&timers.0).due.remove(&key);
        }
    }
}

impl TimerQueue {
    /// Wakes the tasks whose timers are due. Returns the time at which the next timer is due.
    pub(crate) fn fire_due(&self, now: Duration) -> Option<Duration> {
        let mut table = lock(&self.0);
        // Split after all timers whose time is `now`, whatever their serial numbers.
        let after = Key::new((now + Duration::from_nanos(1)).into(), NonZeroU32::MIN);
        let mut later = table.due.split_off(&after);
        std::mem::swap(&mut table.due, &mut later);
        let next = table.first().map(Key::at);
        drop(table);
        later.into_values().for_each(Waker::wake);
        next.map(Duration::from)
    }

    /// Returns the number of set timers.
    #[cfg(feature = "audit")]
    pub(crate) fn count(&self) -> usize {
        lock(&self.0).due.len()
    }

    /// Wakes all tasks that have a timer, even if it is not due.
    pub(crate) fn fire_all(&self) {
        // Keep the entries: a task whose timer is set does not set it again for a later time.
        let wakers: Vec<Waker> = lock(&self.0).due.values().cloned().collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Wakes the timer tasks so that they check for work immediately.
    pub(crate) fn wake_drivers(&self) {
        let mut table = lock(&self.0);
        table.called = true;
        let drivers = std::mem::take(&mut table.drivers);
        drop(table);
        drivers.into_iter().for_each(Waker::wake);
    }

    /// Fires timers, with the runtime's `sleep`. Never completes. After each wake-up, first calls
    /// `work` until it returns false.
    pub(crate) async fn run<S: Future>(
        &self,
        now: impl Fn() -> Duration,
        sleep: impl Fn(Duration) -> S,
        work: impl Fn() -> bool,
    ) {
        loop {
            if work() {
                yield_once().await;
                continue;
            }
            let next = self.fire_due(now());
            // Read the clock again, since firing takes time.
            let wait = next.map_or(IDLE, |next| next.saturating_sub(now()));
            let mut sleep = pin!(sleep(wait));
            poll_fn(|cx| {
                if sleep.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                // Check and register under one lock so that a timer set in between is not missed.
                let mut table = lock(&self.0);
                let first = table.first().map(Key::at);
                let is_earlier = first.is_some_and(|first| next.is_none_or(|next| next > first));
                if std::mem::take(&mut table.called) || is_earlier {
                    return Poll::Ready(());
                }
                if !table.drivers.iter().any(|driver| driver.will_wake(cx.waker())) {
                    table.drivers.push(cx.waker().clone());
                }
                Poll::Pending
            })
            .await;
        }
    }
}

/// Yields to other tasks once.
pub(crate) async fn yield_once() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_by_time_then_insertion() {
        let at = |nanos| Moment::from(Duration::from_nanos(nanos));
        let times = [0, 1, u64::from(u32::MAX) - 1, u64::from(u32::MAX), u64::MAX - 1].map(at);
        let serials = [1, 2, u32::MAX].map(|serial| NonZeroU32::new(serial).unwrap());
        let pairs = times.iter().flat_map(|&at| serials.map(|serial| (at, serial)));
        let keys: Vec<Key> = pairs.clone().map(|(at, serial)| Key::new(at, serial)).collect();
        assert!(keys.is_sorted() && keys.iter().zip(pairs).all(|(key, (at, _))| key.at() == at));
    }

    #[test]
    fn timers_survive_sequence_wraparound() {
        let (waker, at) = (Waker::noop(), Moment::from(Duration::ZERO));
        let mut table = Deadlines::default();
        table.insert(at, waker);
        table.serial = Serial(NonZeroU32::MAX);
        let last = table.insert(at, waker);
        table.insert(at, waker);
        assert_eq!((table.due.len(), table.due.last_key_value().unwrap().0), (3, &last));
    }
}

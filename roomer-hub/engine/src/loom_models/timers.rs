//! Loom models of the timer queue and its driver task.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use loom::future::block_on;
use loom::model;
use loom::thread;

use crate::sync::{AtomicBool, AtomicUsize, Ordering};
use crate::timer::{Timer, TimerQueue};

/// A waker that sets a flag.
#[derive(Default)]
pub(super) struct Flag(pub(super) AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Flag {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Drives the timers until the flag is set. The clock is stopped at ten seconds, and sleeps never
/// complete.
fn run_timers(timers: &TimerQueue, flag: &Flag, work: impl Fn() -> bool) {
    let mut driver = pin!(timers.run(|| Duration::from_secs(10), |_| pending::<()>(), work));
    block_on(poll_fn(|cx| {
        if !flag.is_set() {
            let _ = driver.as_mut().poll(cx);
        }
        if flag.is_set() { Poll::Ready(()) } else { Poll::Pending }
    }));
}

#[test]
fn immediately_due_timer_fires() {
    model(|| {
        let (timers, flag) = (Arc::new(TimerQueue::default()), Arc::new(Flag::default()));
        let driver = {
            let (timers, flag) = (timers.clone(), flag.clone());
            thread::spawn(move || run_timers(&timers, &flag, || false))
        };
        let mut timer = Timer::default();
        timer.set(&timers, Duration::from_secs(20), Waker::noop());
        timer.set(&timers, Duration::from_secs(5), &flag.into());
        driver.join().unwrap();
    });
}

#[test]
fn woken_timer_task_rechecks_queue() {
    model(|| {
        let (timers, flag) = (Arc::new(TimerQueue::default()), Arc::new(Flag::default()));
        let todo = Arc::new(AtomicUsize::new(0));
        let driver = {
            let (timers, flag, todo) = (timers.clone(), flag.clone(), todo.clone());
            thread::spawn(move || {
                run_timers(&timers, &flag, || {
                    if todo.load(Ordering::SeqCst) > 0 {
                        flag.clone().wake();
                    }
                    false
                });
            })
        };
        todo.store(1, Ordering::SeqCst);
        timers.wake_drivers();
        driver.join().unwrap();
    });
}

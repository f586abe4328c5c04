//! The timer queue and the task that drives it.

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

/// A flag to be woken by.
#[derive(Default)]
pub(super) struct Bell(pub(super) AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Bell {
    pub(super) fn has_rung(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Drives the timers on a clock that stands still at ten seconds and whose sleeps never end, until the
/// bell has rung.
fn keep(timers: &TimerQueue, bell: &Bell, work: impl Fn() -> bool) {
    let mut keeper = pin!(timers.run(|| Duration::from_secs(10), |_| pending::<()>(), work));
    block_on(poll_fn(|cx| {
        if !bell.has_rung() {
            let _ = keeper.as_mut().poll(cx);
        }
        if bell.has_rung() { Poll::Ready(()) } else { Poll::Pending }
    }));
}

#[test]
fn an_alarm_that_is_due_at_once_goes_off() {
    model(|| {
        let (timers, bell) = (Arc::new(TimerQueue::default()), Arc::new(Bell::default()));
        let keeper = {
            let (timers, bell) = (timers.clone(), bell.clone());
            thread::spawn(move || keep(&timers, &bell, || false))
        };
        let mut timer = Timer::default();
        timer.set(&timers, Duration::from_secs(20), Waker::noop());
        timer.set(&timers, Duration::from_secs(5), &bell.into());
        keeper.join().unwrap();
    });
}

#[test]
fn keepers_that_are_called_look_again() {
    model(|| {
        let (timers, bell) = (Arc::new(TimerQueue::default()), Arc::new(Bell::default()));
        let todo = Arc::new(AtomicUsize::new(0));
        let keeper = {
            let (timers, bell, todo) = (timers.clone(), bell.clone(), todo.clone());
            thread::spawn(move || {
                keep(&timers, &bell, || {
                    if todo.load(Ordering::SeqCst) > 0 {
                        bell.clone().wake();
                    }
                    false
                });
            })
        };
        todo.store(1, Ordering::SeqCst);
        timers.wake_drivers();
        keeper.join().unwrap();
    });
}

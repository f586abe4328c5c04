//! Models of sockets that are admitted and leave, and of the end of a server.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use loom::future::block_on;
use loom::model;
use loom::thread;

use crate::builder::options::Options;
use crate::lifecycle::Lifecycle;
use crate::lifecycle::admission::{AdmissionLimit, AdmissionLimits, SocketKind};
use crate::loom_models::timers::Bell;
use crate::timer::{Timer, TimerQueue};

#[test]
fn a_waiter_is_woken_when_the_last_socket_leaves() {
    model(|| {
        let lifecycle = Arc::new(Lifecycle::default());
        let admission = Options::default().admission;
        let others = [(); 2].map(|()| {
            let lifecycle = lifecycle.clone();
            let (place, _) = lifecycle.enter(None, &admission);
            thread::spawn(move || lifecycle.leave(place, None))
        });
        block_on(poll_fn(|cx| lifecycle.poll_empty(cx)));
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

#[test]
fn one_who_goes_to_sleep_is_rung_or_sees_that_everything_is_cut() {
    model(|| {
        let (lifecycle, timers) = (Arc::new(Lifecycle::default()), Arc::new(TimerQueue::default()));
        let bell = Arc::new(Bell::default());
        let sleeper = {
            let (lifecycle, timers, bell) = (lifecycle.clone(), timers.clone(), bell.clone());
            thread::spawn(move || {
                Timer::default().set(&timers, Duration::from_secs(20), &bell.into());
                lifecycle.is_aborted()
            })
        };
        lifecycle.abort();
        timers.fire_all();
        assert!(sleeper.join().unwrap() || bell.has_rung());
    });
}

#[test]
fn one_of_two_gets_the_last_slot_and_the_drain_is_woken_by_the_last_to_leave() {
    model(|| {
        let (lifecycle, cap) =
            (Arc::new(Lifecycle::default()), AdmissionLimit { total: 1, per_address: 1 });
        let admission = AdmissionLimits { connections: cap, ..Options::default().admission };
        let others = [(); 2].map(|()| {
            let lifecycle = lifecycle.clone();
            thread::spawn(move || {
                let is_in = lifecycle.reserve(None, &admission).is_ok();
                if is_in {
                    lifecycle.leave(SocketKind::Connection, None);
                }
            })
        });
        lifecycle.drain(Duration::ZERO);
        block_on(poll_fn(|cx| lifecycle.poll_drained(cx)));
        assert!(lifecycle.reserve(None, &admission).is_err(), "nobody comes in any more");
        others.into_iter().for_each(|other| other.join().unwrap());
        assert!(lifecycle.drained().cut == 0 && lifecycle.drained().closed <= 1);
    });
}

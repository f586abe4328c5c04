//! Loom models of socket admission and of a server's shutdown.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use loom::future::block_on;
use loom::model;
use loom::thread;

use crate::handshake::options::HandshakeOptions;
use crate::lifecycle::Lifecycle;
use crate::lifecycle::admission::{AdmissionLimit, AdmissionLimits, SocketKind};
use crate::loom_models::timers::Flag;
use crate::timer::{Timer, TimerQueue};

#[test]
fn last_socket_wakes_waiter() {
    model(|| {
        let lifecycle = Arc::new(Lifecycle::default());
        let admission = HandshakeOptions::default().admission;
        let others = [(); 2].map(|()| {
            let lifecycle = lifecycle.clone();
            let (kind, _) = lifecycle.enter(None, &admission);
            thread::spawn(move || lifecycle.leave(kind, None))
        });
        block_on(poll_fn(|cx| lifecycle.poll_empty(cx)));
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

#[test]
fn task_setting_timer_observes_abort() {
    model(|| {
        let (lifecycle, timers) = (Arc::new(Lifecycle::default()), Arc::new(TimerQueue::default()));
        let flag = Arc::new(Flag::default());
        let task = {
            let (lifecycle, timers, flag) = (lifecycle.clone(), timers.clone(), flag.clone());
            thread::spawn(move || {
                Timer::default().set(&timers, Duration::from_secs(20), &flag.into());
                lifecycle.is_aborted()
            })
        };
        lifecycle.abort();
        timers.fire_all();
        assert!(task.join().unwrap() || flag.is_set());
    });
}

#[test]
fn last_slot_is_taken_once_and_last_exit_wakes_drain() {
    model(|| {
        let (lifecycle, limit) =
            (Arc::new(Lifecycle::default()), AdmissionLimit { total: 1, per_address: 1 });
        let admission =
            AdmissionLimits { connections: limit, ..HandshakeOptions::default().admission };
        let others = [(); 2].map(|()| {
            let lifecycle = lifecycle.clone();
            thread::spawn(move || {
                let is_accepted = lifecycle.reserve(None, &admission, None).is_ok();
                if is_accepted {
                    lifecycle.leave(SocketKind::Connection, None);
                }
            })
        });
        lifecycle.drain(Duration::ZERO);
        block_on(poll_fn(|cx| lifecycle.poll_drained(cx)));
        assert!(
            lifecycle.reserve(None, &admission, None).is_err(),
            "a connection is accepted during a drain"
        );
        others.into_iter().for_each(|other| other.join().unwrap());
        assert!(lifecycle.drain_report().aborted == 0 && lifecycle.drain_report().closed <= 1);
    });
}

//! Who comes and goes, and the end of a server.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use loom::future::block_on;
use loom::model;
use loom::thread;

use crate::builder::options::Options;
use crate::lifecycle::Life;
use crate::lifecycle::admission::{Cap, Caps, Place};
use crate::loom_models::Bell;
use crate::timer::{Alarm, Alarms};

#[test]
fn who_waits_for_the_last_to_leave_hears_of_it() {
    model(|| {
        let life = Arc::new(Life::default());
        let caps = Options::default().caps;
        let others = [(); 2].map(|()| {
            let life = life.clone();
            let (place, _) = life.enter(None, &caps);
            thread::spawn(move || life.leave(place, None))
        });
        block_on(poll_fn(|cx| life.poll_empty(cx)));
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

#[test]
fn one_who_goes_to_sleep_is_rung_or_sees_that_everything_is_cut() {
    model(|| {
        let (life, alarms) = (Arc::new(Life::default()), Arc::new(Alarms::default()));
        let bell = Arc::new(Bell::default());
        let sleeper = {
            let (life, alarms, bell) = (life.clone(), alarms.clone(), bell.clone());
            thread::spawn(move || {
                Alarm::default().set(&alarms, Duration::from_secs(20), &bell.into());
                life.is_cut()
            })
        };
        life.cut();
        alarms.ring_all();
        assert!(sleeper.join().unwrap() || bell.has_rung());
    });
}

#[test]
fn the_last_place_goes_to_one_of_two_and_the_drain_hears_of_the_last_to_leave() {
    model(|| {
        let (life, cap) = (Arc::new(Life::default()), Cap { total: 1, per_address: 1 });
        let caps = Caps { connections: cap, ..Options::default().caps };
        let others = [(); 2].map(|()| {
            let life = life.clone();
            thread::spawn(move || {
                let is_in = life.seat(None, &caps).is_ok();
                if is_in {
                    life.leave(Place::Connection, None);
                }
            })
        });
        life.drain(Duration::ZERO);
        block_on(poll_fn(|cx| life.poll_drained(cx)));
        assert!(life.seat(None, &caps).is_err(), "nobody comes in any more");
        others.into_iter().for_each(|other| other.join().unwrap());
        assert!(life.drained().cut == 0 && life.drained().closed <= 1);
    });
}

//! The simulator with few seeds. `examples/sim.rs` runs many.
//!
//! `SIM_SEEDS=100000 cargo test --release -p roomer-hub --test sim` runs more, `SIM_DEEP=1` explores
//! farther, `UPDATE_HASHES=1` accepts new hashes: only when what the hub sends was meant to change.
#![allow(clippy::unwrap_used)] // helpers of tests, which clippy does not see as such

use std::fmt::Write;
use std::fs;
use std::path::Path;

use roomer_hub::{HashKey, Presence};

use roomer_simulator::explore::{Explored, Scope, explore};
use roomer_simulator::plan::{Ending, Handler, Payload, Plan, Rules, Step, Who};
use roomer_simulator::report::{Plans, as_test, drawn, explain, run};
use roomer_simulator::run::Run;
use roomer_simulator::runner::{self, Sum};
use roomer_simulator::shrink::shorten;
use roomer_simulator::simulation::Simulation;

fn seeds(otherwise: u64) -> u64 {
    let seeds = std::env::var("SIM_SEEDS").ok();
    seeds.map_or(otherwise, |seeds| seeds.parse().unwrap())
}

fn sum(count: u64, threads: usize) -> Sum {
    runner::seeds::<Plans>(0, count, threads, &|_, _| {})
}

/// Also: twice the same, and the same on two threads.
#[test]
fn every_seed_holds_and_all_marks_come_up() {
    let count = seeds(1_000);
    let once = sum(count, 1);
    if let Some((seed, fault)) = once.kept.first() {
        panic!("seed {seed}: {fault}\n{}", Plans::explain(*seed));
    }
    assert_eq!(once.missing::<Plans>(), [""; 0], "never came up");
    assert_eq!(sum(count, 2), once, "the same seeds once more, on two threads");
}

#[test]
fn the_hashes_are_those_that_are_committed() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("hashes.txt");
    let mut hashes = String::from("# Seed, steps, and a hash of everything that the hub sent.\n");
    for seed in (0..64).chain((0..8).map(|power| 10_u64.pow(power * 2) + 77)) {
        let outcome = run(&drawn(seed));
        let _ = writeln!(hashes, "{seed} {} {:016x}", outcome.steps, outcome.hash);
    }
    if std::env::var_os("UPDATE_HASHES").is_some() {
        return fs::write(&file, hashes).unwrap();
    }
    let told = fs::read_to_string(&file).unwrap();
    for (told, now) in told.lines().zip(hashes.lines()) {
        assert_eq!(now, told, "now, and as committed; UPDATE_HASHES=1 if this was meant");
    }
    assert_eq!(hashes.len(), told.len());
}

#[test]
fn the_hash_key_changes_nothing() {
    for seed in 0..100 {
        let plan = drawn(seed);
        let hashes = [[0; 16], [0xff; 16], *b"any key would do"].map(|key| {
            let mut run = Run::with_key(&plan, HashKey(key)).unwrap();
            run.all().unwrap();
            run.hash()
        });
        assert!(hashes[0] == hashes[1] && hashes[0] == hashes[2], "seed {seed}: {hashes:x?}");
    }
}

/// What is explored has no end but that all states have been seen, so this is every order of any
/// number of steps.
#[test]
fn every_order_of_steps_of_two_clients_holds() {
    for (rules, max_rooms) in [(Rules::Default, 1100), (Rules::Compat, 2)] {
        let rooms = &["root", "r"][..];
        let explored = found(Scope { rules, clients: 2, rooms, max_rooms, depth: usize::MAX });
        assert!(explored.is_all && explored.states > 100, "{explored:?}");
    }
    if std::env::var_os("SIM_DEEP").is_some() {
        for (rules, rooms, max_rooms) in [
            (Rules::Default, &["root", "r"][..], 1100),
            (Rules::Compat, &["root", "r"], 2),
            (Rules::Default, &["root", "r", "ro"], 2),
        ] {
            let scope = Scope { rules, clients: 3, rooms, max_rooms, depth: usize::MAX };
            println!("{scope:?}: {:?}", found(scope));
        }
    }
}

fn found(scope: Scope) -> Explored {
    match explore(&scope) {
        Ok(explored) => explored,
        Err(found) => {
            let (plan, fault) = *found;
            panic!("{fault:?}\n{}", explain(&plan, "explored", "found"))
        }
    }
}

#[test]
fn a_list_is_shortened_to_what_matters() {
    let mut items: Vec<u32> = (0..1_000).collect();
    let mut tries = 0;
    shorten(&mut items, |items| {
        tries += 1;
        [17, 500, 501, 999].iter().all(|item| items.contains(item))
    });
    assert_eq!(items, [17, 500, 501, 999]);
    assert!(tries < 300, "{tries}");
}

#[test]
fn a_plan_is_told_as_a_test_that_compiles() {
    // tests/regressions.rs has this text, and compiles.
    let (who, payload) = (Who::Slot(0), Payload(7, 2));
    let does = vec![Step::Close { who: Who::Caller, code: 1008, reason: "bye" }];
    let plan = Plan {
        rules: Rules::Compat,
        max_name: 6,
        max_rooms: 2,
        paces: [None, Some((3, 60)), None, Some((1, 256))],
        shared_room_only: true,
        ending: Ending::Left,
        key: 9,
        asks: [true, false, false],
        answers: 3,
        late: 1,
        memberships: vec![("root", Presence::Off)],
        handlers: vec![Handler { event: "ping", does }],
        steps: vec![
            Step::Open { slot: 0 },
            Step::Broadcast {
                from: Some(who),
                except: None,
                room: "root\0",
                event: "chatt\u{e9}",
                payload,
            },
        ],
    };
    let text = as_test(&plan, "a_sample");
    let file = include_str!("regressions.rs");
    // But for the blanks and commas of rustfmt.
    let plain = |text: &str| text.replace([' ', '\n', ','], "");
    assert!(plain(file).contains(&plain(&text)), "{text}");
}

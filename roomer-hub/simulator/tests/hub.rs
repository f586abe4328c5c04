//! Runs the hub plans for a few seeds. The binary `sim` runs many.
//!
//! `SIM_SEEDS=100000 cargo test --release -p roomer-simulator --test hub` runs more seeds, and
//! `SIM_DEEP=1` explores more clients. `UPDATE_HASHES=1` accepts new hashes: use it only if the
//! change to the hub's output was intended.
#![allow(clippy::unwrap_used)] // clippy does not recognize test helpers

use std::fmt::Write;
use std::fs;
use std::path::Path;

use roomer_hub::{HashKey, Presence};

use roomer_simulator::hub::explore::{Explored, Scope, explore};
use roomer_simulator::hub::plan::{ClientRef, Ending, Handler, Mode, Payload, Plan, Step};
use roomer_simulator::hub::report::{HubPlans, as_test, explain, plan_of_seed, run};
use roomer_simulator::hub::run::Run;
use roomer_simulator::runner::{self, Summary};
use roomer_simulator::shrink::shorten;
use roomer_simulator::simulation::Simulation;

fn seed_count(otherwise: u64) -> u64 {
    let seed_count = std::env::var("SIM_SEEDS").ok();
    seed_count.map_or(otherwise, |seed_count| seed_count.parse().unwrap())
}

fn sum(count: u64, threads: usize) -> Summary {
    runner::run_seeds::<HubPlans>(0, count, threads, &|_, _| {})
}

/// Also checks that the result is the same on two threads.
#[test]
fn seeds_pass_and_reach_all_marks() {
    let count = seed_count(1_000);
    let once = sum(count, 1);
    if let Some((seed, fault)) = once.examples.first() {
        panic!("seed {seed}: {fault}\n{}", HubPlans::explain(*seed));
    }
    assert_eq!(once.missing::<HubPlans>(), [""; 0], "these marks were not set");
    assert_eq!(sum(count, 2), once, "the same seeds once more, on two threads");
}

#[test]
fn hashes_match_committed_hashes() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("hub_hashes.txt");
    let mut hashes = String::from("# Seed, steps, and a hash of everything that the hub sent.\n");
    for seed in (0..64).chain((0..8).map(|power| 10_u64.pow(power * 2) + 77)) {
        let outcome = run(&plan_of_seed(seed));
        let _ = writeln!(hashes, "{seed} {} {:016x}", outcome.steps, outcome.hash);
    }
    if std::env::var_os("UPDATE_HASHES").is_some() {
        return fs::write(&file, hashes).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap();
    for (committed, now) in committed.lines().zip(hashes.lines()) {
        assert_eq!(
            now, committed,
            "left is new, right is committed; UPDATE_HASHES=1 accepts the new one"
        );
    }
    assert_eq!(hashes.len(), committed.len());
}

#[test]
fn output_is_independent_of_hash_key() {
    for seed in 0..100 {
        let plan = plan_of_seed(seed);
        let hashes = [[0; 16], [0xff; 16], *b"any key would do"].map(|key| {
            let mut run = Run::with_key(&plan, HashKey(key)).unwrap();
            run.run_to_end().unwrap();
            run.hash()
        });
        assert!(hashes[0] == hashes[1] && hashes[0] == hashes[2], "seed {seed}: {hashes:x?}");
    }
}

/// The exploration ends only when it has reached all states, so it covers all orders of any number
/// of steps.
#[test]
fn all_interleavings_of_two_clients_pass() {
    for (mode, max_rooms) in [(Mode::Default, 1100), (Mode::Compat, 2)] {
        let rooms = &["root", "r"][..];
        let explored = found(Scope {
            mode,
            clients: 2,
            rooms,
            max_rooms,
            depth: usize::MAX,
            peers: 0,
            guests: 0,
        });
        assert!(explored.is_complete && explored.states > 100, "{explored:?}");
    }
    if std::env::var_os("SIM_DEEP").is_some() {
        for (mode, rooms, max_rooms) in [
            (Mode::Default, &["root", "r"][..], 1100),
            (Mode::Compat, &["root", "r"], 2),
            (Mode::Default, &["root", "r", "ro"], 2),
        ] {
            let scope = Scope {
                mode,
                clients: 3,
                rooms,
                max_rooms,
                depth: usize::MAX,
                peers: 0,
                guests: 0,
            };
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
fn shrinking_keeps_only_necessary_items() {
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
fn printed_plan_compiles_as_test() {
    // tests/regressions.rs contains this text, so it is known to compile.
    let (client, payload) = (ClientRef::Slot(0), Payload(7, 2));
    let commands = vec![Step::Close { client: ClientRef::Caller, code: 1008, reason: "bye" }];
    let plan = Plan {
        mode: Mode::Compat,
        max_name: 6,
        max_rooms: 2,
        rates: [None, Some((3, 60)), None, Some((1, 256))],
        shared_room_only: true,
        ending: Ending::Left,
        key: 9,
        authorize: [true, false, false],
        answers: 3,
        answer_delay: 1,
        presence_rules: vec![("root", Presence::Off)],
        handlers: vec![Handler { event: "ping", commands }],
        steps: vec![
            Step::Open { slot: 0 },
            Step::Broadcast {
                from: Some(client),
                except: None,
                room: "root\0",
                event: "chatt\u{e9}",
                payload,
            },
        ],
    };
    let text = as_test(&plan, "sample_plan_passes");
    let file = include_str!("regressions.rs");
    // Ignore spaces and commas, which rustfmt may change.
    let plain = |text: &str| text.replace([' ', '\n', ','], "");
    assert!(plain(file).contains(&plain(&text)), "{text}");
}

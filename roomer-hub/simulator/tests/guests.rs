//! Runs the plans with peers for a few seeds. `sim --guests` runs many.
//!
//! `SIM_SEEDS=100000 cargo test --release -p roomer-simulator guests::` runs more seeds, and
//! `SIM_DEEP=1` explores more guests and peers. `UPDATE_HASHES=1` accepts new hashes: use it only
//! if the change to the hub's output was intended.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use roomer_hub::HashKey;
use roomer_simulator::hub::explore::{Scope, explore};
use roomer_simulator::hub::guests::report::{GuestPlans, plan_of_seed, run};
use roomer_simulator::hub::plan::Mode;
use roomer_simulator::hub::report::explain;
use roomer_simulator::hub::run::Run;
use roomer_simulator::runner;
use roomer_simulator::simulation::Simulation;

/// `sim --guests` also checks that its seeds reach all marks, for which these are too few.
#[test]
fn seeds_pass_and_are_reproducible() {
    let count = std::env::var("SIM_SEEDS").map_or(300, |count| count.parse().unwrap());
    let once = runner::run_seeds::<GuestPlans>(0, count, 1, &|_, _| {});
    if let Some((seed, fault)) = once.examples.first() {
        panic!("seed {seed}: {fault}\n{}", GuestPlans::explain(*seed));
    }
    let again = runner::run_seeds::<GuestPlans>(0, count, 2, &|_, _| {});
    assert_eq!(again, once, "the same seeds once more, on two threads");
}

#[test]
fn hashes_match_committed_hashes() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest_hashes.txt");
    let mut hashes = String::from("# Seed, steps, and a hash of everything that the hub sent.\n");
    for seed in 0..64 {
        let outcome = run(&plan_of_seed(seed));
        let _ = writeln!(hashes, "{seed} {} {:016x}", outcome.steps, outcome.hash);
    }
    if std::env::var_os("UPDATE_HASHES").is_some() {
        return fs::write(&file, hashes).unwrap();
    }
    assert_eq!(hashes, fs::read_to_string(&file).unwrap(), "UPDATE_HASHES=1 accepts the new ones");
}

#[test]
fn output_is_independent_of_hash_key() {
    for seed in 0..50 {
        let plan = plan_of_seed(seed);
        let hashes = [[0; 16], [0xff; 16]].map(|key| {
            let mut run = Run::with_key(&plan, HashKey(key)).unwrap();
            run.run_to_end().unwrap();
            run.hash()
        });
        assert!(hashes[0] == hashes[1], "seed {seed}: {hashes:x?}");
    }
}

/// The exploration ends only when it has reached all states.
#[test]
fn all_interleavings_of_client_and_peers_pass() {
    let both = &["root", "r"][..];
    let mut scopes = vec![
        (Mode::Default, both, 1, 1),
        (Mode::Compat, &["root"][..], 1, 2),
        (Mode::Default, &["root"], 2, 1),
    ];
    if std::env::var_os("SIM_DEEP").is_some() {
        scopes.extend([(Mode::Default, both, 2, 1), (Mode::Compat, both, 1, 2)]);
    }
    for (mode, rooms, peers, guests) in scopes {
        let (clients, max_rooms, depth) = (1, 1100, usize::MAX);
        match explore(&Scope { mode, clients, rooms, max_rooms, depth, peers, guests }) {
            Ok(explored) => {
                println!("{explored:?}");
                assert!(explored.is_complete && explored.states > 50, "{explored:?}");
            }
            Err(found) => panic!("{:?}\n{}", found.1, explain(&found.0, "explored", "found")),
        }
    }
}

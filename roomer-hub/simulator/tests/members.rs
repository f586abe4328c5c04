//! Runs the plans with info for a few seeds. `sim --members` runs many.
//!
//! `SIM_SEEDS=100000 cargo test --release -p roomer-simulator members::` runs more seeds.
//! `UPDATE_HASHES=1` accepts new hashes: use it only if the change to the hub's output was
//! intended.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use roomer_simulator::members::report::{MemberPlans, plan_of_seed, run};
use roomer_simulator::runner;
use roomer_simulator::simulation::Simulation;

#[test]
fn seeds_pass_and_reach_all_marks() {
    let count = std::env::var("SIM_SEEDS").map_or(150, |count| count.parse().unwrap());
    let once = runner::run_seeds::<MemberPlans>(0, count, 2, &|_, _| {});
    if let Some((seed, fault)) = once.examples.first() {
        panic!("seed {seed}: {fault}\n{}", MemberPlans::explain(*seed));
    }
    assert_eq!(once.missing::<MemberPlans>(), [""; 0], "these marks were not set");
}

#[test]
fn hashes_match_committed_hashes() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("member_hashes.txt");
    let mut hashes =
        String::from("# Seed, steps, and a hash of everything that clients were sent.\n");
    for seed in 0..32 {
        let outcome = run(&plan_of_seed(seed));
        let _ = writeln!(hashes, "{seed} {} {:016x}", outcome.steps, outcome.hash);
    }
    if std::env::var_os("UPDATE_HASHES").is_some() {
        return fs::write(&file, hashes).unwrap();
    }
    assert_eq!(hashes, fs::read_to_string(&file).unwrap(), "UPDATE_HASHES=1 accepts the new ones");
}

//! Runs the plans with requests for a few seeds. `sim --requests` runs many.
//!
//! `SIM_SEEDS=100000 cargo test --release -p roomer-simulator requests::` runs more seeds.
//! `UPDATE_HASHES=1` accepts new hashes: use it only if the change to the hub's output was
//! intended.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use roomer_simulator::requests::{RequestPlans, plan_of_seed, run};
use roomer_simulator::runner;
use roomer_simulator::simulation::Simulation;

#[test]
fn seeds_pass_and_reach_all_marks() {
    let count = std::env::var("SIM_SEEDS").map_or(1_000, |count| count.parse().unwrap());
    let summary = runner::run_seeds::<RequestPlans>(0, count, 2, &|_, _| {});
    if let Some((seed, fault)) = summary.examples.first() {
        panic!("seed {seed}: {fault}\n{}", RequestPlans::explain(*seed));
    }
    assert_eq!(summary.missing::<RequestPlans>(), [""; 0], "these marks were not set");
}

#[test]
fn hashes_match_committed_hashes() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("request_hashes.txt");
    let mut hashes = String::from("# Seed, steps, and a hash of everything that the hub sent.\n");
    for seed in 0..64 {
        let outcome = run::run(&plan_of_seed(seed));
        let _ = writeln!(hashes, "{seed} {} {:016x}", outcome.steps, outcome.hash);
    }
    if std::env::var_os("UPDATE_HASHES").is_some() {
        return fs::write(&file, hashes).unwrap();
    }
    assert_eq!(hashes, fs::read_to_string(&file).unwrap(), "UPDATE_HASHES=1 accepts the new ones");
}

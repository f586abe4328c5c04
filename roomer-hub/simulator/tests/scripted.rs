//! Runs the plans with a scripted server.
//!
//! `sim --scripted` runs many. `SIM_SEEDS=1000000 cargo test --release -p roomer-simulator
//! scripted::` runs more plans.

use roomer_simulator::runner;
use roomer_simulator::scripted::ScriptedPlans;
use roomer_simulator::simulation::Simulation;

/// `sim --scripted` also checks that its seeds reach all marks, for which these are too few.
#[test]
fn seeds_pass() {
    let count = std::env::var("SIM_SEEDS").map_or(500, |count| count.parse().expect("a number"));
    let summary = runner::run_seeds::<ScriptedPlans>(0, count, 2, &|_, _| {});
    if let Some((seed, fault)) = summary.examples.first() {
        panic!("seed {seed}: {fault}\n{}", ScriptedPlans::explain(*seed));
    }
}

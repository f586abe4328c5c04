//! Runs the plans with a scripted server. `SIM_SEEDS=1000000 cargo test --release -p
//! roomer-simulator scripted::` runs more plans.

use roomer_simulator::runner;
use roomer_simulator::scripted::ScriptedPlans;
use roomer_simulator::simulation::Simulation;

#[test]
fn seeds_pass_and_reach_all_marks() {
    let count = std::env::var("SIM_SEEDS").map_or(3_000, |count| count.parse().expect("a number"));
    let summary = runner::run_seeds::<ScriptedPlans>(0, count, 2, &|_, _| {});
    if let Some((seed, fault)) = summary.examples.first() {
        panic!("seed {seed}: {fault}\n{}", ScriptedPlans::explain(*seed));
    }
    assert_eq!(summary.missing::<ScriptedPlans>(), [""; 0], "never came up");
}

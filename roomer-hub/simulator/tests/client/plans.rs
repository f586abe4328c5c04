//! Runs random plans for clients.
//!
//! Whatever happens to connections, no message may arrive twice, and each lost message must be
//! reported. `SIM_SEEDS=100000 cargo test --release -p roomer-simulator client::plans` runs more
//! plans.

use roomer_simulator::client::ClientPlans;
use roomer_simulator::runner;
use roomer_simulator::simulation::Simulation;

#[test]
fn seeds_pass_and_reach_all_marks() {
    let count = std::env::var("SIM_SEEDS").map_or(300, |count| count.parse().unwrap());
    let summary = runner::run_seeds::<ClientPlans>(0, count, 2, &|_, _| {});
    if let Some((seed, fault)) = summary.examples.first() {
        panic!("seed {seed}: {fault}\n{}", ClientPlans::explain(*seed));
    }
    assert_eq!(summary.missing::<ClientPlans>(), [""; 0], "these marks were not set");
}

//! The plans with peers as a [`Simulation`].

use super::generate;
use super::marks::MARKS;
use crate::hub::plan::Plan;
use crate::hub::report::{explain, run_with};
use crate::random::Random;
use crate::simulation::{Outcome, Simulation};

/// Implements [`Simulation`] for a hub with peers.
pub struct GuestPlans;

impl Simulation for GuestPlans {
    const MARKS: &'static [&'static str] = MARKS;

    fn run(seed: u64) -> Outcome {
        run(&plan_of_seed(seed))
    }

    fn explain(seed: u64) -> String {
        explain(&plan_of_seed(seed), &format!("seed {seed}"), &format!("guests_{seed}"))
    }
}

/// Generates the plan for a seed.
pub fn plan_of_seed(seed: u64) -> Plan {
    generate::plan(&mut Random::new(seed))
}

/// Runs a plan.
pub fn run(plan: &Plan) -> Outcome {
    run_with(plan, |run| run.guest_marks())
}

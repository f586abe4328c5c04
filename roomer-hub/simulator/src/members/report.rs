//! The plans with info as a [`Simulation`].

use std::fmt::Write;

use super::generate;
use super::marks::MARKS;
use super::plan::Plan;
use super::run::Run;
use crate::fault::Fault;
use crate::random::Random;
use crate::shrink::shorten;
use crate::simulation::{Outcome, Simulation};

/// Implements [`Simulation`] for a hub with extended and plain members.
pub struct MemberPlans;

impl Simulation for MemberPlans {
    const MARKS: &'static [&'static str] = MARKS;

    fn run(seed: u64) -> Outcome {
        run(&plan_of_seed(seed))
    }

    fn explain(seed: u64) -> String {
        let mut plan = plan_of_seed(seed);
        let mut other = plan.clone();
        shorten(&mut plan.steps, |steps| {
            other.steps = steps.to_vec();
            run(&other).fault.is_some()
        });
        let mut text = String::new();
        let _ = writeln!(text, "seed {seed}, shrunk to {} steps", plan.steps.len());
        let _ = writeln!(text, "fault: {:?}\n{plan:#?}", run(&plan).fault);
        text
    }
}

/// Generates the plan for a seed.
pub fn plan_of_seed(seed: u64) -> Plan {
    generate::plan(&mut Random::new(seed))
}

/// Runs a plan.
pub fn run(plan: &Plan) -> Outcome {
    let mut run = Run::new(plan);
    let fault = run.run_to_end().err().map(|Fault(what)| what);
    Outcome { steps: run.steps, hash: run.trace.hash(), marks: run.marks.0, fault }
}

//! Plans for a hub with extended connections: requests, answers, and errors for rejected packets.
//!
//! The plans drive the hub alone, with a few plain and extended clients and one peer. Memberships
//! and their notices are checked by the [other plans](crate::hub). Here, memberships only determine
//! which packets are rejected.
//!
//! | module | contents |
//! |---|---|
//! | [`plan`], `generate` | a plan as data, and its generation from a seed |
//! | `model`, `answers` | the naive model: flat lists of requests, searched from the start |
//! | [`run`] | the execution of a plan by the model and the hub, and the comparison of every output line |
//! | `marks` | coverage marks |

mod answers;
mod generate;
mod marks;
mod model;
pub mod plan;
pub mod run;

use std::fmt::Write;

use crate::random::Random;
use crate::shrink::shorten;
use crate::simulation::{Outcome, Simulation};
use plan::Plan;

/// Implements [`Simulation`] for a hub with extended connections.
pub struct RequestPlans;

impl Simulation for RequestPlans {
    const MARKS: &'static [&'static str] = marks::MARKS;

    fn run(seed: u64) -> Outcome {
        run::run(&plan_of_seed(seed))
    }

    fn explain(seed: u64) -> String {
        let mut plan = plan_of_seed(seed);
        let settings = plan.clone();
        let fails = |steps: &[plan::Step]| {
            run::run(&Plan { steps: steps.to_vec(), ..settings.clone() }).fault.is_some()
        };
        shorten(&mut plan.steps, fails);
        let mut text = String::new();
        let fault = run::run(&plan).fault.unwrap_or_default();
        let _ = write!(text, "seed {seed}, {} steps: {fault}\n{plan:#?}", plan.steps.len());
        text
    }
}

/// Generates the plan for a seed.
pub fn plan_of_seed(seed: u64) -> Plan {
    generate::plan(&mut Random::new(seed))
}

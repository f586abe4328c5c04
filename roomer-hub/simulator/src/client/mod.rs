//! Plans that run the client of `roomer_proto::client` against the real server, in virtual time.
//!
//! | module | contents |
//! |---|---|
//! | [`net`] | clients, their connections to a server, and faults on these connections |
//! | [`plan`] | a plan as data, and its generation from a seed |
//! | [`run`] | the execution of a plan, and the checks of the events that the clients report |
//! | [`requests`] | steps and checks for history and requests |
//! | `marks` | coverage marks |

mod marks;
pub mod net;
pub mod plan;
pub mod requests;
pub mod run;

use std::fmt::Write;

use self::plan::{Plan, Step};
use crate::random::Random;
use crate::shrink::shorten;
use crate::simulation::{Outcome, Simulation};

/// The client plans as a [`Simulation`].
pub struct ClientPlans;

impl Simulation for ClientPlans {
    const MARKS: &'static [&'static str] = marks::MARKS;

    fn run(seed: u64) -> Outcome {
        run::run(&plan_of_seed(seed))
    }

    fn explain(seed: u64) -> String {
        let mut plan = plan_of_seed(seed);
        let settings = plan.clone();
        let fails = |steps: &[Step]| {
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
    plan::generate(seed, &mut Random::new(seed))
}

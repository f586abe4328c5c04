//! Plans that run the client of `roomer_proto::client` against a script instead of the real server.
//! The plan determines what the script answers and when, and whether it follows the protocol.
//!
//! | module | contents |
//! |---|---|
//! | [`plan`] | a plan as data, and its generation from a seed |
//! | [`server`] | a minimal server for both protocols, driven by the plan |
//! | `rooms` | the scripted server's rooms, with kicks, moves and other members |
//! | [`answers`] | the scripted server's handshake responses and close frames |
//! | [`hostile`] | packets and frames that violate the protocol |
//! | [`run`] | the execution of a plan: each step goes to the client or to the server, and both are checked |
//! | `finish` | the final check that the client and the server agree |
//! | [`check`] | the checks of the client's events against rules that hold for any server |
//! | `marks` | coverage marks |

pub mod answers;
pub mod check;
mod finish;
pub mod hostile;
mod marks;
pub mod plan;
mod rooms;
pub mod run;
pub mod server;

use std::fmt::Write;

use self::plan::{Plan, Step};
use crate::random::Random;
use crate::shrink::shorten;
use crate::simulation::{Outcome, Simulation};

/// The plans with a scripted server as a [`Simulation`].
pub struct ScriptedPlans;

impl Simulation for ScriptedPlans {
    const MARKS: &'static [&'static str] = marks::MARKS;

    fn run(seed: u64) -> Outcome {
        run::run(&plan_of_seed(seed))
    }

    fn explain(seed: u64) -> String {
        let plan = plan_of_seed(seed);
        let mut text = String::new();
        let _ = write!(text, "seed {seed}, {}", report(&plan));
        text
    }
}

/// Shrinks a failing plan, and returns a report about it.
pub fn report(plan: &Plan) -> String {
    let mut plan = plan.clone();
    let settings = plan.clone();
    let fails = |steps: &[Step]| {
        run::run(&Plan { steps: steps.to_vec(), ..settings.clone() }).fault.is_some()
    };
    shorten(&mut plan.steps, fails);
    let fault = run::run(&plan).fault.unwrap_or_default();
    format!("{} steps: {fault}\n{plan:#?}", plan.steps.len())
}

/// Runs a plan. If it fails, panics with a report.
pub fn must_hold(plan: &Plan) {
    assert!(run::run(plan).fault.is_none(), "{}", report(plan));
}

/// Generates the plan for a seed.
pub fn plan_of_seed(seed: u64) -> Plan {
    plan::generate(&mut Random::new(seed))
}

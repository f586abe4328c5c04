//! Plans for the client of `roomer_proto::client` without the real server: a script decides what the server
//! answers, when, and whether it keeps to the protocol.
//!
//! | module | contents |
//! |---|---|
//! | [`plan`] | a plan as data, and how a seed generates one |
//! | [`server`] | the script: the two protocols in a few lines |
//! | `rooms` | its rooms, with kicks, moves and other members |
//! | [`answers`] | its responses to handshakes and its close frames |
//! | [`hostile`] | packets and frames that break the protocol |
//! | [`run`] | gives each step to the client or to the server, and checks both |
//! | `finish` | what both must agree about in the end |
//! | [`check`] | rules that hold for the events of a client, whatever its server does |
//! | `marks` | situations that a large run has to reach |

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

/// Plans that drive a client.
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

/// Runs a plan that fails again, shrinks it, and describes it.
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

/// Runs a plan, and panics with a report if it fails.
pub fn must_hold(plan: &Plan) {
    assert!(run::run(plan).fault.is_none(), "{}", report(plan));
}

/// Generates the plan of a seed.
pub fn plan_of_seed(seed: u64) -> Plan {
    plan::generate(&mut Random::new(seed))
}

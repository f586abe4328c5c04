//! Plans for sessions of the extended protocol: clients lose their sockets and reconnect.
//!
//! They run with the real server, and a naive model of the packets that each client must receive.
//!
//! | module | contents |
//! |---|---|
//! | [`plan`], `generate` | a plan as data, and its generation from a seed |
//! | `harness` | the execution of a plan: the server, its tasks and its sockets |
//! | `device`, `socket`, `receive` | the clients: their requests, and the packets that they send and receive |
//! | `application` | handlers, hooks and `authorize`, with a log of their actions |
//! | `item` | the packets that a client must receive |
//! | `session` | the model of a session: the packets that it keeps and expects, and the tokens that resume it |
//! | `log` | the comparison of the hub's inputs and the application's actions with the model |
//! | `rejections` | the errors about rejected packets |
//! | `away` | the checks of notices about clients without a socket |
//! | `handshake` | the checks of rejected and abandoned handshakes |
//! | `lifecycle` | the checks of the times at which sessions are detached, resumed, rejected and ended |
//! | `idle` | the checks of an idle server's invariants, and the end of a plan |
//! | `marks` | coverage marks |

mod application;
mod away;
mod closed_behind;
mod device;
mod generate;
mod handshake;
mod harness;
mod idle;
mod item;
mod lifecycle;
mod log;
mod losses;
mod marks;
pub mod plan;
mod receive;
mod rejections;
mod session;
mod setup;
mod socket;

use std::fmt::Write;
use std::time::Duration;

use self::harness::Harness;
use self::plan::{Plan, Step};
use crate::fault::{self, Fault};
use crate::random::Random;
use crate::shrink::shorten;
use crate::simulation::{Outcome, Simulation};

/// The server's `handshake_timeout`.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Implements [`Simulation`] for sessions.
pub struct SessionPlans;

impl Simulation for SessionPlans {
    const MARKS: &'static [&'static str] = marks::MARKS;

    fn run(seed: u64) -> Outcome {
        run(&plan_of_seed(seed))
    }

    fn explain(seed: u64) -> String {
        explain(&plan_of_seed(seed), &format!("seed {seed}"), &format!("sessions_seed_{seed}"))
    }
}

/// Generates the plan for a seed.
pub fn plan_of_seed(seed: u64) -> Plan {
    generate::plan(&mut Random::new(seed))
}

/// Runs a plan up to its first fault.
pub fn run(plan: &Plan) -> Outcome {
    let mut harness = match Harness::new(plan) {
        Ok(harness) => harness,
        Err(Fault(what)) => return Outcome { fault: Some(what), ..Outcome::default() },
    };
    let fault = run_steps(&mut harness).map(|(_, what)| what);
    Outcome { steps: harness.steps, hash: harness.trace.hash(), marks: harness.marks.0, fault }
}

fn run_steps(harness: &mut Harness<'_>) -> Option<(usize, String)> {
    let steps = &harness.plan.steps;
    fault::run_steps(harness, steps, Harness::step, Harness::finish)
}

/// Runs a plan inside a test.
///
/// # Panics
///
/// Panics if the plan fails. The message is the report.
pub fn must_hold(plan: &Plan) {
    if let Some(fault) = run(plan).fault {
        panic!("{fault}\n{}", explain(plan, "a plan", "found"));
    }
}

/// Shrinks a failing plan and returns a report: the fault, the history, and the plan as a test.
pub fn explain(plan: &Plan, title: &str, test: &str) -> String {
    let (mut text, mut plan) = (String::new(), plan.clone());
    let before = plan.steps.len();
    if run(&plan).fault.is_some() {
        let mut other = plan.clone();
        shorten(&mut plan.steps, |steps: &[Step]| {
            other.steps = steps.to_vec();
            run(&other).fault.is_some()
        });
    }
    let _ = writeln!(text, "{title}: {before} steps, shrunk to {}", plan.steps.len());
    let mut harness = match Harness::new(&plan) {
        Ok(harness) => harness,
        Err(Fault(what)) => return text + &what,
    };
    harness.history = Some(Vec::new());
    let Some((at, what)) = run_steps(&mut harness) else {
        return text + "it does not fail again\n";
    };
    let place = plan.steps.get(at).map_or("after the last step".into(), |step| format!("{step:?}"));
    harness.history.iter().flatten().for_each(|entry| text += &format!("    {entry}\n"));
    let _ = writeln!(text, "at {:?}, {place}\nfault: {what}", harness.now());
    let _ = writeln!(text, "for tests/sessions.rs:\n\n{}", as_test(&plan, test));
    text
}

/// Returns a plan as the source text of a test that runs it.
fn as_test(plan: &Plan, name: &str) -> String {
    let mut text = format!("#[test]\nfn {name}() {{\n    sessions::must_hold(&Plan {{\n");
    let _ = writeln!(text, "        setup: {:?},\n        steps: vec![", plan.setup);
    plan.steps.iter().for_each(|step| text += &format!("            Step::{step:?},\n"));
    text + "        ],\n    });\n}\n"
}

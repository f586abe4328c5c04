//! Plans for the whole server: the real engine with in-memory sockets, checked byte by byte.
//!
//! | module | contents |
//! |---|---|
//! | [`plan`] | a plan as data |
//! | `generate`, `generate_setup`, `scenarios` | the generation of plans from seeds |
//! | `setup` | the conversion of a plan's configuration to the server's options |
//! | `harness` | the execution of a plan: the server, its tasks and its sockets |
//! | `client_side`, `traffic` | the bytes that clients send and receive |
//! | `faults` | the steps that disturb a connection |
//! | `application`, `permissions`, `hooks`, `auth_hook` | the application: handlers, rules, hooks and `authorize` |
//! | `conn_model` | the state of a connection, as far as it can be observed outside the server |
//! | `checker`, `cursor` | the check of each input to the hub against the bytes that the engine has read |
//! | `handler_log` | the comparison of application code's actions with the engine's inputs |
//! | `outputs`, `expected` | the output that the model expects, and its comparison with the server's bytes |
//! | `after_poll` | the checks of a connection's state after its task was polled |
//! | `admission`, `drain`, `flush`, `counters` | checks of connection limits, draining, large flushes and statistics |
//! | `quiescence`, `ending` | checks of an idle server's invariants, and of the end of a plan |
//! | `marks` | coverage marks |

mod admission;
mod after_poll;
mod application;
mod auth_hook;
mod checker;
mod client_side;
mod conn_model;
mod counters;
mod cursor;
mod drain;
mod ending;
pub(crate) mod expected;
mod faults;
mod flush;
mod generate;
mod generate_setup;
mod handler_log;
mod harness;
mod hooks;
mod marks;
mod outputs;
mod permissions;
pub mod plan;
mod quiescence;
mod read_ahead;
mod scenarios;
pub(crate) mod setup;
mod traffic;

use std::fmt::Write;

use self::harness::Harness;
use self::plan::{Plan, Step};
use crate::fault::{self, Fault};
use crate::random::Random;
use crate::shrink::shorten;
use crate::simulation::{Outcome, Simulation};

/// Implements [`Simulation`] for the whole server.
pub struct ServerPlans;

impl Simulation for ServerPlans {
    const MARKS: &'static [&'static str] = marks::MARKS;

    fn run(seed: u64) -> Outcome {
        run(&plan_of_seed(seed))
    }

    fn explain(seed: u64) -> String {
        explain(&plan_of_seed(seed), &format!("seed {seed}"), &format!("server_seed_{seed}"))
    }
}

/// Generates the plan for a seed.
pub fn plan_of_seed(seed: u64) -> Plan {
    generate::plan(&mut Random::new(seed))
}

/// Runs a plan.
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

/// Shrinks a failing plan and returns a report: the fault, the inputs to the hub, the bytes that
/// each connection has received, and the plan as a test.
pub fn explain(plan: &Plan, title: &str, test: &str) -> String {
    let (mut text, mut plan) = (String::new(), plan.clone());
    let before = plan.steps.len();
    shrink(&mut plan);
    let _ = writeln!(text, "{title}: {before} steps, shrunk to {}", plan.steps.len());
    let mut harness = match Harness::new(&plan) {
        Ok(harness) => harness,
        Err(Fault(what)) => return text + &what,
    };
    harness.verbose = true;
    let Some((at, what)) = run_steps(&mut harness) else {
        return text + "it does not fail again\n";
    };
    let place = plan.steps.get(at).map_or("after the last step".into(), |step| format!("{step:?}"));
    let _ = writeln!(text, "at {:?}, {place}\nfault: {what}", harness.now());
    let _ = writeln!(text, "inputs of the hub:");
    harness.history.iter().for_each(|entry| text += &format!("    {entry}\n"));
    for (at, conn) in harness.conns.iter().enumerate() {
        let (slot, state) = (conn.slot, conn.state);
        let _ = writeln!(text, "connection {at} (slot {slot}, {state:?}) received:");
        let frames = conn.expected.frame_log.iter().flatten();
        frames.for_each(|frame| text += &format!("    {frame}\n"));
        let _ = writeln!(text, "  {}", conn.expected.describe());
    }
    let _ = writeln!(text, "for tests/regressions.rs:\n\n{}", as_test(&plan, test));
    text
}

/// Returns a plan as the source text of a test that runs it.
fn as_test(plan: &Plan, name: &str) -> String {
    let Plan { setup, scripts, steps } = plan;
    let mut text = format!("#[test]\nfn {name}() {{\n    server::must_hold(&Plan {{\n");
    let _ = writeln!(text, "        setup: {setup:?},\n        scripts: vec![");
    for script in scripts {
        let (event, actions) = (script.event, &script.actions);
        let _ = write!(text, "            Script {{ event: {event:?}, ");
        let _ = writeln!(text, "actions: vec!{actions:?} }},");
    }
    let _ = writeln!(text, "        ],\n        steps: vec![");
    steps.iter().for_each(|step| text += &format!("            {step:?},\n"));
    text + "        ],\n    });\n}\n"
}

fn fails(plan: &Plan) -> bool {
    run(plan).fault.is_some()
}

fn shrink(plan: &mut Plan) {
    if !fails(plan) {
        return;
    }
    // Shrink twice, since a simpler setup may make more steps unnecessary.
    for _ in 0..2 {
        let mut other = plan.clone();
        shorten(&mut plan.steps, |steps: &[Step]| {
            other.steps = steps.to_vec();
            fails(&other)
        });
        for at in 0..plan.scripts.len() {
            let mut other = plan.clone();
            shorten(&mut plan.scripts[at].actions, |actions| {
                other.scripts[at].actions = actions.to_vec();
                fails(&other)
            });
        }
        shrink_setup(plan);
        let mut other = plan.clone();
        shorten(&mut plan.scripts, |scripts| {
            other.scripts = scripts.to_vec();
            fails(&other)
        });
    }
}

/// Removes presence rules, permission rules and the `authorize` hook if the plan still fails
/// without them.
fn shrink_setup(plan: &mut Plan) {
    let simplifications: [fn(&mut Plan); 6] = [
        |plan| plan.setup.presence_rules[0] = None,
        |plan| plan.setup.presence_rules[1] = None,
        |plan| plan.setup.authorize[0] = None,
        |plan| plan.setup.authorize[1] = None,
        |plan| plan.setup.authorize[2] = None,
        |plan| plan.setup.auth_hook = None,
    ];
    for simplify in simplifications {
        let mut other = plan.clone();
        simplify(&mut other);
        if fails(&other) {
            *plan = other;
        }
    }
}

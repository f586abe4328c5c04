//! Plans that drive sessions, outboxes and handlers byte by byte: the real engine over sockets
//! that are memory.
//!
//! | file | what it does |
//! |---|---|
//! | `plan`, `draw`, `scenes`, `talk` | a seed becomes a plan; what clients say, as bytes and as meanings |
//! | `stage`, `line`, `handlers`, `rules`, `hooks` | the plan is carried out: server, sockets, application |
//! | `court` | each input that the engine gives its hub is held against what it has read |
//! | `acts` | what handlers and holders of handles did, and what the engine made of it |
//! | `caps`, `door` | how many may come, from where, and whom the application lets in |
//! | `drain` | the end of a server, one after the other |
//! | `flushes` | large flushes, which several hands write |
//! | `turn` | what a connection's own turn must have led to |
//! | `due` | each byte that it sends is held against what the model says is due |
//! | `counts` | what the server counts |
//! | `rest` | what must be true at rest, when all is quiet, and when all is over |
//! | `marks` | the situations that a large run has to get into |

mod acts;
mod caps;
mod counts;
mod court;
mod cursor;
mod door;
mod drain;
mod draw;
mod due;
mod flushes;
mod handlers;
mod hooks;
mod line;
mod marks;
pub mod plan;
mod rest;
mod rules;
mod scenes;
mod setup;
mod stage;
mod talk;
mod turn;

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use self::plan::{Plan, Step};
use self::stage::Stage;
use crate::fault::Fault;
use crate::random::Random;
use crate::shrink::shorten;
use crate::simulation::{Outcome, Simulation};

/// Plans that drive the whole server.
pub struct Full;

impl Simulation for Full {
    const MARKS: &'static [&'static str] = marks::MARKS;

    fn run(seed: u64) -> Outcome {
        run(&drawn(seed))
    }

    fn explain(seed: u64) -> String {
        explain(&drawn(seed), &format!("seed {seed}"), &format!("full_seed_{seed}"))
    }
}

/// The plan of a seed.
pub fn drawn(seed: u64) -> Plan {
    draw::plan(&mut Random::new(seed))
}

pub fn run(plan: &Plan) -> Outcome {
    let mut stage = match Stage::new(plan) {
        Ok(stage) => stage,
        Err(Fault(what)) => return Outcome { fault: Some(what), ..Outcome::default() },
    };
    let fault = fault_of(&mut stage, plan.steps.len()).map(|(_, what)| what);
    Outcome { steps: stage.steps, hash: stage.trace.hash(), marks: stage.seen.0, fault }
}

/// Carries out a plan. The step that failed, if one did, and why.
fn fault_of(stage: &mut Stage<'_>, all: usize) -> Option<(usize, String)> {
    let mut at = 0;
    let result = catch_unwind(AssertUnwindSafe(|| {
        for step in &stage.plan.steps {
            stage.step(step)?;
            at += 1;
        }
        at = all;
        stage.quiet()
    }));
    match result {
        Ok(Ok(())) => None,
        Ok(Err(Fault(what))) => Some((at, what)),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Some((at, format!("a panic: {}", text.unwrap_or_default())))
        }
    }
}

/// Runs a plan as a test does.
///
/// # Panics
///
/// When the plan fails, with the report.
pub fn must_hold(plan: &Plan) {
    if let Some(fault) = run(plan).fault {
        panic!("{fault}\n{}", explain(plan, "a plan", "found"));
    }
}

/// Shrinks a plan that fails and tells all about it.
pub fn explain(plan: &Plan, title: &str, test: &str) -> String {
    let (mut text, mut plan) = (String::new(), plan.clone());
    let before = plan.steps.len();
    shrink(&mut plan);
    let _ = writeln!(text, "{title}: {before} steps, shrunk to {}", plan.steps.len());
    let mut stage = match Stage::new(&plan) {
        Ok(stage) => stage,
        Err(Fault(what)) => return text + &what,
    };
    stage.tells = true;
    let Some((at, what)) = fault_of(&mut stage, plan.steps.len()) else {
        return text + "it does not fail any more\n";
    };
    let place = plan.steps.get(at).map_or("when all is quiet".into(), |step| format!("{step:?}"));
    let _ = writeln!(text, "at {:?}, {place}\nfault: {what}", stage.now());
    let _ = writeln!(text, "what the engine gave its hub:");
    stage.history.iter().for_each(|entry| text += &format!("    {entry}\n"));
    for (at, line) in stage.lines.iter().enumerate() {
        let (slot, state) = (line.slot, line.state);
        let _ = writeln!(text, "connection {at} (slot {slot}, {state:?}) was sent:");
        line.due.heard.iter().flatten().for_each(|frame| text += &format!("    {frame}\n"));
        let _ = writeln!(text, "  {}", line.due.words());
    }
    let _ = writeln!(text, "for tests/sim_regressions.rs:\n\n{}", as_test(&plan, test));
    text
}

/// A plan as the text of a test that runs it.
fn as_test(plan: &Plan, name: &str) -> String {
    let Plan { setup, scripts, steps } = plan;
    let mut text = format!("#[test]\nfn {name}() {{\n    full::must_hold(&Plan {{\n");
    let _ = writeln!(text, "        setup: {setup:?},\n        scripts: vec![");
    for script in scripts {
        let (event, does) = (script.event, &script.does);
        let _ = writeln!(text, "            Script {{ event: {event:?}, does: vec!{does:?} }},");
    }
    let _ = writeln!(text, "        ],\n        steps: vec![");
    steps.iter().for_each(|step| text += &format!("            {step:?},\n"));
    text + "        ],\n    });\n}\n"
}

fn shrink(plan: &mut Plan) {
    fn fails(plan: &Plan) -> bool {
        run(plan).fault.is_some()
    }
    if !fails(plan) {
        return;
    }
    for _ in 0..2 {
        let mut other = plan.clone();
        shorten(&mut plan.steps, |steps: &[Step]| {
            other.steps = steps.to_vec();
            fails(&other)
        });
        for at in 0..plan.scripts.len() {
            let mut other = plan.clone();
            shorten(&mut plan.scripts[at].does, |does| {
                other.scripts[at].does = does.to_vec();
                fails(&other)
            });
        }
        for at in 0..plan.setup.memberships.len() {
            let mut other = plan.clone();
            other.setup.memberships[at] = None;
            if fails(&other) {
                *plan = other;
            }
        }
        for at in 0..plan.setup.asks.len() {
            let mut other = plan.clone();
            other.setup.asks[at] = None;
            if fails(&other) {
                *plan = other;
            }
        }
        let mut other = plan.clone();
        other.setup.door = None;
        if fails(&other) {
            *plan = other;
        }
        let mut other = plan.clone();
        shorten(&mut plan.scripts, |scripts| {
            other.scripts = scripts.to_vec();
            fails(&other)
        });
    }
}

//! The hub plans as a [`Simulation`], and reports about failing plans.

use std::fmt::Write;

use super::display;
use super::generate;
use super::marks::MARKS;
use super::plan::{
    Address, ClientRef, DEFAULT_LIMITS, DEFAULT_RATES, Ending, Mode, Payload, Plan, Step,
};
use super::run::Run;
use crate::fault::Fault;
use crate::random::Random;
use crate::shrink::{shorten, simplify};
use crate::simulation::{Outcome, Simulation};

/// Implements [`Simulation`] for the pure hub.
pub struct HubPlans;

impl Simulation for HubPlans {
    const MARKS: &'static [&'static str] = MARKS;

    fn run(seed: u64) -> Outcome {
        run(&plan_of_seed(seed))
    }

    fn explain(seed: u64) -> String {
        explain(&plan_of_seed(seed), &format!("seed {seed}"), &format!("seed_{seed}"))
    }
}

/// Generates the plan for a seed.
pub fn plan_of_seed(seed: u64) -> Plan {
    generate::plan(&mut Random::new(seed))
}

/// Runs a plan.
pub fn run(plan: &Plan) -> Outcome {
    run_with(plan, |run| run.marks().0)
}

/// Runs a plan. `marks` extracts the reached marks from the run.
pub fn run_with(plan: &Plan, marks: impl Fn(&Run<'_>) -> u128) -> Outcome {
    match Run::new(plan) {
        Ok(mut run) => {
            let fault = run.run_to_end().err().map(|Fault(what)| what);
            Outcome { steps: run.steps, hash: run.hash(), marks: marks(&run), fault }
        }
        Err(Fault(what)) => Outcome { fault: Some(what), ..Outcome::default() },
    }
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

/// Shrinks a failing plan and returns a report: the fault, the input that caused it, the expected
/// and the actual actions, and the plan as a test.
pub fn explain(plan: &Plan, title: &str, test: &str) -> String {
    let (mut text, mut plan) = (String::new(), plan.clone());
    let before = plan.steps.len();
    shrink(&mut plan);
    let _ = writeln!(text, "{title}: {before} steps, shrunk to {}", plan.steps.len());
    let Some(mut run) = strict_run(&plan) else { return text + "the run does not start\n" };
    // Log actions only for the report, since this would slow down other runs.
    run.checked.checker.log = Some(Vec::new());
    let Err(Fault(what)) = run.run_to_end() else { return text + "it does not fail again\n" };
    let _ = writeln!(text, "fault: {what}");
    if let Some((op, step)) = run.last {
        let place = step.map_or("after the last step".into(), |step| format!("at step {step}"));
        let _ = writeln!(text, "{place}: {}", display::op(&op));
    }
    let checker = &run.checked.checker;
    let _ = writeln!(text, "expected:");
    for expected in &checker.model.effects {
        let _ = writeln!(text, "    {}", display::effect(expected));
    }
    let _ = writeln!(text, "actual, up to the fault:");
    for action in checker.log.iter().flatten() {
        let _ = writeln!(text, "    {action}");
    }
    let _ = writeln!(text, "for tests/regressions.rs:\n\n{}", as_test(&plan, test));
    text
}

/// Returns a plan as the source text of a test that runs it.
pub fn as_test(plan: &Plan, name: &str) -> String {
    let Plan { mode, max_name, max_rooms, handlers, steps, ending, key, .. } = plan;
    let Plan { authorize, answers, answer_delay, presence_rules, rates, shared_room_only, .. } =
        plan;
    let mut text = format!("#[test]\nfn {name}() {{\n    must_hold(&Plan {{\n");
    let _ = writeln!(text, "        mode: Mode::{mode:?},");
    let _ = writeln!(text, "        max_name: {max_name},\n        max_rooms: {max_rooms},");
    let _ = writeln!(text, "        rates: {rates:?},");
    let _ = writeln!(text, "        shared_room_only: {shared_room_only},");
    let _ = writeln!(text, "        ending: Ending::{ending:?},\n        key: {key},");
    let _ = writeln!(text, "        authorize: {authorize:?},\n        answers: {answers},");
    let _ = writeln!(text, "        answer_delay: {answer_delay},");
    let _ = writeln!(text, "        presence_rules: vec![");
    for (pattern, presence) in presence_rules {
        let _ = writeln!(text, "            ({pattern:?}, Presence::{presence:?}),");
    }
    let _ = writeln!(text, "        ],\n        handlers: vec![");
    for handler in handlers {
        let (event, commands) = (handler.event, &handler.commands);
        let _ = write!(text, "            Handler {{ event: {event:?}, ");
        let _ = writeln!(text, "commands: vec!{commands:?} }},");
    }
    let _ = writeln!(text, "        ],\n        steps: vec![");
    for step in steps {
        let _ = writeln!(text, "            {step:?},");
    }
    text + "        ],\n    });\n}\n"
}

/// Creates a run that audits the tables after every input, so that a fault is found where it is
/// caused.
fn strict_run(plan: &Plan) -> Option<Run<'_>> {
    let mut run = Run::new(plan).ok()?;
    run.audit_interval = 1;
    Some(run)
}

fn fails(plan: &Plan) -> bool {
    strict_run(plan).is_none_or(|mut run| run.run_to_end().is_err())
}

fn shrink(plan: &mut Plan) {
    if !fails(plan) {
        return;
    }
    // Shrink twice, since a simpler setup may make more steps unnecessary.
    for _ in 0..2 {
        shrink_lists(plan);
        shrink_setup(plan);
        let mut other = plan.clone();
        simplify(&mut plan.steps, simpler_steps, |steps| {
            other.steps = steps.to_vec();
            fails(&other)
        });
    }
}

/// Removes steps, handlers and handlers' commands without which the plan still fails.
fn shrink_lists(plan: &mut Plan) {
    let mut other = plan.clone();
    shorten(&mut plan.steps, |steps| {
        other.steps = steps.to_vec();
        fails(&other)
    });
    let mut other = plan.clone();
    shorten(&mut plan.handlers, |handlers| {
        other.handlers = handlers.to_vec();
        fails(&other)
    });
    for at in 0..plan.handlers.len() {
        let mut other = plan.clone();
        shorten(&mut plan.handlers[at].commands, |commands| {
            other.handlers[at].commands = commands.to_vec();
            fails(&other)
        });
    }
}

/// Sets each option to its default, if the plan still fails then.
fn shrink_setup(plan: &mut Plan) {
    let simplifications: [fn(&mut Plan); 14] = [
        |plan| plan.rates = DEFAULT_RATES,
        |plan| plan.rates[0] = None,
        |plan| plan.rates[1] = None,
        |plan| plan.rates[2] = None,
        |plan| plan.shared_room_only = false,
        |plan| plan.presence_rules.clear(),
        |plan| plan.authorize = [false; 3],
        |plan| plan.answers = 255,
        |plan| plan.answer_delay = 0,
        |plan| plan.key = 0,
        |plan| plan.mode = Mode::Default,
        |plan| plan.max_name = DEFAULT_LIMITS.0,
        |plan| plan.max_rooms = DEFAULT_LIMITS.1,
        |plan| plan.ending = Ending::Gone,
    ];
    for simplify in simplifications {
        let mut other = plan.clone();
        simplify(&mut other);
        if fails(&other) {
            *plan = other;
        }
    }
}

/// Returns simpler steps that may replace a step, the simplest first.
fn simpler_steps(step: &Step) -> Vec<Step> {
    let mut found = Vec::new();
    let mut add = |other: Step| {
        if other != *step {
            found.push(other);
        }
    };
    let empty = Payload(0, 0);
    match *step {
        Step::OpenAs { slot, .. } => add(Step::Open { slot }),
        Step::Packet { client, room, event, dst, src, payload } => {
            add(Step::Packet { client, room, event, dst: Address::Nothing, src, payload });
            add(Step::Packet { client, room, event, dst, src: Address::Nothing, payload });
            add(Step::Packet { client, room, event, dst, src, payload: empty });
            if !matches!(event, "join" | "leave" | "chat") {
                add(Step::Packet { client, room, event: "chat", dst, src, payload });
            }
            add(Step::Packet { client, room: "root", event, dst, src, payload });
        }
        Step::Broadcast { from, except, room, event, payload } => {
            add(Step::Broadcast { from: None, except: None, room, event, payload });
            add(Step::Broadcast { from, except: from, room, event, payload });
            add(Step::Broadcast { from, except, room, event, payload: empty });
            add(Step::Broadcast { from, except, room: "root", event, payload });
            add(Step::Broadcast { from, except, room, event: "chat", payload });
        }
        Step::Send { from, dst, event, payload } => {
            add(Step::Send { from: None, dst, event, payload });
            add(Step::Send { from, dst, event, payload: empty });
            add(Step::Send { from, dst, event: "chat", payload });
        }
        Step::Join { client, room } => {
            let nothing = Address::Nothing;
            let (dst, src, payload) = (nothing, nothing, empty);
            add(Step::Packet { client, room, event: "join", dst, src, payload });
        }
        Step::Leave { client, room } => {
            let nothing = Address::Nothing;
            let (dst, src, payload) = (nothing, nothing, empty);
            add(Step::Packet { client, room, event: "leave", dst, src, payload });
        }
        Step::Close { client, .. } => add(Step::Close { client, code: 1000, reason: "" }),
        Step::PeerBroadcast { peer, room, event, dst, src, payload, .. } => {
            let (except, nothing) = (Address::Nothing, Address::Nothing);
            add(Step::PeerBroadcast { peer, except, room, event, dst, src, payload });
            add(Step::PeerBroadcast {
                peer,
                except,
                room,
                event,
                dst: nothing,
                src: nothing,
                payload: empty,
            });
        }
        Step::GuestJoined { peer, guest, .. } => {
            add(Step::GuestJoined { peer, room: "root", guest });
        }
        Step::Gone { client: ClientRef::Numbered(number) } if number > 0 => {
            add(Step::Gone { client: ClientRef::Numbered(number / 2) });
        }
        _ => {}
    }
    found
}

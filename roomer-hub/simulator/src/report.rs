//! Plans as a simulation, and the report on one that fails.

use std::fmt::Write;

use super::draw;
use super::fault::Fault;
use super::marks::MARKS;
use super::plan::{Address, Ending, LIMITS, PACES, Payload, Plan, Rules, Step, Who};
use super::random::Random;
use super::run::Run;
use super::show;
use super::shrink::{shorten, simplify};
use super::simulation::{Outcome, Simulation};

/// Plans that drive the hub.
pub struct Plans;

impl Simulation for Plans {
    const MARKS: &'static [&'static str] = MARKS;

    fn run(seed: u64) -> Outcome {
        run(&drawn(seed))
    }

    fn explain(seed: u64) -> String {
        explain(&drawn(seed), &format!("seed {seed}"), &format!("seed_{seed}"))
    }
}

/// The plan of a seed.
pub fn drawn(seed: u64) -> Plan {
    draw::plan(&mut Random::new(seed))
}

pub fn run(plan: &Plan) -> Outcome {
    match Run::new(plan) {
        Ok(mut run) => {
            let fault = run.all().err().map(|Fault(what)| what);
            Outcome { steps: run.steps, hash: run.hash(), marks: run.marks().0, fault }
        }
        Err(Fault(what)) => Outcome { fault: Some(what), ..Outcome::default() },
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
    let Some(mut run) = closely(&plan) else { return text + "it does not even begin\n" };
    run.court.bench.told = Some(Vec::new());
    let Err(Fault(what)) = run.all() else { return text + "it does not fail any more\n" };
    let _ = writeln!(text, "fault: {what}");
    if let Some((op, step)) = run.last {
        let place = step.map_or("when all is quiet".into(), |step| format!("at step {step}"));
        let _ = writeln!(text, "{place}: {}", show::op(&op));
    }
    let bench = &run.court.bench;
    let _ = writeln!(text, "what was due:");
    for due in &bench.model.due {
        let _ = writeln!(text, "    {}", show::effect(due));
    }
    let _ = writeln!(text, "what was done, up to the fault:");
    for told in bench.told.iter().flatten() {
        let _ = writeln!(text, "    {told}");
    }
    let _ = writeln!(text, "for tests/sim_regressions.rs:\n\n{}", as_test(&plan, test));
    text
}

/// A plan as the text of a test that runs it.
pub fn as_test(plan: &Plan, name: &str) -> String {
    let Plan { rules, max_name, max_rooms, handlers, steps, ending, key, .. } = plan;
    let Plan { asks, answers, late, memberships, paces, shared_room_only, .. } = plan;
    let mut text = format!("#[test]\nfn {name}() {{\n    must_hold(&Plan {{\n");
    let _ = writeln!(text, "        rules: Rules::{rules:?},");
    let _ = writeln!(text, "        max_name: {max_name},\n        max_rooms: {max_rooms},");
    let _ =
        writeln!(text, "        paces: {paces:?},\n        shared_room_only: {shared_room_only},");
    let _ = writeln!(text, "        ending: Ending::{ending:?},\n        key: {key},");
    let _ = writeln!(text, "        asks: {asks:?},\n        answers: {answers},");
    let _ = writeln!(text, "        late: {late},\n        memberships: vec![");
    for (pattern, presence) in memberships {
        let _ = writeln!(text, "            ({pattern:?}, Presence::{presence:?}),");
    }
    let _ = writeln!(text, "        ],\n        handlers: vec![");
    for handler in handlers {
        let (event, does) = (handler.event, &handler.does);
        let _ = writeln!(text, "            Handler {{ event: {event:?}, does: vec!{does:?} }},");
    }
    let _ = writeln!(text, "        ],\n        steps: vec![");
    for step in steps {
        let _ = writeln!(text, "            {step:?},");
    }
    text + "        ],\n    });\n}\n"
}

/// A run that looks round after every step, so that a fault shows where it comes about.
fn closely(plan: &Plan) -> Option<Run<'_>> {
    let mut run = Run::new(plan).ok()?;
    run.round = 1;
    Some(run)
}

fn shrink(plan: &mut Plan) {
    fn fails(plan: &Plan) -> bool {
        closely(plan).is_none_or(|mut run| run.all().is_err())
    }
    if !fails(plan) {
        return;
    }
    for _ in 0..2 {
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
            shorten(&mut plan.handlers[at].does, |does| {
                other.handlers[at].does = does.to_vec();
                fails(&other)
            });
        }
        let simpler: [fn(&mut Plan); 14] = [
            |plan| plan.paces = PACES,
            |plan| plan.paces[0] = None,
            |plan| plan.paces[1] = None,
            |plan| plan.paces[2] = None,
            |plan| plan.shared_room_only = false,
            |plan| plan.memberships.clear(),
            |plan| plan.asks = [false; 3],
            |plan| plan.answers = 255,
            |plan| plan.late = 0,
            |plan| plan.key = 0,
            |plan| plan.rules = Rules::Default,
            |plan| plan.max_name = LIMITS.0,
            |plan| plan.max_rooms = LIMITS.1,
            |plan| plan.ending = Ending::Gone,
        ];
        for simpler in simpler {
            let mut other = plan.clone();
            simpler(&mut other);
            if fails(&other) {
                *plan = other;
            }
        }
        let mut other = plan.clone();
        simplify(&mut plan.steps, plainer, |steps| {
            other.steps = steps.to_vec();
            fails(&other)
        });
    }
}

/// What may stand for a step, the plainest first.
fn plainer(step: &Step) -> Vec<Step> {
    let mut found = Vec::new();
    let mut add = |other: Step| {
        if other != *step {
            found.push(other);
        }
    };
    let empty = Payload(0, 0);
    match *step {
        Step::OpenAs { slot, .. } => add(Step::Open { slot }),
        Step::Packet { who, room, event, dst, src, payload } => {
            add(Step::Packet { who, room, event, dst: Address::Nothing, src, payload });
            add(Step::Packet { who, room, event, dst, src: Address::Nothing, payload });
            add(Step::Packet { who, room, event, dst, src, payload: empty });
            if !matches!(event, "join" | "leave" | "chat") {
                add(Step::Packet { who, room, event: "chat", dst, src, payload });
            }
            add(Step::Packet { who, room: "root", event, dst, src, payload });
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
        Step::Join { who, room } => {
            let nothing = Address::Nothing;
            let (dst, src, payload) = (nothing, nothing, empty);
            add(Step::Packet { who, room, event: "join", dst, src, payload });
        }
        Step::Leave { who, room } => {
            let nothing = Address::Nothing;
            let (dst, src, payload) = (nothing, nothing, empty);
            add(Step::Packet { who, room, event: "leave", dst, src, payload });
        }
        Step::Close { who, .. } => add(Step::Close { who, code: 1000, reason: "" }),
        Step::Gone { who: Who::Ever(number) } if number > 0 => {
            add(Step::Gone { who: Who::Ever(number / 2) });
        }
        _ => {}
    }
    found
}

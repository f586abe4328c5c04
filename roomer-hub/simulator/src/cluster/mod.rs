//! Plans for several nodes: real hubs and cluster machines over a model of a broker, in virtual time.
//!
//! | module | contents |
//! |---|---|
//! | [`plan`], `generate` | a plan as data, and how a seed generates one |
//! | `conversation` | plans in which several nodes speak while the homes of rooms change |
//! | `world`, `ops`, `actions` | run a plan: nodes, broker, clients |
//! | `receive` | what clients receive |
//! | `node` | one node: a real hub and a real machine |
//! | `broker` | the model of a broker: delays, losses, repetitions, partitions |
//! | `client` | what a client can check of what it receives; it keeps a list of what it has to receive |
//! | `pairs` | which nodes had trouble with each other, and which may therefore lose each other |
//! | `finish` | the end of a plan: all nodes agree, and every message arrives |
//! | `infos` | extended clients, which see the info of members |
//! | `order` | rooms with one order on all nodes |
//! | `users` | clients that return to another node, and commands about users |
//! | `marks` | situations that a large run has to reach |

mod actions;
mod broker;
mod client;
mod conversation;
mod expected;
mod finish;
mod generate;
mod infos;
mod marks;
mod node;
mod ops;
mod order;
mod pairs;
pub mod plan;
mod receive;
mod users;
mod world;

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use self::plan::{Op, Plan};
use self::world::World;
use crate::fault::{Fault, panic_message};
use crate::shrink::shorten;
use crate::simulation::{Outcome, Simulation};

/// Plans for clusters.
pub struct ClusterPlans;

impl Simulation for ClusterPlans {
    const MARKS: &'static [&'static str] = marks::MARKS;

    fn run(seed: u64) -> Outcome {
        run(&generate::plan(seed))
    }

    fn explain(seed: u64) -> String {
        explain(&generate::plan(seed), seed)
    }
}

/// Runs a plan.
pub fn run(plan: &Plan) -> Outcome {
    let mut world = World::new(plan);
    let result = catch_unwind(AssertUnwindSafe(|| {
        world.start()?;
        for op in &plan.ops {
            world.step(*op)?;
            world.check()?;
        }
        world.finish()
    }));
    let fault = match result {
        Ok(Ok(())) => None,
        Ok(Err(Fault(what))) => Some(what),
        Err(panic) => Some(panic_message(&*panic)),
    };
    let steps = world.steps + world.nodes.iter().map(|node| node.steps).sum::<u64>();
    Outcome { steps, hash: world.trace.hash(), marks: world.marks.0, fault }
}

/// Shrinks a plan that fails, and returns it as a test.
fn explain(plan: &Plan, seed: u64) -> String {
    let mut plan = plan.clone();
    let fails = |ops: &[Op]| {
        let plan = Plan { setup: plan.setup, ops: ops.to_vec() };
        run(&plan).fault.is_some()
    };
    let mut ops = plan.ops.clone();
    shorten(&mut ops, fails);
    plan.ops = ops;
    let mut text = String::new();
    let fault = run(&plan).fault.unwrap_or_else(|| "none after shrinking".into());
    let _ = writeln!(text, "#[test]\nfn cluster_seed_{seed}() {{\n    // {fault}");
    let _ = writeln!(text, "    must_hold(Plan {{ setup: {:?}, ops: vec![", plan.setup);
    for op in &plan.ops {
        let _ = writeln!(text, "        Op::{op:?},");
    }
    text.push_str("    ] });\n}\n");
    text
}

/// Runs a plan inside a test.
///
/// # Panics
///
/// If the plan fails.
pub fn must_hold(plan: &Plan) {
    if let Some(fault) = run(plan).fault {
        panic!("{fault}");
    }
}

//! Plans for clusters: real hubs and cluster state machines over a model of a broker.
//!
//! They run in virtual time.
//!
//! | module | contents |
//! |---|---|
//! | [`plan`], `generate` | a plan as data, and its generation from a seed |
//! | `conversation` | plans with constant traffic while the rooms' homes move |
//! | `world`, `ops`, `actions` | the execution of a plan, with its nodes, broker and clients |
//! | `receive` | the passing of packets to the clients that receive them |
//! | `node` | one node: a real hub and a real cluster state machine |
//! | `broker` | a model of a broker with delays, losses, duplicates and partitions |
//! | `client`, `expected` | checks of received packets, and the messages that must still arrive |
//! | `pairs` | the disturbances between pairs of nodes, which may excuse a loss or a death |
//! | `finish` | the final checks: all nodes agree, and every message arrives |
//! | `infos` | members' info, which extended clients receive |
//! | `order` | ordered rooms, whose messages arrive in the same order on all nodes |
//! | `users` | clients that reconnect to another node, and commands that address users |
//! | `marks` | coverage marks |

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

use self::plan::{Op, Plan};
use self::world::World;
use crate::fault::{Fault, caught};
use crate::shrink::shorten;
use crate::simulation::{Outcome, Simulation};

/// The cluster plans as a [`Simulation`].
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
    let result = caught(|| {
        world.start()?;
        for op in &plan.ops {
            world.step(*op)?;
            world.check()?;
        }
        world.finish()
    });
    let fault = result.err().map(|Fault(what)| what);
    let steps = world.steps + world.nodes.iter().map(|node| node.steps).sum::<u64>();
    Outcome { steps, hash: world.trace.hash(), marks: world.marks.0, fault }
}

/// Shrinks a failing plan, and returns it as the source text of a test.
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
/// Panics if the plan fails.
pub fn must_hold(plan: &Plan) {
    if let Some(fault) = run(plan).fault {
        panic!("{fault}");
    }
}

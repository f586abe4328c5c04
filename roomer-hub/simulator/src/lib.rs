//! The simulator: seeded plans drive the real hub, judged after every single input.
//!
//! | file | what it does |
//! |---|---|
//! | `random`, `names`, `plan`, `draw` | a seed becomes a plan: a list of steps, as data |
//! | `op`, `model`, `bucket`, `clients` | the judges: what the rules say, what clients can know |
//! | `judge`, `tables`, `run` | a plan is carried out, hub and judges side by side |
//! | `marks`, `sight` | the situations that a large run has to get into |
//! | `shrink`, `report` | a plan that fails becomes short, and a test |
//! | `explore` | every order of few steps instead of random ones |
//! | `runner` | many seeds, on all cores |
//!
//! `cargo run --release -p roomer-hub --example sim`, `tests/sim.rs` and the fuzz targets share it.
#![allow(
    missing_docs,
    unreachable_pub,
    reason = "unpublished: its items serve its own tests, the fuzz targets and `sim`"
)]

pub mod bucket;
pub mod clients;
pub mod draw;
pub mod explore;
pub mod fault;
pub mod full;
pub mod judge;
pub mod marks;
pub mod model;
pub mod names;
pub mod op;
pub mod plan;
pub mod random;
pub mod report;
pub mod run;
pub mod runner;
pub mod show;
pub mod shrink;
pub mod sight;
pub mod simulation;
pub mod tables;
pub mod trace;

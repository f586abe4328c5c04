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

pub(crate) mod bucket;
pub(crate) mod clients;
pub(crate) mod draw;
pub(crate) mod explore;
pub(crate) mod fault;
pub(crate) mod judge;
pub(crate) mod marks;
pub(crate) mod model;
pub(crate) mod names;
pub(crate) mod op;
pub(crate) mod plan;
pub(crate) mod random;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod runner;
pub(crate) mod show;
pub(crate) mod shrink;
pub(crate) mod sight;
pub(crate) mod simulation;
pub(crate) mod tables;
pub(crate) mod trace;

//! Tests of the simulator, in one program, so that only one must be compiled and linked.
#![allow(clippy::unwrap_used, reason = "test helpers")]

mod client;
mod cluster;
mod cluster_finish;
mod cluster_homes;
mod cluster_order;
mod guests;
mod members;
mod program;
mod regressions;
mod requests;
mod scripted;
mod sessions;

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
mod session_deadlines;
mod session_polls;
mod sessions;

use roomer_hub::cluster::Loss;
use roomer_simulator::cluster::plan::Setup;

/// The usual setup of a cluster whose rooms have one order.
const ORDERED: Setup = Setup {
    seed: 1,
    nodes: 3,
    max_delay: 10,
    repeated: 0,
    late_interest: 0,
    journal_bytes: 1 << 20,
    journal_ms: 10_000,
    backlog_bytes: 4 << 20,
    held_bytes: 1 << 20,
    max_payload: 1 << 20,
    has_order: true,
    has_info: false,
    has_away: false,
    shares_tag: false,
    loss: Loss::Rejoin,
};

//! Runs the conformance suite's cases over a cluster of two nodes, one on tokio and one on smol.
//! Each test's clients connect to the nodes in turn.
//!
//! Cases about guarantees that apply only to clients of the same node are excluded: the same order
//! for all of a room's members, and handlers that act before a sender's next request.
#![allow(clippy::unwrap_used, reason = "test helpers")]

#[allow(dead_code, reason = "the other cluster tests use the rest")]
#[path = "cluster/nodes.rs"]
mod nodes;
#[path = "cluster/tap.rs"]
mod tap;
#[path = "cluster_cases/test_server.rs"]
mod test_server;

#[path = "cases/direct.rs"]
mod direct;
#[path = "cases/joining.rs"]
mod joining;
#[allow(dead_code, reason = "other cases use the rest")]
#[path = "cases/members.rs"]
mod members;
#[path = "cases/names.rs"]
mod names;
#[path = "cases/packets.rs"]
mod packets;
#[path = "cases/rules.rs"]
mod rules;

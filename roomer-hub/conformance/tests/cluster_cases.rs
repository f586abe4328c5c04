//! Runs the cases of the conformance suite on a cluster of two nodes, one on tokio and one on smol.
//! The clients of each test connect to the nodes in turn.
//!
//! Some guarantees apply only to clients of the same node, and their cases are excluded: that all
//! members of a room receive messages in the same order, and that handlers act before the sender's
//! next request.

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
mod test_server;

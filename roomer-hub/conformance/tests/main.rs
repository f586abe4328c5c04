//! Tests of clusters, and tests that do not depend on an adapter.
//!
//! They are in one program, so that only one must be compiled and linked.
#![allow(clippy::unwrap_used, reason = "test helpers")]

mod cluster;
mod cluster_cases;
mod cluster_losses;
mod kit;
mod port;

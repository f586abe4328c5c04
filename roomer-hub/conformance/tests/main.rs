//! Tests of clusters, and of what does not depend on an adapter, in one program, so that only one must be
//! compiled and linked.
#![allow(clippy::unwrap_used, reason = "test helpers")]

mod cluster;
mod cluster_cases;
mod cluster_losses;
mod kit;

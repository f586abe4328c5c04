//! The simulator: plans from seeds drive the real hub or server, with checks after every step.
//!
//! A plan is plain data, and its run uses no randomness. A plan that fails can therefore be shrunk
//! and kept as a test. README.md describes the checks.
//!
//! | module | contents |
//! |---|---|
//! | [`hub`] | plans for the pure hub, checked after each input |
//! | [`members`] | plans for a hub with extended and plain members |
//! | [`client`] | plans for the client against the whole server |
//! | [`cluster`] | plans for several nodes, connected by a model of a broker |
//! | [`scripted`] | plans for the client against a scripted server |
//! | [`server`] | plans for the whole server, checked byte by byte |
//! | [`sessions`] | plans for sessions that outlive their sockets |
//! | [`runner`] | the parallel execution of many seeds |
//! | [`simulation`] | the trait that the runner uses to run a seed and explain a failure |
//! | [`random`] | the source of the choices in a plan: a seed, or a fuzzer's bytes |
//! | [`shrink`] | delta debugging, which makes failing plans short and simple |
//! | `coverage` | coverage marks: situations that a large run must reach |
//! | [`alphabet`] | the names, ids and payloads that plans use |
//! | [`trace`] | a hash of all output |
//! | [`fault`] | the results of failed checks |
//!
//! The binary `sim`, the tests and the fuzz targets share these modules.
#![allow(
    missing_docs,
    unreachable_pub,
    reason = "unpublished: its items serve its own tests, the fuzz targets and `sim`"
)]

pub mod alphabet;
#[cfg(feature = "all-plans")]
pub mod client;
#[cfg(feature = "all-plans")]
pub mod cluster;
mod coverage;
pub mod fault;
pub mod hub;
#[cfg(feature = "all-plans")]
pub mod members;
pub mod random;
#[cfg(feature = "all-plans")]
pub mod requests;
#[cfg(feature = "all-plans")]
pub mod runner;
pub mod scripted;
#[cfg(feature = "all-plans")]
pub mod server;
#[cfg(feature = "all-plans")]
pub mod sessions;
pub mod shrink;
pub mod simulation;
pub mod trace;

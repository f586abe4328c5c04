//! The conformance suite, which every adapter must pass over real sockets.
//!
//! It tests the rules of the wire protocol and the guarantees in the documentation.
//!
//! `tests/tokio.rs`, `tests/smol.rs` and their variants for streams include this file as a module
//! and implement [`Harness`], so that every test runs on every adapter and transport. Cases that do
//! not depend on the transport are in `socket_only.rs`, and do not run over streams. The client
//! side is in the library: it shares no code with the server under test, and can violate any rule.
//! To show that a packet does *not* arrive, a test sends another packet after it, which must be
//! received next.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "test helpers: clippy.toml exempts only the test functions"
)]

use std::net::SocketAddr;

use roomer_engine::Server;

pub(crate) mod test_server;

mod admission;
mod alone;
mod burst;
mod churn;
mod closing;
mod connection_lifecycle;
mod control;
mod drain;
mod fairness;
mod fragments;
mod frames;
mod handshake;
mod hooks;
mod hostile;
mod independent;
mod limits;
mod load;
pub(crate) mod members;
pub(crate) mod memory;
mod order;
mod proxy;
mod recorded;
pub(crate) mod rules_async;
mod sending;
mod shutdown;
pub(crate) mod slow;
mod timers;
mod waiting;

pub(crate) use independent::converse;

/// A server that runs on the adapter under test.
pub(crate) trait Harness: Send + Sized + 'static {
    /// The number of connections in the load test. The number of messages is the same.
    const CROWD: usize = 1000;

    /// Serves on a free port of 127.0.0.1, with two threads.
    fn start(server: Server) -> Self;

    /// Returns the address at which the adapter listens.
    fn addr(&self) -> SocketAddr;

    /// Completes the future `stop` that was passed to `serve_until`. Returns after `serve_until`
    /// has returned.
    fn stop(self);
}

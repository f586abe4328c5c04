//! The conformance suite of all adapters, over real sockets: the rules of the wire protocol and of the
//! contract.
//!
//! `tests/tokio.rs`, `tests/smol.rs` and their variants for streams include this folder as a module and
//! implement [`Harness`]. So every test here runs on every adapter, and none can be forgotten. The
//! client side is in the library: it shares no code with the server under test and can violate any
//! rule. To show that something does *not* arrive, a test sends something after it that must arrive
//! next.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests: clippy.toml's allowance covers only the test functions"
)]

use std::net::SocketAddr;

use roomer_engine::Server;

mod test_server;

mod admission;
mod authorize_async;
mod burst;
mod churn;
mod closing;
mod compat;
mod connection_lifecycle;
mod control;
mod direct;
mod drain;
mod fairness;
mod fragments;
mod frames;
mod handlers;
mod handshake;
mod hooks;
mod hostile;
mod independent;
mod joining;
mod json;
mod limits;
mod load;
mod members;
mod memory;
mod metrics;
mod names;
mod order;
mod origin;
mod packets;
mod pages;
mod presence;
mod proxy;
mod rates;
mod recorded;
mod requests;
mod rules;
mod rules_async;
mod sending;
mod sessions;
mod shutdown;
mod slow;
mod subprotocols;
mod timers;
pub(crate) mod traces;
mod waiting;
mod warnings;

pub(crate) use independent::converse;

/// A server of the adapter under test.
pub(crate) trait Harness: Send + Sized + 'static {
    /// Serves on a free port of 127.0.0.1, with two threads.
    fn start(server: Server) -> Self;

    /// The address that it listens on.
    fn addr(&self) -> SocketAddr;

    /// Makes `serve_until`'s stop ready, and returns when it has returned.
    fn stop(self);
}

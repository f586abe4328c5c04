//! What every adapter must do, over real sockets: the rules of the wire protocol and of the
//! contract, one test each, written once.
//!
//! An adapter's `tests/conformance.rs` includes this folder as a module and says how to start and
//! stop its server; whatever is a test here is then a test there, so that none can be forgotten.
//! The client side is a blocking socket and bytes written by hand ([`client`], [`wire`],
//! [`http`]): nothing of it comes from the code under test, and it can break any rule. Where a
//! test says that something does *not* come, it sends something after it that must come next.
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
mod rules;
mod rules_async;
mod sending;
mod shutdown;
mod slow;
mod subprotocols;
mod timers;
pub(crate) mod traces;
mod waiting;
mod warnings;

pub(crate) use independent::converse;

/// What an adapter brings: a running server.
pub(crate) trait Harness: Sized {
    /// Serves on a free port of 127.0.0.1, with two threads.
    fn start(server: Server) -> Self;

    /// Where it serves.
    fn addr(&self) -> SocketAddr;

    /// Makes `serve_until`'s stop ready, and returns when it has returned.
    fn stop(self);
}

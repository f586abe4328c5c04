//! A server as a process of its own, with strangers at the door: chaos, and attacks one by one.
//!
//! An adapter's `tests/chaos.rs` includes this folder as a module and says how to serve; the tests
//! start their own executable once more to be that server ([`process`], [`serve`]), so that its
//! memory, descriptors and CPU time are seen from outside, and nobody else's are among them.
//!
//! - [`storm`]: hundreds of clients that check the contract on every message ([`guest`],
//!   [`ledger`]) beside dozens of kinds of evil ones ([`evil`]), drawn from a seed.
//!   `ROOMER_CHAOS_SECONDS` says for how long (default 5), `ROOMER_CHAOS_SEED` repeats a run.
//! - [`siege`]: one attack after the other, and what it may cost.
//!
//! The client side is bytes written by hand, shared with the conformance suite.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "helpers of tests: clippy.toml's allowance covers only the test functions"
)]

use std::io;
use std::net::SocketAddr;

use roomer_engine::Server;

mod attack_scripts;
mod attacker;
mod attacks;
mod delivery_log;
mod honest_client;
mod peer;
mod process;
mod serve;
mod soak;

/// What an adapter brings.
pub(crate) trait Adapter {
    /// Serves on a free port of 127.0.0.1, with two threads, says where, and returns once SIGTERM
    /// has come and `serve_until` has returned.
    fn serve(server: Server, announce: impl FnOnce(SocketAddr)) -> io::Result<()>;
}

//! Tests of a server in a separate process, under attack and with broken connections.
//!
//! They are a soak test with attackers, a soak test with sessions, and individual attacks.
//!
//! `tests/tokio_chaos.rs` and `tests/smol_chaos.rs` include this folder as a module and implement
//! [`Adapter`]. The test executable starts itself again as the server ([`process`], [`serve`]), so
//! that the server's memory, descriptors and CPU time can be measured separately from the clients'.
//!
//! - [`soak`]: hundreds of clients that check every message ([`honest_client`], [`delivery_log`]),
//!   next to dozens of kinds of attackers ([`attacker`]). All of their actions are generated from a
//!   seed. `ROOMER_CHAOS_SECONDS` sets the duration (default 5), `ROOMER_CHAOS_SEED` the seed
//!   (default 1).
//! - [`sessions`]: clients with sessions, behind a proxy that breaks their connections.
//! - [`attacks`]: one attack at a time, with limits on what it may cost.
//!
//! The client side is shared with the conformance suite.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "test helpers: clippy.toml exempts only the test functions"
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
mod sessions;
mod soak;
mod view;

/// The adapter under test.
pub(crate) trait Adapter {
    /// Serves on a free port of 127.0.0.1 with two threads, and passes the address to `announce`.
    /// On SIGTERM, `serve_until` returns, and then this function does.
    fn serve(server: Server, announce: impl FnOnce(SocketAddr)) -> io::Result<()>;
}

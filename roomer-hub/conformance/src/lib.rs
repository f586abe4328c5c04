//! The client side of the tests over real sockets.
//!
//! It shares no code with the server under test, and assembles the bytes itself, so it can violate
//! any rule of the protocol.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "test helpers: clippy.toml exempts only the test functions"
)]

pub mod broker;
pub mod broker_kind;
pub mod client;
pub mod game;
pub mod http;
pub mod parallel;
pub mod port;
pub mod programs;
pub mod proxy;
pub mod redis;
pub mod wire;

// Doc tests for pages that cannot run elsewhere: the test kit cannot depend on the crates that its
// pages use, and the README is not part of any crate.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}
#[cfg(doctest)]
#[doc = include_str!("../../guide/contract.md")]
mod contract {}
#[cfg(doctest)]
#[doc = include_str!("../../engine/guide/scope.md")]
mod scope {}

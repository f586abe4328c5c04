//! The client side of the tests over real sockets. It shares no code with the server under test.
//! It writes its own bytes and can therefore violate any protocol rule.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "helpers of tests: clippy.toml's allowance covers only the test functions"
)]

pub mod broker;
pub mod client;
pub mod game;
pub mod http;
pub mod parallel;
pub mod port;
pub mod programs;
pub mod proxy;
pub mod redis;
pub mod wire;

// Doc tests of pages that need several crates. The crates of these pages cannot run them: the test
// kit depends on those crates, and the README belongs to none.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}
#[cfg(doctest)]
#[doc = include_str!("../../guide/contract.md")]
mod contract {}
#[cfg(doctest)]
#[doc = include_str!("../../engine/guide/scope.md")]
mod scope {}

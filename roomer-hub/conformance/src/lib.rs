//! The client side of the tests over real sockets. It shares no code with the server under test and
//! writes its own bytes, so that it can violate any rule of the protocol.
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
pub mod programs;
pub mod proxy;
pub mod redis;
pub mod wire;

// The code of pages that needs several crates. The packages themselves cannot run it: the test kit
// depends on the crates that these pages belong to, and the README is in none of them.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}
#[cfg(doctest)]
#[doc = include_str!("../../guide/contract.md")]
mod contract {}
#[cfg(doctest)]
#[doc = include_str!("../../engine/guide/scope.md")]
mod scope {}

//! The client side of tests over real sockets: bytes written by hand, and nothing of the code under
//! test, so that it can break any rule.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "helpers of tests: clippy.toml's allowance covers only the test functions"
)]

pub mod client;
pub mod game;
pub mod http;
pub mod programs;
pub mod wire;

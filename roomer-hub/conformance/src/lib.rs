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

pub mod client;
pub mod game;
pub mod http;
pub mod programs;
pub mod wire;

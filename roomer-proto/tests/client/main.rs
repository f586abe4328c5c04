//! The client over memory: its handshake, and servers that send anything.
#![allow(clippy::unwrap_used)]

mod answers;
mod foreign;
mod garbage;
mod handshake;
mod support;

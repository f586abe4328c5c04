//! The client over memory: its handshake, and servers that send anything.
#![allow(clippy::unwrap_used)]

mod answers;
#[cfg(feature = "deflate")]
mod compression;
mod foreign;
mod garbage;
mod handshake;
mod support;

//! Tests of the protocol, in one program, so that only one must be compiled and linked.
#![allow(clippy::unwrap_used, reason = "test helpers")]

#[cfg(feature = "client")]
mod client;
mod close;
#[cfg(feature = "cluster")]
mod cluster;
#[cfg(feature = "websocket")]
mod decoder;
#[cfg(feature = "deflate")]
mod deflate;
#[cfg(all(feature = "client", feature = "cluster", feature = "json"))]
mod errors;
mod golden;
#[cfg(feature = "json")]
mod json;
mod packet;

//! Tests of the engine, in one program, so that only one must be compiled and linked.
#![allow(clippy::unwrap_used, reason = "test helpers")]

mod drain;
mod errors;
mod handlers;
mod json;
mod large_rooms;
mod lifecycle;
mod login;
mod mounted_returns;
mod options;
mod read_ahead;
mod renewal;
mod slow_links;
mod slow_readers;
mod two_servers;

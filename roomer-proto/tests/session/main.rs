//! The WebSocket session: what it reports, what it refuses, what it holds, however the bytes come.
#![allow(clippy::unwrap_used)] // helpers of tests, which clippy does not see as such

mod closing;
mod differential;
mod encoders;
mod limits;
mod memory;
mod messages;
mod splits;
mod streams;
mod violations;
mod wire;

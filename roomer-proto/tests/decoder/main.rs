//! The WebSocket decoder: events, violations and memory, for any chunk boundaries.
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

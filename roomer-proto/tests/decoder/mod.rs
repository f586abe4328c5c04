//! The WebSocket decoder: events, violations and memory, for any chunk boundaries.

mod closing;
mod differential;
mod encoders;
mod limits;
mod memory;
mod messages;
mod splits;
mod streams;
mod violations;
pub(crate) mod wire;

//! permessage-deflate: negotiation, frames and compressed data.
#![allow(clippy::unwrap_used)] // clippy does not recognize test helpers

mod answers;
mod data;
mod frames;
mod offers;

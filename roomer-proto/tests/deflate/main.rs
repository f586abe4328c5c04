//! permessage-deflate: negotiation, frames and compressed data.
#![allow(clippy::unwrap_used)] // helpers of tests, which clippy does not see as such

mod answers;
mod data;
mod frames;
mod offers;

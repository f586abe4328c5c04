//! permessage-deflate: negotiation, frames and compressed data.

mod answers;
mod data;
mod frames;
mod offers;

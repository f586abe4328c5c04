//! Redis or Valkey as the broker of a cluster: publish and subscribe in RESP3, and nothing else of it.

mod decoder;
mod encoder;
mod session;

pub use session::Session;

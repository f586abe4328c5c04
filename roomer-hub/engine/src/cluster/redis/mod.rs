//! Redis or Valkey as the broker of a cluster. Uses only PUBLISH and SUBSCRIBE, in RESP3.

mod decoder;
mod encoder;
mod session;

pub use session::Session;

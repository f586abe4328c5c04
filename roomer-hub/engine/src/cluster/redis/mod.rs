//! Redis or Valkey as a cluster's broker. Uses only PUBLISH and SUBSCRIBE, in RESP3.

mod decoder;
mod encoder;
mod session;

pub use session::Session;

//! Redis or Valkey as a cluster's broker. Uses only PUBLISH and SUBSCRIBE, in RESP3.

mod connection;
mod decoder;
mod encoder;

pub use connection::Connection;

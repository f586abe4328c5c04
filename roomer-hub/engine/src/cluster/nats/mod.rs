//! NATS as a cluster's broker. Uses only core NATS, without headers, queue groups or streams.

mod connection;
mod decoder;
mod encoder;
mod server_info;

pub use connection::Connection;

use super::broker::output;

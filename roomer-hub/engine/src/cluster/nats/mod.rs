//! NATS as a cluster's broker. Uses only core NATS, without headers, queue groups or streams.

mod decoder;
mod encoder;
mod server_info;
mod session;

pub use session::Session;

use super::broker::output;

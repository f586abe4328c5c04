//! NATS as the broker of a cluster. Uses only core NATS, without headers, queue groups and streams.

mod decoder;
mod encoder;
mod server_info;
mod session;

pub use session::Session;

use super::broker::output;

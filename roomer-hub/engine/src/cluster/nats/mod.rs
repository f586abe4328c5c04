//! NATS as the broker of a cluster: core NATS alone, without headers, queue groups and streams.

mod carrier;
mod decoder;
mod dial;
mod encoder;
mod output;
mod server_info;
mod session;
#[cfg(feature = "tls")]
mod tls;
mod wire;

pub use carrier::NatsCarrier;
pub use dial::Dial;
pub use session::{Session, SessionEvent};

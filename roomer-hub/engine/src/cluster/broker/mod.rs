//! The parts of a link that do not depend on the broker.
//!
//! A [`BrokerCarrier`] connects, starts TLS, moves bytes and keeps time; a [`BrokerSession`] over
//! memory, in `nats` or `redis`, knows the broker's protocol.

mod carrier;
mod dial;
pub(super) mod output;
mod session;
#[cfg(feature = "tls")]
mod tls;
mod wire;

pub use carrier::BrokerCarrier;
pub use dial::Dial;
pub use session::{BrokerSession, SessionEvent};
pub(super) use session::{GREETING_TIMEOUT, MAX_QUEUED, PING_AFTER};

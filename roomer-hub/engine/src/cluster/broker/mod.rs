//! The parts of a link that do not depend on the broker.
//!
//! A [`BrokerCarrier`] connects, starts TLS, moves bytes and keeps time; a [`BrokerSession`] over
//! memory, in `nats` or `redis`, knows the broker's protocol.

mod carrier;
mod dial;
pub(super) mod digits;
mod keep_alive;
pub(super) mod output;
mod session;
#[cfg(test)]
pub(super) mod session_tests;
mod stream;
#[cfg(feature = "tls")]
mod tls;

pub use carrier::BrokerCarrier;
pub use dial::Dial;
pub(super) use keep_alive::{Due, GREETING_TIMEOUT, KeepAlive, PING_AFTER};
pub(super) use session::MAX_QUEUED;
pub use session::{BrokerSession, SessionEvent};

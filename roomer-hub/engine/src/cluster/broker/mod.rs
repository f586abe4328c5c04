//! The parts of a link that do not depend on the broker.
//!
//! A [`BrokerCarrier`] connects, starts TLS, moves bytes and keeps time; a [`BrokerSession`] over
//! memory, in `nats` or `redis`, knows the broker's protocol.

mod carrier;
mod dial;
pub(super) mod digits;
pub(super) mod output;
mod session;
#[cfg(test)]
pub(super) mod session_tests;
#[cfg(feature = "tls")]
mod tls;
mod watch;
mod wire;

pub use carrier::BrokerCarrier;
pub use dial::Dial;
pub(super) use session::MAX_QUEUED;
pub use session::{BrokerSession, SessionEvent};
pub(super) use watch::{Due, GREETING_TIMEOUT, PING_AFTER, Watch};

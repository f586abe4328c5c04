//! The broker-independent part of a link.
//!
//! A [`BrokerCarrier`] connects, starts TLS, transfers bytes and runs timers. A [`BrokerSession`], in
//! `nats` or `redis`, implements the broker's protocol over memory.

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

//! The broker-independent part of a link.
//!
//! A [`BrokerCarrier`] connects, starts TLS, transfers bytes and runs timers. A [`BrokerConnection`], in
//! `nats` or `redis`, implements the broker's protocol over memory.

mod carrier;
mod connection;
#[cfg(test)]
pub(super) mod connection_tests;
mod dial;
pub(super) mod digits;
mod keep_alive;
pub(super) mod output;
mod stream;
#[cfg(feature = "tls")]
mod tls;

pub use carrier::BrokerCarrier;
pub use connection::{BrokerConnection, BrokerEvent};
pub use dial::Dial;
pub(super) use keep_alive::{Due, HELLO_TIMEOUT, KeepAlive, PING_AFTER};
#[cfg(feature = "nats")]
pub(super) use output::MAX_QUEUED;

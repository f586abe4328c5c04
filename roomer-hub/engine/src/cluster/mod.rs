//! Rooms over several nodes: the interface between a node and its broker, and the brokers.

#[cfg(feature = "nats")]
mod address;
mod carrier;
#[cfg(feature = "nats")]
pub mod nats;

#[cfg(feature = "nats")]
pub use address::{BrokerAddress, ParseBrokerAddressError};
pub use carrier::{Carrier, CarrierEvent};
pub use roomer_proto::cluster::{NodeId, ParsePrefixError, Subject, Subjects};

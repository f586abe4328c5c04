//! Rooms over several nodes: this node's link to the broker, and the application's view of the
//! cluster.
//!
//! The rules are in [`roomer_hub::cluster`], a pure machine beside the hub. Here it gets what it needs:
//!
//! ```text
//!              under the server's lock            one task for each server
//!  Core::apply ──▶ Cluster::record  ──▶ streams ──▶ link ──▶ Carrier ──▶ broker
//!  Core::apply ◀── effects ◀── Cluster::handle ◀── link ◀── Carrier ◀── broker
//! ```
//!
//! Recording copies bytes and nothing else. The link's task is woken after the lock is released, and
//! makes frames of the items recorded by then.

#[cfg(any(feature = "nats", feature = "redis"))]
mod address;
#[cfg(any(feature = "nats", feature = "redis"))]
pub mod broker;
mod carrier;
mod closing;
mod event;
mod gate;
mod info;
#[cfg(feature = "nats")]
pub mod nats;
mod options;
#[cfg(feature = "redis")]
pub mod redis;
mod state;

#[cfg(any(feature = "nats", feature = "redis"))]
pub use address::{BrokerAddress, ParseBrokerAddressError};
pub use carrier::{Carrier, CarrierEvent};
pub(crate) use event::ClusterEvent;
pub use event::{Gap, PeerEvent};
pub(crate) use gate::LinkGate;
pub use info::ClusterInfo;
pub use options::Cluster;
pub(crate) use state::ClusterState;

pub use roomer_hub::cluster::{GoneCause, Loss, PeerInfo, PeerState, ResetCause, Statistics};
pub use roomer_proto::cluster::{NodeId, ParsePrefixError, Subject, Subjects};

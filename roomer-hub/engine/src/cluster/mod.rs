//! Clustering: the link from this node to the broker, and the application's view of the cluster.
//!
//! The rules are in [`roomer_hub::cluster`], a state machine without I/O next to the hub. This
//! module connects the state machine to the server and to a carrier:
//!
//! ```text
//!              under the server's lock            one task for each server
//!  Core::apply ──▶ Cluster::record  ──▶ streams ──▶ link ──▶ Carrier ──▶ broker
//!  Core::apply ◀── effects ◀── Cluster::handle ◀── link ◀── Carrier ◀── broker
//! ```
//!
//! Recording a change only copies bytes. After the lock is released, the link's task is woken and
//! packs the recorded items into frames.

#[cfg(any(feature = "nats", feature = "redis"))]
mod address;
#[cfg(any(feature = "nats", feature = "redis"))]
pub mod broker;
mod carrier;
mod close_on_loss;
mod event;
mod gate;
mod info;
mod link;
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

pub use roomer_hub::cluster::{GoneReason, Loss, PeerInfo, PeerState, ResetReason, Statistics};
pub use roomer_proto::cluster::{NodeId, ParsePrefixError, Subject, Subjects};

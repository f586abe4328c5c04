//! The application's snapshot of the cluster.

use roomer_hub::cluster::{PeerInfo, PeerState, Statistics};
use roomer_proto::cluster::NodeId;

/// A cluster's state, as seen by one of its nodes; see [`Server::cluster`](crate::Server::cluster).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterInfo {
    /// This node's id, drawn at random when the node starts.
    pub node: NodeId,
    /// The cluster's name.
    pub cluster: String,
    /// True while the broker is reachable.
    pub is_up: bool,
    /// The other nodes.
    pub peers: Vec<PeerInfo>,
    /// Counters since this node started.
    pub statistics: Statistics,
}

impl ClusterInfo {
    /// Returns the number of peers in the given state.
    #[must_use]
    pub fn peers_in(&self, state: PeerState) -> usize {
        self.peers.iter().filter(|peer| peer.state == state).count()
    }

    /// Returns the number of connections on all nodes: `own` on this node, plus the numbers in the
    /// other nodes' last heartbeats.
    #[must_use]
    pub fn connections(&self, own: usize) -> u64 {
        let others = self.peers.iter().filter(|peer| peer.state != PeerState::Dead);
        own as u64 + others.map(|peer| peer.connections).sum::<u64>()
    }
}

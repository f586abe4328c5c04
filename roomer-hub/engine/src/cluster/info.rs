//! The cluster as the application sees it.

use roomer_hub::cluster::{PeerInfo, PeerState, Statistics};
use roomer_proto::cluster::{NodeId, Subjects};

use crate::Server;

/// A cluster, as one of its nodes sees it; see [`Server::cluster`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterInfo {
    /// The number of this node, drawn at its start.
    pub node: NodeId,
    /// The cluster's name.
    pub cluster: String,
    /// True while the broker is reachable.
    pub is_up: bool,
    /// The other nodes.
    pub peers: Vec<PeerInfo>,
    /// Counts since the start.
    pub statistics: Statistics,
}

impl ClusterInfo {
    /// Returns the number of peers in a state.
    #[must_use]
    pub fn peers_in(&self, state: PeerState) -> usize {
        self.peers.iter().filter(|peer| peer.state == state).count()
    }

    /// Returns the number of connections of all nodes, by their last beats; those of this node are
    /// `own`.
    #[must_use]
    pub fn connections(&self, own: usize) -> u64 {
        let others = self.peers.iter().filter(|peer| peer.state != PeerState::Dead);
        own as u64 + others.map(|peer| peer.connections).sum::<u64>()
    }
}

impl Server {
    /// Returns the cluster as this node sees it now; `None` if the server was built without
    /// [`Builder::cluster`](crate::Builder::cluster).
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterInfo> {
        let name = self.options().cluster.as_ref()?.config.cluster.clone();
        let core = self.core();
        let machine = &core.cluster.as_ref()?.machine;
        Some(ClusterInfo {
            node: machine.node(),
            cluster: name,
            is_up: machine.is_up(),
            peers: machine.peers().collect(),
            statistics: machine.statistics().clone(),
        })
    }

    /// Returns the names of this node's subjects at the broker, for carriers; `None` without a
    /// cluster.
    #[must_use]
    pub fn cluster_subjects(&self) -> Option<Subjects> {
        let options = self.options().cluster.as_ref()?;
        let node = self.core().cluster.as_ref()?.machine.node();
        options.subjects(node).ok()
    }

    /// Returns true unless the server still waits for its cluster before it serves clients.
    pub(crate) fn is_formed(&self) -> bool {
        let Some(options) = &self.options().cluster else { return true };
        let core = self.core();
        let machine = core.cluster.as_ref().map(|state| &state.machine);
        machine.is_none_or(|machine| {
            machine.is_formed(self.now()) && (machine.is_up() || !options.ready_needs_broker)
        })
    }
}

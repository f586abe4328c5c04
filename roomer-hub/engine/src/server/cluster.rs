//! Methods of [`Server`] for the cluster that it belongs to.

use roomer_proto::cluster::Subjects;

use crate::Server;
use crate::cluster::ClusterInfo;
use crate::metrics::warning::WarningReason;

impl Server {
    /// Returns a snapshot of the cluster as seen by this node, or `None` if the server was built
    /// without [`Builder::cluster`](crate::Builder::cluster).
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterInfo> {
        let name = self.0.options().cluster.as_ref()?.config.cluster.clone();
        let core = self.0.core();
        let machine = &core.cluster.as_ref()?.machine;
        Some(ClusterInfo {
            node: machine.node(),
            cluster: name,
            is_up: machine.is_up(),
            peers: machine.peers().collect(),
            statistics: machine.statistics().clone(),
        })
    }

    /// Returns the names of this node's broker subjects, which carriers use, or `None` without a
    /// cluster.
    #[must_use]
    pub fn cluster_subjects(&self) -> Option<Subjects> {
        let options = self.0.options().cluster.as_ref()?;
        let node = self.0.core().cluster.as_ref()?.machine.node();
        options.subjects(node).ok()
    }

    /// Warns that a broker link was started for a server outside a cluster. Called by adapters.
    pub fn warn_without_cluster(&self) {
        self.0.warnings.give(WarningReason::NoCluster);
    }
}

//! Methods of [`Server`] for the cluster that it belongs to.

use std::future::Future;
use std::time::Duration;

use roomer_proto::cluster::Subjects;

use crate::Server;
use crate::cluster::{Carrier, ClusterInfo};
use crate::connection::Connection;
use crate::link;
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

    /// Runs this node's link to its broker, with the runtime's `sleep`. Spawn the future once. It
    /// completes when the server is closed and the server's last connection has ended. Until then,
    /// it reconnects whenever the broker becomes reachable again after a failure. The server serves
    /// its own clients whether or not the link is up.
    ///
    /// Without [`Builder::cluster`](crate::Builder::cluster) it completes immediately.
    ///
    /// `spawn` starts the task of a connection, as for [`connect`](Self::connect). The link creates
    /// such connections for clients that have returned to another node of the cluster while their
    /// sessions are on this one.
    pub async fn run_cluster<C, S>(
        &self,
        carrier: C,
        sleep: impl Fn(Duration) -> S,
        spawn: impl Fn(Connection),
    ) where
        C: Carrier,
        S: Future,
    {
        link::run(&self.0, carrier, sleep, spawn).await;
    }

    /// Warns that a broker link was started for a server outside a cluster. Called by adapters.
    pub fn warn_without_cluster(&self) {
        self.0.warnings.give(WarningReason::NoCluster);
    }
}

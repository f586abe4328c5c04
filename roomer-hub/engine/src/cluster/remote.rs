//! Commands of the application about connections of other nodes.

use std::time::Duration;

use roomer_hub::ConnId;
use roomer_hub::cluster::Change;
use roomer_proto::cluster::PeerCommand;

use crate::core::Core;

impl Core {
    /// Passes a command to the node of a connection that is not here. Returns false if no node that
    /// lives has such ids; true does not mean that the connection exists.
    pub(crate) fn command_peer(
        &mut self,
        now: Duration,
        id: &str,
        command: PeerCommand<'_>,
    ) -> bool {
        let Core { hub, cluster, .. } = self;
        let Some(cluster) = cluster else { return false };
        let tables = hub.tables();
        let Some(parsed) = ConnId::parse(id) else { return false };
        let mut is_known = false;
        // Two nodes may share a tag; the one without the connection ignores the command.
        for peer in tables.peers_of(id) {
            is_known = true;
            cluster.machine.record(now, tables, Change::Command { peer, id: parsed, command });
        }
        is_known
    }
}

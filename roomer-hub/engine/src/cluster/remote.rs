//! Messages and commands of the application for other nodes.

use std::time::Duration;

use roomer_hub::cluster::Change;
use roomer_hub::{Command, ConnId};
use roomer_proto::PacketRef;
use roomer_proto::cluster::PeerCommand;

use crate::Server;
use crate::core::Core;
use crate::metrics::warning::{WarningCause, shown};

impl Server {
    /// Returns true, after a warning, if a message of the application is larger than other nodes
    /// accept. Messages to connections of this node, and without a cluster, have no limit.
    pub(crate) fn refuses(&self, command: &Command<'_>) -> bool {
        if self.options().cluster.is_none() {
            return false;
        }
        let (room, event, dst, payload) = match *command {
            Command::Broadcast { room, event, payload, .. } => (room, event, "", payload),
            Command::Send { room, event, dst, payload, .. } => (room, event, dst, payload),
            _ => return false,
        };
        let bytes = PacketRef { room, event, dst, payload, src: "" }.encoded_len();
        let limit = self.options().limits.max_message;
        // The limit does not depend on where a room's members are: a message must not begin to fail
        // when a client connects to another node.
        let is_far = || {
            let core = self.core();
            let tables = core.hub.tables();
            tables.find_conn(dst).is_none() && tables.peer_of(dst).is_some()
        };
        let is_for_room = matches!(command, Command::Broadcast { .. });
        if bytes <= limit || !(is_for_room || is_far()) {
            return false;
        }
        self.warn(WarningCause::MessageTooLarge { event: shown(event.as_bytes()), bytes, limit });
        true
    }
}

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

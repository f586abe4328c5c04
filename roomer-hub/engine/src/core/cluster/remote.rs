//! Application commands for connections on other nodes.

use std::time::Duration;

use roomer_hub::cluster::{Change, OwnedPeerCommand, OwnedUserCommand};
use roomer_hub::{Command, ConnId, ConnKey, Input};
use roomer_proto::cluster::{PeerCommand, UserCommand};

use crate::core::Core;

impl Core {
    /// Forwards a command for all of a user's connections to the other nodes.
    pub(crate) fn command_user_at_peers(
        &mut self,
        now: Duration,
        user: &str,
        command: UserCommand<'_>,
    ) {
        let Core { hub, cluster, .. } = self;
        if let Some(cluster) = cluster {
            cluster.machine.record(now, hub.tables(), Change::User { user, command });
        }
    }

    /// Carries out another node's command for a user's connections.
    pub(super) fn user_command(&mut self, now: Duration, user: &str, command: &OwnedUserCommand) {
        // Collect the connections first, since closing one changes the table.
        let conns: Vec<ConnKey> = self.infos.of(user).collect();
        for conn in conns {
            let tables = self.hub.tables();
            let Some(id) = tables.conn_id(conn) else { continue };
            let command = match command {
                // The hub tracks only members, but a kick also cancels a pending join.
                OwnedUserCommand::Leave { room } if self.joins.contains(conn, room) => {
                    Some(Command::Leave { conn, room })
                }
                command => command.for_conn(tables, conn, &id),
            };
            if let Some(command) = command {
                self.apply(now, Input::Command(command), None);
            }
        }
    }

    /// Forwards a command for a remote connection to its node. Returns false if the id does not
    /// belong to a live node. True does not mean that the connection exists.
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
        // Two nodes may share a tag. A node without that connection ignores the command.
        for peer in tables.peers_of(id) {
            is_known = true;
            cluster.machine.record(now, tables, Change::Command { peer, id: parsed, command });
        }
        is_known
    }

    /// Carries out another node's command for one connection.
    pub(super) fn peer_command(&mut self, now: Duration, id: &ConnId, command: &OwnedPeerCommand) {
        let Some(conn) = self.hub.tables().find_conn(id.as_str()) else { return };
        let mut command_of = |command| {
            self.apply(now, Input::Command(command), None);
        };
        match command {
            OwnedPeerCommand::Join { room } => command_of(Command::Join { conn, room }),
            OwnedPeerCommand::Leave { room } => command_of(Command::Leave { conn, room }),
            OwnedPeerCommand::Move { from, to } => {
                self.move_to(now, conn, from, to);
            }
            OwnedPeerCommand::Close { code, reason } => {
                command_of(Command::Close { conn, code: *code, reason });
            }
        }
    }
}

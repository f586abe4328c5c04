//! Passes commands from handlers and from the application to the hub, or to another node.

use std::sync::Arc;

use roomer_hub::{Command, ConnKey, Input};
use roomer_proto::PacketRef;
use roomer_proto::cluster::PeerCommand;

use crate::metrics::warning::{WarningReason, shown};
use crate::shared::Shared;

impl Shared {
    /// Executes a command. If this is called in a handler of this server, the poll of the handler's
    /// connection flushes later, so that messages from handlers are batched like all others.
    pub(crate) fn command(self: &Arc<Self>, command: Command<'_>) {
        if self.rejects(&command) {
            return;
        }
        self.core().apply(self.now(), Input::Command(command), None);
        self.flush_unless_in_callback();
    }

    /// Executes a command about the connection with this id, either on this node or on the node
    /// whose tag the id contains. Returns false if neither exists.
    pub(crate) fn command_about<'a>(
        self: &Arc<Self>,
        id: &str,
        command: impl Fn(ConnKey) -> Command<'a>,
        at_peer: PeerCommand<'_>,
    ) -> bool {
        let mut core = self.core();
        let now = self.now();
        let is_known = match core.hub.tables().find_conn(id) {
            Some(conn) => {
                core.apply(now, Input::Command(command(conn)), None);
                true
            }
            None => core.command_peer(now, id, at_peer),
        };
        drop(core);
        self.flush_unless_in_callback();
        is_known
    }

    /// Warns and returns true if an application's message exceeds the other nodes' limit. Messages
    /// to connections on this node are not limited, and neither are messages from a server without
    /// a cluster.
    pub(crate) fn rejects(&self, command: &Command<'_>) -> bool {
        let (room, event, dst, payload) = match *command {
            Command::Broadcast { room, event, payload, .. } => (room, event, "", payload),
            Command::Send { room, event, dst, payload, .. } => (room, event, dst, payload),
            _ => return false,
        };
        // Apply the limit regardless of where a room's members are: a message must not begin to
        // fail when a client connects to another node.
        let is_far = || {
            let core = self.core();
            let tables = core.hub.tables();
            tables.find_conn(dst).is_none() && tables.peer_of(dst).is_some()
        };
        let is_for_room = matches!(command, Command::Broadcast { .. });
        let packet = PacketRef { room, event, dst, payload, src: "" };
        self.is_too_large(&packet, || is_for_room || is_far())
    }

    /// Warns and returns true if an application's message is for other nodes and exceeds their
    /// limit.
    pub(crate) fn is_too_large(
        &self,
        packet: &PacketRef<'_>,
        is_for_peers: impl FnOnce() -> bool,
    ) -> bool {
        let (bytes, limit) = (packet.encoded_len(), self.options().limits.max_message);
        if self.options().cluster.is_none() || bytes <= limit || !is_for_peers() {
            return false;
        }
        let event = packet.event;
        self.warnings.give(WarningReason::MessageTooLarge {
            event: shown(event.as_bytes()),
            bytes,
            limit,
        });
        true
    }
}

//! The handle to all of a user's connections.

use std::fmt;
use std::sync::Arc;

use roomer_proto::cluster::UserCommand;
use roomer_proto::{PacketRef, ROOT};

use crate::Server;
use crate::server::conn::Conn;
use roomer_hub::{Command, Input};
use roomer_hub::{ConnId, ConnKey};

/// A handle to all of a user's connections ([`Claims::user`](crate::Claims::user)). Each method
/// applies to the connections open when it is called. The handle is cheap to clone, can be used
/// from any thread, and is valid even if the user is not connected.
///
/// In a [cluster](crate::Builder::cluster), [`send`](Self::send), [`kick`](Self::kick),
/// [`disconnect`](Self::disconnect) and [`set_info`](Self::set_info) also apply to the user's
/// connections on all other nodes known to this one, at most once and in call order. Their return
/// values refer to the connections on this node. [`count`](Self::count) and [`ids`](Self::ids)
/// refer to all nodes.
///
/// ```
/// # fn ban(server: &roomer_engine::Server) {
/// let ann = server.user("ann");
/// ann.send("notice", "enough for today");
/// ann.kick("lobby");
/// println!("{} connections here are closed", ann.disconnect(4000, "banned"));
/// # }
/// ```
#[derive(Clone)]
pub struct User {
    pub(crate) server: Server,
    name: Arc<str>,
}

impl User {
    pub(crate) fn new(server: &Server, name: &str) -> Self {
        User { server: server.clone(), name: name.into() }
    }

    /// Returns the user's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the number of the user's connections, or 0 if the user is not connected. In a
    /// [cluster](crate::Builder::cluster), connections on other nodes are counted while they are in a
    /// room with full [`Presence`](crate::Presence), which `root` has by default.
    #[must_use]
    pub fn count(&self) -> usize {
        let core = self.server.0.core();
        core.infos.of(&self.name).len() + core.hub.tables().guests_of_user(&self.name).count()
    }

    /// Returns the ids of the connections counted by [`count`](Self::count), starting with those on
    /// this node, oldest first.
    #[must_use]
    pub fn ids(&self) -> Vec<ConnId> {
        let core = self.server.0.core();
        let tables = core.hub.tables();
        let own = core.infos.of(&self.name).filter_map(|conn| tables.conn_id(conn));
        own.chain(tables.guests_of_user(&self.name)).collect()
    }

    /// Returns handles to the user's connections on this node, oldest first.
    #[must_use]
    pub fn conns(&self) -> Vec<Conn> {
        let core = self.server.0.core();
        let infos = core.infos.of(&self.name).filter_map(|conn| core.infos.get(conn).cloned());
        infos.map(|info| Conn::new(&self.server.0, info)).collect()
    }

    /// Sends a message from the server to all the user's connections on all nodes, as a packet in
    /// the room `root` with an empty `src`. Returns the number of connections on this node. In a
    /// cluster, a message whose packet exceeds [`max_message`](crate::Builder::max_message) is not
    /// sent to any connection, and causes a [warning](crate::Builder::on_warning). Clients do not
    /// deliver the events listed at [`Server::broadcast`].
    pub fn send(&self, event: impl AsRef<str>, payload: impl AsRef<[u8]>) -> usize {
        let (event, payload) = (event.as_ref(), payload.as_ref());
        let packet = PacketRef { room: ROOT, event, payload, ..PacketRef::default() };
        if self.server.0.is_too_large(&packet, || true) {
            return 0;
        }
        self.at_peers(UserCommand::Send { packet });
        let conns = self.conns();
        for conn in &conns {
            let dst = conn.info.id.as_str();
            self.command(Command::Send { from: None, dst, room: ROOT, event, payload });
        }
        self.server.0.flush_unless_in_callback();
        conns.len()
    }

    /// Removes all the user's connections on all nodes from a room, and like [`Server::kick`]
    /// cancels their pending joins. The connections stay open. Returns the number of affected
    /// connections on this node.
    pub fn kick(&self, room: impl AsRef<str>) -> usize {
        let room = room.as_ref();
        self.at_peers(UserCommand::Leave { room });
        let is_in = |conn: &ConnKey| {
            let core = self.server.0.core();
            let tables = core.hub.tables();
            core.joins.contains(*conn, room)
                || tables.find_room(room).is_some_and(|room| tables.is_member(*conn, room))
        };
        self.for_each(is_in, |conn| Command::Leave { conn, room })
    }

    /// Closes all the user's connections on all nodes, like [`Server::disconnect`]. Returns the number
    /// of connections on this node.
    pub fn disconnect(&self, code: u16, reason: &str) -> usize {
        self.at_peers(UserCommand::Close { code, reason });
        self.for_each(|_| true, |conn| Command::Close { conn, code, reason })
    }

    /// Forwards a command to the other nodes. The caller flushes.
    pub(crate) fn at_peers(&self, command: UserCommand<'_>) {
        self.server.0.core().command_user_at_peers(self.server.0.now(), &self.name, command);
    }

    /// Applies a command to the user's connections on this node that match the filter, and returns
    /// their number.
    pub(crate) fn for_each<'a>(
        &self,
        filter: impl Fn(&ConnKey) -> bool,
        command: impl Fn(ConnKey) -> Command<'a>,
    ) -> usize {
        let conns: Vec<ConnKey> = self.server.0.core().infos.of(&self.name).collect();
        // Filter without holding the lock, since the filter takes it.
        let conns: Vec<ConnKey> = conns.into_iter().filter(filter).collect();
        conns.iter().for_each(|&conn| self.command(command(conn)));
        self.server.0.flush_unless_in_callback();
        conns.len()
    }

    /// Applies a command. The caller flushes.
    fn command(&self, command: Command<'_>) {
        self.server.0.core().apply(self.server.0.now(), Input::Command(command), None);
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

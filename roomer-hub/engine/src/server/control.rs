//! Methods of [`Server`] for rooms and connections, callable from any task.
//!
//! Connections are identified by their ids, given as a [`ConnId`] or as text. For an unknown id,
//! methods return `false`. In a [cluster](crate::Builder::cluster), rooms and members are those of
//! all nodes, and an id may belong to another node. For an id of another node, `true` means only
//! that its node is live, and not that the connection exists. [`conn`], [`conns`], rules and hooks
//! are limited to this node's own connections.
//!
//! [`conn`]: Server::conn
//! [`conns`]: Server::conns

use std::any::Any;

use roomer_proto::ROOT;
use roomer_proto::cluster::PeerCommand;

use crate::Server;
use crate::server::conn::Conn;
use crate::server::info::InfoTooLong;
use crate::server::user::User;
use roomer_hub::{Command, ConnId, Info, Input};

impl Server {
    /// Sends a message from the server (`src` is empty) to every member of a room. Has no effect if the
    /// room does not exist. In a [cluster](crate::Builder::cluster), a message whose packet exceeds
    /// [`max_message`](crate::Builder::max_message) is not sent to any member and causes a
    /// [warning](crate::Builder::on_warning), since other nodes would reject it.
    ///
    /// The event may have any name, but clients do not deliver messages with the protocol's names
    /// ([`roomer_proto::is_built_in`]), and the JavaScript client does not deliver messages with
    /// the names of its local events ([`roomer_proto::is_local`]).
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::Server; // or roomer_smol
    /// # fn announce(server: &Server) {
    /// server.broadcast("root", "news", b"lunch is ready");
    /// # }
    /// ```
    pub fn broadcast(
        &self,
        room: impl AsRef<str>,
        event: impl AsRef<str>,
        payload: impl AsRef<[u8]>,
    ) {
        let (room, event, payload) = (room.as_ref(), event.as_ref(), payload.as_ref());
        self.0.command(Command::Broadcast {
            from: None,
            except: None,
            except_guest: None,
            room,
            event,
            payload,
        });
    }

    /// Like [`broadcast`](Self::broadcast), but excludes the member `except`.
    pub fn broadcast_except(
        &self,
        except: impl AsRef<str>,
        room: impl AsRef<str>,
        event: impl AsRef<str>,
        payload: impl AsRef<[u8]>,
    ) {
        let (room, event, payload) = (room.as_ref(), event.as_ref(), payload.as_ref());
        let guest = except.as_ref();
        let except = self.0.core().hub.tables().find_conn(guest);
        // An unknown id may belong to a client on another node.
        let except_guest = if except.is_none() { ConnId::parse(guest) } else { None };
        // If the connection has ended in the meantime, its key is stale and excludes no receiver.
        self.0.command(Command::Broadcast {
            from: None,
            except,
            except_guest,
            room,
            event,
            payload,
        });
    }

    /// Sends a message from the server to one connection, as a packet in the room `root`. Returns
    /// false if the connection does not exist. True does not mean that the message was delivered.
    /// Also returns false, with a [warning](crate::Builder::on_warning), if the connection is on
    /// another node and the packet exceeds [`max_message`](crate::Builder::max_message). Clients do not
    /// deliver the events that [`broadcast`](Self::broadcast) lists.
    pub fn send(
        &self,
        to: impl AsRef<str>,
        event: impl AsRef<str>,
        payload: impl AsRef<[u8]>,
    ) -> bool {
        let (dst, event, payload) = (to.as_ref(), event.as_ref(), payload.as_ref());
        let command = Command::Send { from: None, dst, room: ROOT, event, payload };
        if self.0.rejects(&command) {
            return false;
        }
        // Look up the connection and send under one lock, so that true means that the message was
        // queued.
        let mut core = self.0.core();
        let tables = core.hub.tables();
        if tables.find_conn(dst).is_none() && tables.peer_of(dst).is_none() {
            return false;
        }
        core.apply(self.0.now(), Input::Command(command), None);
        drop(core);
        self.0.flush_unless_in_callback();
        true
    }

    /// Adds a connection to a room, as if its client had joined, but without calling rules. Returns
    /// false if the connection does not exist. If the connection has reached its room limit, the join
    /// is rejected; [`is_member`](Self::is_member) shows the result.
    pub fn join(&self, conn: impl AsRef<str>, room: impl AsRef<str>) -> bool {
        let room = room.as_ref();
        let join = |conn| Command::Join { conn, room };
        self.0.command_about(conn.as_ref(), join, PeerCommand::Join { room })
    }

    /// Removes a connection from a room. The connection receives `leave_ack`, and the other members
    /// are notified. The connection stays open, and its client may rejoin the room unless a rule
    /// ([`may_join`](crate::Builder::may_join)) prevents that. Returns false if the connection does
    /// not exist. Same as [`Conn::leave`](crate::Conn::leave).
    ///
    /// If the connection has asked to join the room and the [rule](crate::Builder::may_join_async) has
    /// not decided yet, the join is cancelled: the `leave_ack` answers it, and the rule's decision has
    /// no effect.
    #[doc(alias = "leave")]
    pub fn kick(&self, conn: impl AsRef<str>, room: impl AsRef<str>) -> bool {
        let room = room.as_ref();
        let leave = |conn| Command::Leave { conn, room };
        self.0.command_about(conn.as_ref(), leave, PeerCommand::Leave { room })
    }

    /// Moves a connection from one room to another atomically: no observer sees the connection in
    /// both rooms or in neither. Returns false, without an effect, if the connection does not exist
    /// or is not in `from`. Unlike [`kick`](Self::kick), this does not cancel a pending join to
    /// `from`.
    pub fn move_to(
        &self,
        conn: impl AsRef<str>,
        from: impl AsRef<str>,
        to: impl AsRef<str>,
    ) -> bool {
        let (from, to) = (from.as_ref(), to.as_ref());
        let mut core = self.0.core();
        let now = self.0.now();
        let has_moved = match core.hub.tables().find_conn(conn.as_ref()) {
            Some(conn) => core.move_to(now, conn, from, to),
            None => core.command_peer(now, conn.as_ref(), PeerCommand::Move { from, to }),
        };
        drop(core);
        self.0.flush_unless_in_callback();
        has_moved
    }

    /// Closes a connection: the connection leaves all its rooms, and its client receives the queued
    /// messages, followed by a close frame with this code and reason. Returns false if the
    /// connection does not exist. Same as [`Conn::close`](crate::Conn::close). To remove a connection
    /// from one room only, use [`kick`](Self::kick).
    ///
    /// If the client has lost its connection and may still [return](crate::Builder::resume_window), its
    /// session ends. If the code is final (1000, 1003, 1008, 3000 to 4999), the client is closed with
    /// the same code and reason whenever it returns within that time, until it has answered the close
    /// frame. This includes a return to another node that
    /// [continues sessions](crate::cluster::Cluster::hand_over) of this one. If the server is full, this
    /// does not apply to a server in a framework (`mount`), which rejects the client's request. The
    /// last 1,024 closes of clients without a socket are kept, and the last 1,024 unanswered closes of
    /// other clients. With any other code, the client gets a new session. To keep a client away, also
    /// reject its login in [`authorize`](crate::Builder::authorize).
    #[doc(alias = "close")]
    pub fn disconnect(&self, conn: impl AsRef<str>, code: u16, reason: &str) -> bool {
        let close = |conn| Command::Close { conn, code, reason };
        self.0.command_about(conn.as_ref(), close, PeerCommand::Close { code, reason })
    }

    /// Returns the names of all rooms with their member counts, sorted by name.
    #[must_use]
    pub fn rooms(&self) -> Vec<(String, usize)> {
        let core = self.0.core();
        let tables = core.hub.tables();
        let rooms = tables.rooms();
        let mut rooms: Vec<_> =
            rooms.map(|(key, name)| (name.to_owned(), tables.member_count(key))).collect();
        rooms.sort_unstable();
        rooms
    }

    /// Returns the number of a room's members, or 0 if the room does not exist.
    #[must_use]
    pub fn member_count(&self, room: impl AsRef<str>) -> usize {
        let core = self.0.core();
        let tables = core.hub.tables();
        tables.find_room(room.as_ref()).map_or(0, |room| tables.member_count(room))
    }

    /// Returns the ids of a room's members. Empty if the room does not exist.
    #[must_use]
    pub fn members(&self, room: impl AsRef<str>) -> Vec<ConnId> {
        let core = self.0.core();
        let tables = core.hub.tables();
        let Some(room) = tables.find_room(room.as_ref()) else { return Vec::new() };
        let members = tables.members(room).iter().filter_map(|member| tables.conn_id(member));
        members.chain(tables.guests(room)).collect()
    }

    /// Returns true if a connection is a member of a room. Cheaper than [`members`](Self::members).
    #[must_use]
    pub fn is_member(&self, conn: impl AsRef<str>, room: impl AsRef<str>) -> bool {
        let core = self.0.core();
        let tables = core.hub.tables();
        let Some(room) = tables.find_room(room.as_ref()) else { return false };
        match tables.find_conn(conn.as_ref()) {
            Some(conn) => tables.is_member(conn, room),
            None => tables.guests(room).any(|guest| guest.as_str() == conn.as_ref()),
        }
    }

    /// Returns true if a connection on this node has asked to join a room, and the rule
    /// ([`may_join`](crate::Builder::may_join)) has not decided yet.
    #[must_use]
    pub fn is_joining(&self, conn: impl AsRef<str>, room: impl AsRef<str>) -> bool {
        let core = self.0.core();
        let conn = core.hub.tables().find_conn(conn.as_ref());
        conn.is_some_and(|conn| core.joins.contains(conn, room.as_ref()))
    }

    /// Returns a handle to a connection on this node, or `None` if it does not exist.
    #[must_use]
    pub fn conn(&self, id: impl AsRef<str>) -> Option<Conn> {
        let core = self.0.core();
        let info = core.infos.get(core.hub.tables().find_conn(id.as_ref())?)?.clone();
        Some(Conn::new(&self.0, info))
    }

    /// Returns handles to all connections on this node, in no particular order.
    #[must_use]
    pub fn conns(&self) -> Vec<Conn> {
        let core = self.0.core();
        let infos = core.infos.iter().cloned();
        infos.map(|info| Conn::new(&self.0, info)).collect()
    }

    /// Returns a handle to all of a user's connections. The user need not be connected.
    #[must_use]
    pub fn user(&self, name: impl AsRef<str>) -> User {
        User::new(self, name.as_ref())
    }

    /// Replaces the info of a connection on this node, like [`Conn::set_info`]. Returns false if
    /// the connection does not exist.
    ///
    /// # Errors
    ///
    /// Returns an [`InfoTooLong`] if the info exceeds [`max_info`](crate::Builder::max_info).
    pub fn set_info(
        &self,
        conn: impl AsRef<str>,
        info: impl Into<Option<Info>>,
    ) -> Result<bool, InfoTooLong> {
        let info = InfoTooLong::check(info.into(), self.0.options())?;
        let conn = self.0.core().hub.tables().find_conn(conn.as_ref());
        // If the connection has ended in the meantime, its key is stale and the command has no effect.
        if let Some(conn) = conn {
            self.0.command(Command::SetInfo { conn, info: info.as_ref() });
        }
        Ok(conn.is_some())
    }

    /// Returns the state that the server was built with ([`Builder::state`](crate::Builder::state)).
    ///
    /// # Panics
    ///
    /// Panics if the server was built without state of this type, which is a bug in the application.
    #[must_use]
    pub fn state<T: Any + Send + Sync>(&self) -> &T {
        match self.0.options().state.iter().find_map(|state| state.downcast_ref()) {
            Some(state) => state,
            None => panic!("the server has no state of type {}", std::any::type_name::<T>()),
        }
    }
}

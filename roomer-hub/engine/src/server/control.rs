//! Methods of [`Server`] for rooms and connections, callable from any task.
//!
//! Connections are named by their ids, as a [`ConnId`] or as text; for an unknown id, methods return
//! `false`. In a [cluster](crate::Builder::cluster), rooms and their members are those of all nodes,
//! and an id may belong to another node: `true` then means that a node of such ids is alive. [`conn`],
//! [`conns`], rules and hooks are about this node's own connections.
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
    /// Sends to every member of a room, in the server's own name: `src` is empty. Does nothing if
    /// there is no such room. In a [cluster](crate::Builder::cluster), a message that is larger as a
    /// packet than [`max_message`](crate::Builder::max_message) is sent to no member, and a
    /// [warning](crate::Builder::on_warning) names it, since other nodes accept no larger one.
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

    /// Sends like [`broadcast`](Self::broadcast), but not to the member `except`.
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
        // An id that is not here may be that of another node's client.
        let except_guest = if except.is_none() { ConnId::parse(guest) } else { None };
        // If the connection ends meanwhile, its key is stale, and no other receiver is left out.
        self.0.command(Command::Broadcast {
            from: None,
            except,
            except_guest,
            room,
            event,
            payload,
        });
    }

    /// Sends to one connection, in the server's own name, as a packet of the room `root`. Returns
    /// false if there is no such connection; true does not mean that the message has arrived. Also
    /// returns false, with a [warning](crate::Builder::on_warning), if the connection is of another
    /// node and the message is larger as a packet than [`max_message`](crate::Builder::max_message).
    pub fn send(
        &self,
        to: impl AsRef<str>,
        event: impl AsRef<str>,
        payload: impl AsRef<[u8]>,
    ) -> bool {
        let (dst, event, payload) = (to.as_ref(), event.as_ref(), payload.as_ref());
        let command = Command::Send { from: None, dst, room: ROOT, event, payload };
        if self.0.refuses(&command) {
            return false;
        }
        // Found and sent under one lock: true means that the message was queued.
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

    /// Adds a connection to a room, as if it had requested this, but without applying rules. Returns
    /// false if there is no such connection. [`members`](Self::members) shows whether it was allowed
    /// in one more room.
    pub fn join(&self, conn: impl AsRef<str>, room: impl AsRef<str>) -> bool {
        let room = room.as_ref();
        let join = |conn| Command::Join { conn, room };
        self.0.command_about(conn.as_ref(), join, PeerCommand::Join { room })
    }

    /// Removes a connection from a room: it receives `leave_ack`, and the other members are notified.
    /// It stays connected and may join again, unless a rule
    /// ([`may_join`](crate::Builder::may_join)) prevents it. Returns false if there is no such
    /// connection. The same as [`Conn::leave`](crate::Conn::leave).
    #[doc(alias = "leave")]
    pub fn kick(&self, conn: impl AsRef<str>, room: impl AsRef<str>) -> bool {
        let room = room.as_ref();
        let leave = |conn| Command::Leave { conn, room };
        self.0.command_about(conn.as_ref(), leave, PeerCommand::Leave { room })
    }

    /// Moves a connection from one room to another in one step: it is never observed in neither room
    /// or in both. Returns false, and changes nothing, if there is no such connection or it is not in
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

    /// Closes a connection: it leaves all its rooms, receives the messages queued for it, then a close
    /// frame with this code and reason. Returns false if there is no such connection. The same as
    /// [`Conn::close`](crate::Conn::close).
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

    /// Returns the number of a room's members; 0 if there is no such room.
    #[must_use]
    pub fn member_count(&self, room: impl AsRef<str>) -> usize {
        let core = self.0.core();
        let tables = core.hub.tables();
        tables.find_room(room.as_ref()).map_or(0, |room| tables.member_count(room))
    }

    /// Returns the ids of a room's members; empty if there is no such room.
    #[must_use]
    pub fn members(&self, room: impl AsRef<str>) -> Vec<ConnId> {
        let core = self.0.core();
        let tables = core.hub.tables();
        let Some(room) = tables.find_room(room.as_ref()) else { return Vec::new() };
        let members = tables.members(room).iter().filter_map(|member| tables.conn_id(member));
        members.chain(tables.guests(room)).collect()
    }

    /// Returns true if a connection is a member of a room, without the list of all of them.
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

    /// Returns a handle to a connection: its claims, its data, its rooms.
    #[must_use]
    pub fn conn(&self, id: impl AsRef<str>) -> Option<Conn> {
        let core = self.0.core();
        let info = core.infos.get(core.hub.tables().find_conn(id.as_ref())?)?.clone();
        Some(Conn::new(&self.0, info))
    }

    /// Returns handles to all connections, in no particular order.
    #[must_use]
    pub fn conns(&self) -> Vec<Conn> {
        let core = self.0.core();
        let infos = core.infos.iter().cloned();
        infos.map(|info| Conn::new(&self.0, info)).collect()
    }

    /// Returns a handle to all connections of the user with this name, which need not be connected.
    #[must_use]
    pub fn user(&self, name: impl AsRef<str>) -> User {
        User::new(self, name.as_ref())
    }

    /// Replaces the info of a connection of this node, as [`Conn::set_info`] does. Returns false if
    /// there is no such connection.
    ///
    /// # Errors
    ///
    /// [`InfoTooLong`] if the info is above [`max_info`](crate::Builder::max_info).
    pub fn set_info(
        &self,
        conn: impl AsRef<str>,
        info: impl Into<Option<Info>>,
    ) -> Result<bool, InfoTooLong> {
        let info = InfoTooLong::check(info.into(), self.0.options())?;
        let conn = self.0.core().hub.tables().find_conn(conn.as_ref());
        // If the connection ends meanwhile, its key is stale and nothing happens.
        if let Some(conn) = conn {
            self.0.command(Command::SetInfo { conn, info: info.as_ref() });
        }
        Ok(conn.is_some())
    }

    /// Returns the state that the server was built with ([`Builder::state`](crate::Builder::state)).
    ///
    /// # Panics
    ///
    /// If the server was built without a state of this type, which is a bug of the application.
    #[must_use]
    pub fn state<T: Any + Send + Sync>(&self) -> &T {
        match self.0.options().state.iter().find_map(|state| state.downcast_ref()) {
            Some(state) => state,
            None => panic!("the server has no state of type {}", std::any::type_name::<T>()),
        }
    }
}

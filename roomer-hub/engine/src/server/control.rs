//! Methods of [`Server`] for rooms and connections, callable from any task.
//!
//! Connections are named by their ids, as a [`ConnId`] or as text; for an unknown id, methods return
//! `false`.

use std::any::Any;

use roomer_proto::ROOT;

use crate::Server;
use crate::app::conn::Conn;
use roomer_hub::{Command, Input};
use roomer_hub::{ConnId, ConnKey};

impl Server {
    /// Sends to every member of a room, in the server's own name: `src` is empty. Does nothing if
    /// there is no such room.
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
        self.command(Command::Broadcast {
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
        let mut core = self.core();
        let except = core.hub.tables().find_conn(except.as_ref());
        let command =
            Command::Broadcast { from: None, except, except_guest: None, room, event, payload };
        core.apply(self.now(), Input::Command(command), None);
        drop(core);
        self.flush_unless_in_callback();
    }

    /// Sends to one connection, in the server's own name, as a packet of the room `root`. Returns
    /// false if there is no such connection; true does not mean that the message has arrived.
    pub fn send(
        &self,
        to: impl AsRef<str>,
        event: impl AsRef<str>,
        payload: impl AsRef<[u8]>,
    ) -> bool {
        let (dst, event, payload) = (to.as_ref(), event.as_ref(), payload.as_ref());
        self.command_about(dst, |_| Command::Send { from: None, dst, room: ROOT, event, payload })
    }

    /// Adds a connection to a room, as if it had requested this, but without applying rules. Returns
    /// false if there is no such connection. [`members`](Self::members) shows if it was allowed in
    /// one more room.
    pub fn join(&self, conn: impl AsRef<str>, room: impl AsRef<str>) -> bool {
        let room = room.as_ref();
        self.command_about(conn.as_ref(), |conn| Command::Join { conn, room })
    }

    /// Removes a connection from a room: it receives `leave_ack`, and the other members are notified.
    /// It stays connected and may join again, unless a rule
    /// ([`may_join`](crate::Builder::may_join)) prevents it. Returns false if there is no such
    /// connection.
    pub fn kick(&self, conn: impl AsRef<str>, room: impl AsRef<str>) -> bool {
        let room = room.as_ref();
        self.command_about(conn.as_ref(), |conn| Command::Leave { conn, room })
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
        let mut core = self.core();
        let tables = core.hub.tables();
        let is_in = |conn: &ConnKey| {
            tables.find_room(from).is_some_and(|room| tables.is_member(*conn, room))
        };
        let Some(conn) = tables.find_conn(conn.as_ref()).filter(is_in) else {
            return false;
        };
        for command in [Command::Leave { conn, room: from }, Command::Join { conn, room: to }] {
            core.apply(self.now(), Input::Command(command), None);
        }
        drop(core);
        self.flush_unless_in_callback();
        true
    }

    /// Closes a connection: it leaves all its rooms, receives the messages queued for it, then a close
    /// frame with this code and reason. Returns false if there is no such connection.
    pub fn disconnect(&self, conn: impl AsRef<str>, code: u16, reason: &str) -> bool {
        self.command_about(conn.as_ref(), |conn| Command::Close { conn, code, reason })
    }

    /// Returns the names of all rooms with their member counts, sorted by name.
    #[must_use]
    pub fn rooms(&self) -> Vec<(String, usize)> {
        let core = self.core();
        let tables = core.hub.tables();
        let rooms = tables.rooms();
        let mut rooms: Vec<_> =
            rooms.map(|(key, name)| (name.to_owned(), tables.members(key).len())).collect();
        rooms.sort_unstable();
        rooms
    }

    /// Returns the number of a room's members; 0 if there is no such room.
    #[must_use]
    pub fn member_count(&self, room: impl AsRef<str>) -> usize {
        let core = self.core();
        let tables = core.hub.tables();
        tables.find_room(room.as_ref()).map_or(0, |room| tables.members(room).len())
    }

    /// Returns the ids of a room's members; empty if there is no such room.
    #[must_use]
    pub fn members(&self, room: impl AsRef<str>) -> Vec<ConnId> {
        let core = self.core();
        let tables = core.hub.tables();
        let Some(room) = tables.find_room(room.as_ref()) else { return Vec::new() };
        tables.members(room).iter().filter_map(|member| tables.conn_id(member)).collect()
    }

    /// Returns a handle to a connection: its claims, its data, its rooms.
    #[must_use]
    pub fn conn(&self, id: impl AsRef<str>) -> Option<Conn> {
        let core = self.core();
        let info = core.infos.get(core.hub.tables().find_conn(id.as_ref())?)?.clone();
        Some(Conn { server: self.clone(), info })
    }

    /// Returns handles to all connections, in no particular order.
    #[must_use]
    pub fn conns(&self) -> Vec<Conn> {
        let core = self.core();
        let infos = core.infos.iter().cloned();
        infos.map(|info| Conn { server: self.clone(), info }).collect()
    }

    /// Returns the state that the server was built with ([`Builder::state`](crate::Builder::state)).
    ///
    /// # Panics
    ///
    /// If the server was built without a state of this type, which is a bug of the application.
    #[must_use]
    pub fn state<T: Any + Send + Sync>(&self) -> &T {
        match self.options().state.iter().find_map(|state| state.downcast_ref()) {
            Some(state) => state,
            None => panic!("the server has no state of type {}", std::any::type_name::<T>()),
        }
    }

    /// Executes a command. Inside a handler of this server, the connection's own poll flushes later,
    /// so that messages from handlers are batched like all others.
    pub(crate) fn command(&self, command: Command<'_>) {
        self.core().apply(self.now(), Input::Command(command), None);
        self.flush_unless_in_callback();
    }

    /// Executes a command about a connection, given by id. Returns false if there is none.
    fn command_about<'a>(&self, id: &str, command: impl Fn(ConnKey) -> Command<'a>) -> bool {
        let mut core = self.core();
        let Some(conn) = core.hub.tables().find_conn(id) else {
            return false;
        };
        core.apply(self.now(), Input::Command(command(conn)), None);
        drop(core);
        self.flush_unless_in_callback();
        true
    }
}

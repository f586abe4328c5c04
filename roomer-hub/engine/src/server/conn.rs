//! The handle to a connection, for handlers, rules, hooks and the application's own tasks.

use std::any::{Any, TypeId};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;

use roomer_hub::{Command, ConnId, ConnKey};
use roomer_proto::websocket::{Kind, message_frame};
use roomer_proto::{ROOT, close};

use crate::Server;
use crate::app::claims::Claims;
use crate::app::conn_info::ConnInfo;
use crate::app::message::Message;
use crate::shared::Shared;

/// A handle to one connection. It is cheap to clone, can be used from any thread, and stays valid after
/// the connection has ended: messages sent through it are then dropped.
#[derive(Clone)]
pub struct Conn {
    pub(crate) server: Server,
    pub(crate) info: Arc<ConnInfo>,
}

impl Conn {
    pub(crate) fn new(shared: &Arc<Shared>, info: Arc<ConnInfo>) -> Self {
        Conn { server: Server(shared.clone()), info }
    }

    /// Returns the connection's id, which is the `src` of messages from it and the `dst` of direct
    /// messages to it.
    #[must_use]
    pub fn id(&self) -> ConnId {
        self.info.id
    }

    /// Returns the connection's claims, from [`authorize`](crate::Builder::authorize) or middleware, or
    /// `None` if neither has provided any.
    #[must_use]
    pub fn claims(&self) -> Option<&Claims> {
        self.info.claims()
    }

    /// Returns the value of this type from the handshake: from [`Claims::with`], or from the request's
    /// extensions, as set by middleware. The value is kept as long as a handle to the connection
    /// exists. For values stored by handlers, see [`set`](Self::set) and [`get`](Self::get).
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::Server; // or roomer_smol
    /// #[derive(Clone)]
    /// struct User { name: String }
    ///
    /// let server = Server::builder()
    ///     .on("whoami", |conn, message| {
    ///         let user = conn.extension::<User>().ok_or("not logged in")?;
    ///         conn.reply(message, "you", &user.name);
    ///         Ok(())
    ///     })
    ///     .build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    #[must_use]
    pub fn extension<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.info.credentials.as_ref()?.extensions.get()
    }

    /// Returns the name of the connection's user ([`Claims::user`]).
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.info.user().map(|user| &**user)
    }

    /// Returns the client's address, as in [`HandshakeRequest::peer`](crate::HandshakeRequest::peer).
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.info.peer.get()
    }

    /// Returns the server that the connection belongs to.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Returns true if the connection is still open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.server.0.core().hub.tables().conn_id(self.info.key).is_some()
    }

    /// Stores a value with the connection, one per type, and returns the previous value of that type.
    /// The value is kept as long as a handle to the connection exists.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::Server; // or roomer_smol
    /// struct Name(String);
    ///
    /// let server = Server::builder()
    ///     .on("name", |conn, message| {
    ///         conn.set(Name(message.text()?.to_owned()));
    ///         Ok(())
    ///     })
    ///     .on("who", |conn, message| {
    ///         if let Some(name) = conn.get::<Name>() {
    ///             conn.send_to_room(message.room, "who", name.0.as_bytes());
    ///         }
    ///         Ok(())
    ///     });
    /// # server.build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    pub fn set<T: Any + Send + Sync>(&self, value: T) -> Option<Arc<T>> {
        let value: Arc<dyn Any + Send + Sync> = Arc::new(value);
        let before = self.info.with_values(|values| values.insert(TypeId::of::<T>(), value));
        before.and_then(|before| before.downcast().ok())
    }

    /// Returns the value of this type stored by [`set`](Self::set).
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let value = self.info.with_values(|values| values.get(&TypeId::of::<T>()).cloned());
        value.and_then(|value| value.downcast().ok())
    }

    /// Returns the server's state of this type ([`Builder::state`](crate::Builder::state)).
    ///
    /// # Panics
    ///
    /// Panics if the server was built without state of this type, which is a bug in the application.
    #[must_use]
    pub fn state<T: Any + Send + Sync>(&self) -> &T {
        self.server.state()
    }

    /// Returns the names of the connection's rooms. Empty after the connection has ended.
    #[must_use]
    pub fn rooms(&self) -> Vec<String> {
        let core = self.server.0.core();
        let tables = core.hub.tables();
        let rooms = tables.rooms_of(self.info.key);
        rooms.filter_map(|room| tables.room_name(room).map(String::from)).collect()
    }

    /// Adds the connection to a room, as if its client had joined, but without calling rules.
    pub fn join(&self, room: impl AsRef<str>) {
        self.server.0.command(Command::Join { conn: self.info.key, room: room.as_ref() });
    }

    /// Removes the connection from a room. The connection receives `leave_ack`, and the members are
    /// notified. The connection stays open. Same as [`Server::kick`], which takes an id, and whose
    /// documentation also describes pending joins.
    #[doc(alias = "kick")]
    pub fn leave(&self, room: impl AsRef<str>) {
        self.server.0.command(Command::Leave { conn: self.info.key, room: room.as_ref() });
    }

    /// Sends a message to all members of a room except this connection, which need not be a member.
    /// The message's `src` is this connection's id. If the room does not exist, the message is
    /// dropped. In a cluster, the limit of [`Server::broadcast`] applies. Clients do not deliver the
    /// events listed there.
    pub fn send_to_room(
        &self,
        room: impl AsRef<str>,
        event: impl AsRef<str>,
        payload: impl AsRef<[u8]>,
    ) {
        let from = Some(self.info.key);
        let (room, event, payload) = (room.as_ref(), event.as_ref(), payload.as_ref());
        self.server.0.command(Command::Broadcast {
            from,
            except: from,
            except_guest: None,
            room,
            event,
            payload,
        });
    }

    /// Sends a message to the connection with this id, as a packet in the room `root`. The
    /// message's `src` is this connection's id. If the receiving connection does not exist, the
    /// message is dropped. For a receiver on another node, the limit of [`Server::send`] applies.
    /// Clients do not deliver the events listed at [`Server::broadcast`].
    pub fn send_to_client(
        &self,
        id: impl AsRef<str>,
        event: impl AsRef<str>,
        payload: impl AsRef<[u8]>,
    ) {
        let from = Some(self.info.key);
        let (dst, event, payload) = (id.as_ref(), event.as_ref(), payload.as_ref());
        self.server.0.command(Command::Send { from, dst, room: ROOT, event, payload });
    }

    /// Sends a message from the server (`src` is empty) to this connection, as a packet in the room
    /// `root`. To reply to a message in its room, use [`reply`](Self::reply). Clients do not deliver
    /// the events listed at [`Server::broadcast`].
    pub fn send(&self, event: impl AsRef<str>, payload: impl AsRef<[u8]>) {
        self.send_in(ROOT, event.as_ref(), payload.as_ref());
    }

    /// Replies to a message: sends a message from the server (`src` is empty) to this connection,
    /// as a packet in the original message's room. Clients do not deliver the events listed at
    /// [`Server::broadcast`].
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::Server; // or roomer_smol
    /// let server = Server::builder()
    ///     .on("time", |conn, message| {
    ///         conn.reply(&message, "time", "12:00");
    ///     })
    ///     .build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    pub fn reply<S: AsRef<str>, B: AsRef<[u8]>>(
        &self,
        message: &Message<'_, S, B>,
        event: impl AsRef<str>,
        payload: impl AsRef<[u8]>,
    ) {
        self.send_in(message.room.as_ref(), event.as_ref(), payload.as_ref());
    }

    fn send_in(&self, room: &str, event: &str, payload: &[u8]) {
        let dst = self.info.id.as_str();
        self.server.0.command(Command::Send { from: None, dst, room, event, payload });
    }

    /// Queues raw bytes for this connection as one binary message, without checking that they are a
    /// packet. Returns true if the message was queued, which does not mean that it was delivered.
    /// Returns false if the connection has ended, or if more than
    /// [`max_backlog`](crate::Builder::max_backlog) bytes are queued for it. Never blocks.
    #[must_use = "false means that the message was not queued"]
    pub fn send_raw(&self, message: impl AsRef<[u8]>) -> bool {
        let mut frame = Vec::new();
        message_frame(Kind::Binary, message.as_ref(), &mut frame);
        self.server.0.send_frame(self.info.key, frame)
    }

    /// Closes this connection. The connection leaves all its rooms, and its client receives the
    /// queued messages, followed by a close frame with this code and reason. Same as
    /// [`Server::disconnect`], which takes an id, and whose documentation also describes clients
    /// that have lost their connection.
    #[doc(alias = "disconnect")]
    pub fn close(&self, code: u16, reason: &str) {
        self.server.0.command(Command::Close { conn: self.info.key, code, reason });
    }

    /// Closes this connection with 1013, so that its client reconnects later, for example because a
    /// service that must approve a join does not respond. A client with the extended protocol
    /// receives the reason `retry=MS` instead of this one, and reconnects after `MS` milliseconds.
    /// The delays of all clients are spread over the
    /// [`retry_window`](crate::Builder::retry_window), so that they do not all return at the same
    /// time.
    pub fn close_with_retry(&self, reason: &str) {
        let shared = &self.server.0;
        let (code, window) = (close::OVERLOADED.code, shared.options().retry_window);
        let (key, now) = (self.info.key, shared.now());
        shared.core().close_for_later(now, key, code, (code, reason), window);
        shared.flush_unless_in_callback();
    }
}

/// Two handles are equal if they refer to the same connection on the same server.
impl PartialEq for Conn {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Conn {}

impl Hash for Conn {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl Conn {
    fn identity(&self) -> (usize, ConnKey) {
        (self.server.0.address(), self.info.key)
    }
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn")
            .field("id", &self.info.id)
            .field("claims", &self.info.claims())
            .finish_non_exhaustive()
    }
}

//! A connection as handlers see it.

use std::sync::Arc;

use roomer_proto::websocket::{Kind, message_frame};

use super::Server;
use super::claims::Claims;
use crate::id::{ConnId, ConnKey};
use crate::input::Command;

/// A handle to one connection. Cheap to clone, usable from any thread, and harmless once the
/// connection is gone: what is sent through it then is dropped.
#[derive(Clone, Debug)]
pub struct Conn {
    pub(super) server: Server,
    pub(super) key: ConnKey,
    pub(super) id: ConnId,
    pub(super) claims: Option<Arc<Claims>>,
}

impl Conn {
    /// The connection's id: what others see as `src` and address as `dst`.
    #[must_use]
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// What the [`authorize`](super::Builder::authorize) hook gave it; `None` without a hook.
    #[must_use]
    pub fn claims(&self) -> Option<&Claims> {
        self.claims.as_deref()
    }

    /// Sends to every member of a room but this connection, which need not be in it. No such
    /// room: nobody hears it.
    pub fn send_to_room(&self, room: &str, event: &str, payload: &[u8]) {
        let from = Some(self.key);
        self.server.command(Command::Broadcast { from, room, event, payload });
    }

    /// Sends to one connection by id, as a packet of the room `root`. Unknown id: nobody hears
    /// it.
    pub fn send_to_client(&self, id: &str, event: &str, payload: &[u8]) {
        let from = Some(self.key);
        self.server.command(Command::Send { from, dst: id, event, payload });
    }

    /// Queues raw bytes for this connection as one binary message; they are not checked. True
    /// means queued, not delivered; false means that the connection is gone, or already owed more
    /// than [`max_backlog`](super::Builder::max_backlog). Never waits.
    #[must_use = "false means that the message was not taken"]
    pub fn try_send(&self, message: &[u8]) -> bool {
        let mut frame = Vec::new();
        message_frame(Kind::Binary, message, &mut frame);
        self.server.send(self.key, frame)
    }

    /// Closes this connection: it leaves all its rooms, gets what it is still owed, then a close
    /// frame.
    pub fn close(&self, code: u16, reason: &str) {
        self.server.command(Command::Close { conn: self.key, code, reason });
    }
}

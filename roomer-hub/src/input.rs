//! The inputs of a hub: what happened to a connection, and what the application commands.

use roomer_proto::close::Close;
use roomer_proto::{ConnId, PacketRef};

use crate::keys::ConnKey;

/// An event that the hub has to handle. See [`Hub::handle`](crate::Hub::handle).
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A connection opened. It joins `root`.
    Open {
        /// The connection's id, made by the caller and never used before.
        id: ConnId,
    },
    /// A client's packet was received.
    Packet {
        /// The connection that sent the packet.
        conn: ConnKey,
        /// The client's packet. Its `src` is ignored.
        packet: PacketRef<'a>,
    },
    /// The application allowed the packet of an [`Action::Authorize`](crate::Action::Authorize).
    /// The packet is handled as if it did not need a permission: all other rules are checked
    /// again, but not the rates, since it has already taken its tokens.
    Allowed {
        /// The connection that sent the packet.
        conn: ConnKey,
        /// The packet of the action.
        packet: PacketRef<'a>,
    },
    /// The application denied the packet of an [`Action::Authorize`](crate::Action::Authorize).
    /// The packet is dropped and counted. A denied join is answered with `leave_ack`, unless the
    /// server has joined the connection to that room in the meantime: then it counts as a repeated
    /// join.
    Denied {
        /// The connection that sent the packet.
        conn: ConnKey,
        /// The packet of the action.
        packet: PacketRef<'a>,
    },
    /// A connection ended, for any reason. It leaves all its rooms.
    Gone {
        /// The connection that ended.
        conn: ConnKey,
    },
    /// A handler or the application sent a command.
    Command(Command<'a>),
}

/// A command of a handler or of the application. A command about a connection that is gone has no
/// effect.
#[derive(Clone, Copy, Debug)]
pub enum Command<'a> {
    /// Send a message to the members of a room; without such a room it has no receivers.
    /// (`SendToRoom` of the Go original, which always leaves the sender out.)
    Broadcast {
        /// The sender, whose id is the packet's `src`; `None` for the server. It does not have to
        /// be a member.
        from: Option<ConnKey>,
        /// The member to leave out, if any.
        except: Option<ConnKey>,
        /// The room's name.
        room: &'a str,
        /// The event's name.
        event: &'a str,
        /// The packet's payload, any bytes.
        payload: &'a [u8],
    },
    /// Send a message to one connection; it is dropped if the id is unknown. (`SendToClient` of
    /// the Go original, whose room is always `root`.)
    Send {
        /// The sender, whose id is the packet's `src`; `None` for the server.
        from: Option<ConnKey>,
        /// The receiver's id.
        dst: &'a str,
        /// The room that the packet names. The receiver does not have to be a member.
        room: &'a str,
        /// The event's name.
        event: &'a str,
        /// The packet's payload, any bytes.
        payload: &'a [u8],
    },
    /// Join a connection to a room, as if its client had sent `join`, but without rules of the
    /// application.
    Join {
        /// The connection to join.
        conn: ConnKey,
        /// The room's name.
        room: &'a str,
    },
    /// Remove a connection from a room and send it `leave_ack`.
    Leave {
        /// The connection to remove.
        conn: ConnKey,
        /// The room's name.
        room: &'a str,
    },
    /// Close a connection: it leaves all its rooms, then [`Action::Close`](crate::Action::Close)
    /// follows.
    Close {
        /// The connection to close.
        conn: ConnKey,
        /// The WebSocket close code.
        code: u16,
        /// The close reason.
        reason: &'a str,
    },
}

impl Command<'static> {
    /// Creates the command to close a connection with a code and reason of the table of close
    /// codes.
    #[must_use]
    pub fn close(conn: ConnKey, close: &Close) -> Self {
        let (code, reason) = close.frame();
        Command::Close { conn, code, reason }
    }
}

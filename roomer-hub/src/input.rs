//! What can happen to a hub.

use roomer_proto::PacketRef;
use roomer_proto::close::Close;

use crate::keys::ConnKey;
use roomer_proto::ConnId;

/// Something that happened. See [`Hub::handle`](crate::Hub::handle).
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A connection is there, under an id that the caller made. It joins `root`.
    Open {
        /// Its id, never used before.
        id: ConnId,
    },
    /// A connection sent a packet.
    Packet {
        /// Who.
        conn: ConnKey,
        /// What. Its `src` is ignored.
        packet: PacketRef<'a>,
    },
    /// The packet of an [`Action::Authorize`](crate::Action::Authorize) is allowed: it is handled as if
    /// nobody had to be asked. What else is checked is checked again, but for the rates, which it
    /// has passed.
    Allowed {
        /// Who sent it.
        conn: ConnKey,
        /// What.
        packet: PacketRef<'a>,
    },
    /// The packet of an [`Action::Authorize`](crate::Action::Authorize) is refused: it is dropped and
    /// counted; a join is answered with `leave_ack`, unless the server has put the connection
    /// into that room meanwhile, which makes it a repeated join.
    Denied {
        /// Who sent it.
        conn: ConnKey,
        /// What.
        packet: PacketRef<'a>,
    },
    /// A connection is gone, for whatever reason. It leaves all its rooms.
    Gone {
        /// Who.
        conn: ConnKey,
    },
    /// A handler or the application wants something.
    Command(Command<'a>),
}

/// What a handler or the application can ask for. A command about a connection that is gone does
/// nothing.
#[derive(Clone, Copy, Debug)]
pub enum Command<'a> {
    /// Send to the members of a room. No such room: nobody hears it. (`SendToRoom` of the Go
    /// original, which always leaves the sender out.)
    Broadcast {
        /// On whose behalf, if anybody's: `src` of the packet. Need not be a member.
        from: Option<ConnKey>,
        /// The member to leave out, if any.
        except: Option<ConnKey>,
        /// The room's name.
        room: &'a str,
        /// The event's name.
        event: &'a str,
        /// Anything.
        payload: &'a [u8],
    },
    /// Send to one connection. Unknown id: nobody hears it. (`SendToClient` of the Go original,
    /// whose room is always `root`.)
    Send {
        /// On whose behalf, if anybody's: `src` of the packet.
        from: Option<ConnKey>,
        /// The receiver's id.
        dst: &'a str,
        /// The room that the packet names. The receiver need not be in it.
        room: &'a str,
        /// The event's name.
        event: &'a str,
        /// Anything.
        payload: &'a [u8],
    },
    /// Put a connection into a room, as if it had asked.
    Join {
        /// Who.
        conn: ConnKey,
        /// The room's name.
        room: &'a str,
    },
    /// Take a connection out of a room; it hears `leave_ack`.
    Leave {
        /// Who.
        conn: ConnKey,
        /// The room's name.
        room: &'a str,
    },
    /// End a connection: it leaves all its rooms, then [`Action::Close`](crate::Action::Close).
    Close {
        /// Who.
        conn: ConnKey,
        /// The WebSocket close code.
        code: u16,
        /// The close reason.
        reason: &'a str,
    },
}

impl Command<'static> {
    /// Ends a connection for a reason that stands in the table of close codes.
    #[must_use]
    pub fn close(conn: ConnKey, why: &Close) -> Self {
        let (code, reason) = why.frame();
        Command::Close { conn, code, reason }
    }
}

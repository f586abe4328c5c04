//! The inputs of a hub: events of connections, and commands of the application.

use std::sync::Arc;

use roomer_proto::close::Close;
use roomer_proto::extended::{ErrorCode, Info, Profile};
use roomer_proto::{ConnId, PacketRef};

use crate::keys::{ConnKey, PeerKey};

/// An event that the hub has to handle. See [`Hub::handle`](crate::Hub::handle).
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A connection opened. It joins `root`.
    Open {
        /// The connection's id, made by the caller and never used before.
        id: ConnId,
        /// True if the client speaks the extended protocol ([`roomer_proto::extended`]). Without
        /// [`Config::extended`](crate::Config::extended) every client counts as plain.
        extended: bool,
    },
    /// A connection opened that has info or a user. Otherwise the same as [`Input::Open`].
    OpenWithProfile {
        /// The connection's id.
        id: ConnId,
        /// True if the client speaks the extended protocol.
        extended: bool,
        /// The info and user that the extended members of its rooms get.
        profile: &'a Profile,
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
    /// The connection to a peer, another node of the cluster, is up. Rejected if it already was;
    /// all other inputs about a peer are rejected while it is not up
    /// ([`RejectedPeerInputs`](crate::RejectedPeerInputs)).
    PeerUp {
        /// The peer, whose key is in use from here on.
        peer: PeerKey,
        /// The first 4 bytes (8 hexadecimal digits) of the ids of this peer's connections.
        tag: [u8; 4],
    },
    /// A peer is gone. All its guests leave, with notices; its counts and its tag are forgotten.
    PeerGone {
        /// The peer, whose key is free from here on.
        peer: PeerKey,
    },
    /// A peer's connection joined a room of [full presence](crate::Presence::Full): it is a guest
    /// of the room from here on. A guest that is already there is not announced again.
    GuestJoined {
        /// The peer that the connection belongs to.
        peer: PeerKey,
        /// The room's name.
        room: &'a str,
        /// The connection's id, which bears the peer's tag.
        id: ConnId,
        /// The connection's info and user, if it has either. Ignored for a guest of another room, which
        /// has its profile.
        profile: Option<&'a Arc<Profile>>,
    },
    /// The info or the user of a guest has changed: the extended members of its rooms are notified. Without
    /// such a guest it has no effect.
    GuestProfile {
        /// The peer that the guest belongs to.
        peer: PeerKey,
        /// The connection's id.
        id: ConnId,
        /// The connection's info and user, if it has either.
        profile: Option<&'a Arc<Profile>>,
    },
    /// A peer's connection left a room. Without such a guest there it has no effect.
    GuestLeft {
        /// The peer that the guest belongs to.
        peer: PeerKey,
        /// The room's name.
        room: &'a str,
        /// The connection's id.
        id: ConnId,
    },
    /// The number of a peer's connections in a room without full presence.
    GuestCount {
        /// The peer that has counted its connections.
        peer: PeerKey,
        /// The room's name.
        room: &'a str,
        /// The number, which replaces the one before; 0 if there are none left.
        members: u32,
    },
    /// A message of a peer for the members of a room, but only for those on this node: the peer
    /// sends it to each node. It does not reach handlers, which run at the sender's node.
    PeerBroadcast {
        /// The peer that has sent the message.
        peer: PeerKey,
        /// The id of the connection of this node to leave out, if any.
        except: Option<ConnId>,
        /// The message. Its `src` is empty or bears the peer's tag, its event is not built in, and
        /// its `dst` is ignored.
        packet: PacketRef<'a>,
    },
    /// A message of a peer to the connection `dst` of this node; it is dropped and counted if the
    /// id is unknown.
    PeerDirect {
        /// The peer that has sent the message.
        peer: PeerKey,
        /// The message. Its `src` is empty or bears the peer's tag, and its event is not built in.
        packet: PacketRef<'a>,
    },
    /// A message only for the members of a room on this node, which has waited for its place in the room's
    /// order ([`Cluster::submit`](crate::cluster::Cluster::submit)). Its rules were checked before.
    Ordered {
        /// The id of the connection to leave out, if any.
        except: Option<ConnId>,
        /// The message. Its sender may have left meanwhile.
        packet: PacketRef<'a>,
    },
    /// Messages of a member of a room, on this node or another, may be missing: the other members on
    /// this node are notified that it left and that it joined. Without such a member it has no effect.
    Renewed {
        /// The member's id.
        id: ConnId,
        /// The room's name.
        room: &'a str,
    },
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
        /// The id of a peer's connection to leave out, if any.
        except_guest: Option<ConnId>,
        /// The room's name.
        room: &'a str,
        /// The event's name.
        event: &'a str,
        /// The packet's payload, any bytes.
        payload: &'a [u8],
    },
    /// Send a message to one connection. If it is not one of this node, the message is forwarded to
    /// the peer whose tag the id bears, or dropped if there is none. (`SendToClient` of
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
    /// Replace the info of a connection. The extended members of its rooms, including itself, are notified;
    /// where a room's [`Presence`](crate::Presence) is off, only itself, and where it counts, none.
    SetInfo {
        /// The connection that gets the info.
        conn: ConnKey,
        /// The new info; `None` for none.
        info: Option<&'a Info>,
    },
    /// Answer a client's request, the packet of an [`Action::Request`](crate::Action::Request). Has no
    /// effect if it was answered already.
    Answer {
        /// The connection that has sent the request.
        conn: ConnKey,
        /// The request's room.
        room: &'a str,
        /// The request's `dst`.
        dst: &'a str,
        /// The content of the answer.
        answer: Answer<'a>,
    },
    /// Send a request to a client. Exactly one [`Action::Answered`](crate::Action::Answered) or
    /// [`Action::Unanswered`](crate::Action::Unanswered) with its number follows, now or later, unless
    /// it is withdrawn.
    Request {
        /// The connection to ask.
        conn: ConnKey,
        /// The request's number, above those of all requests before.
        number: u64,
        /// The room that the packet names.
        room: &'a str,
        /// The event's name.
        event: &'a str,
        /// The packet's payload, any bytes.
        payload: &'a [u8],
    },
    /// Stop waiting for the answer to a request of the server. An answer that arrives later is
    /// dropped.
    Withdraw {
        /// The connection that was asked.
        conn: ConnKey,
        /// The request's number.
        number: u64,
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

/// A handler's answer to a client's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The payload of [`roomer:reply`](roomer_proto::extended::REPLY).
    Reply(&'a [u8]),
    /// An error, [`roomer:error`](roomer_proto::extended::ERROR).
    Error {
        /// The error's code.
        code: ErrorCode,
        /// A text for developers.
        message: &'a str,
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

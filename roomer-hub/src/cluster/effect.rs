//! The inputs and effects of the machine.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use roomer_proto::cluster::{NodeId, PeerCommand, Tag};
use roomer_proto::extended::Profile;
use roomer_proto::{ConnId, PacketRef};

use super::causes::{GoneCause, RefusedCause, ResetCause};
use super::proof::SessionProof;
use super::user::UserCommand;
use crate::keys::PeerKey;
use crate::peers::Peers;

/// An event that the machine has to handle. See [`Cluster::handle`](super::Cluster::handle).
#[derive(Clone, Debug)]
pub enum Input {
    /// The link to the broker is up, and the subscriptions of both subjects are confirmed.
    Up {
        /// The maximum number of bytes that the broker takes in one message.
        max_payload: usize,
    },
    /// The link to the broker is down. Frames that were published may have arrived or not.
    Down,
    /// A frame arrived from one of the two subjects.
    Frame(Bytes),
    /// A deadline of the machine has passed; see [`Cluster::wake_at`](super::Cluster::wake_at).
    Tick,
    /// The node stops: its peers should not wait for its silence.
    Stop,
}

/// A change of this node, for its peers. See [`Cluster::record`](super::Cluster::record).
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// A connection joined a room.
    Joined {
        /// The connection's id.
        id: ConnId,
        /// The room's name.
        room: &'a str,
    },
    /// A connection left a room.
    Left {
        /// The connection's id.
        id: ConnId,
        /// The room's name.
        room: &'a str,
    },
    /// The info of a connection was replaced.
    Profile {
        /// The connection's id.
        id: ConnId,
    },
    /// A message was sent to a room with members at peers.
    Broadcast {
        /// The peers that have members in the room.
        peers: Peers<'a>,
        /// A connection of a peer that does not receive the message.
        except: Option<ConnId>,
        /// The packet, with `src` set.
        packet: PacketRef<'a>,
    },
    /// A message was sent to a connection of a peer.
    Direct {
        /// The hub's key of the peer whose connection `dst` names.
        peer: PeerKey,
        /// The packet, with `src` set.
        packet: PacketRef<'a>,
    },
    /// The application sent a command about a connection of a peer.
    Command {
        /// The hub's key of the peer with the connection.
        peer: PeerKey,
        /// The connection's id.
        id: ConnId,
        /// The command, for the peer to carry out.
        command: PeerCommand<'a>,
    },
    /// The client of a session of a peer has connected to this node instead, and has a new session here.
    Elsewhere {
        /// The hub's key of the peer with the session.
        peer: PeerKey,
        /// The id of the session's connection.
        id: ConnId,
        /// The proof that the client has presented the session's token.
        proof: SessionProof,
    },
    /// The application sent a command about all connections of a user.
    User {
        /// The user's name.
        user: &'a str,
        /// The command, for each peer to carry out.
        command: roomer_proto::cluster::UserCommand<'a>,
    },
}

/// A consequence of an input, for the driver to carry out. The effects of an input are given in the
/// order in which to carry them out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Give [`Input::PeerUp`](crate::Input::PeerUp) to the hub.
    PeerUp {
        /// The peer's key in the hub.
        peer: PeerKey,
        /// The first 4 bytes of its connections' ids.
        tag: Tag,
    },
    /// Give [`Input::PeerGone`](crate::Input::PeerGone) to the hub.
    PeerGone {
        /// The peer's key in the hub.
        peer: PeerKey,
    },
    /// Give [`Input::GuestJoined`](crate::Input::GuestJoined) to the hub.
    GuestJoined {
        /// The peer's key in the hub.
        peer: PeerKey,
        /// The room's name.
        room: ByteString,
        /// The connection's id.
        id: ConnId,
        /// The connection's info and user, if it has either.
        profile: Option<Arc<Profile>>,
    },
    /// Give [`Input::GuestProfile`](crate::Input::GuestProfile) to the hub.
    GuestProfile {
        /// The peer's key in the hub.
        peer: PeerKey,
        /// The connection's id.
        id: ConnId,
        /// The connection's info and user, if it has either.
        profile: Option<Arc<Profile>>,
    },
    /// Give [`Input::GuestLeft`](crate::Input::GuestLeft) to the hub.
    GuestLeft {
        /// The peer's key in the hub.
        peer: PeerKey,
        /// The room's name.
        room: ByteString,
        /// The connection's id.
        id: ConnId,
    },
    /// Give [`Input::GuestCount`](crate::Input::GuestCount) to the hub.
    GuestCount {
        /// The peer's key in the hub.
        peer: PeerKey,
        /// The room's name.
        room: ByteString,
        /// The number of the peer's members; 0 if there are none left.
        members: u32,
    },
    /// Give [`Input::PeerBroadcast`](crate::Input::PeerBroadcast) to the hub.
    Broadcast {
        /// The peer's key in the hub.
        peer: PeerKey,
        /// The local connection that does not receive the message.
        except: Option<ConnId>,
        /// The encoded packet.
        packet: Bytes,
    },
    /// Give [`Input::PeerDirect`](crate::Input::PeerDirect) to the hub.
    Direct {
        /// The peer's key in the hub.
        peer: PeerKey,
        /// The encoded packet.
        packet: Bytes,
    },
    /// Give [`Input::Ordered`](crate::Input::Ordered) to the hub.
    Ordered {
        /// The connection that does not receive the message.
        except: Option<ConnId>,
        /// The encoded packet.
        packet: Bytes,
    },
    /// Give [`Input::Renewed`](crate::Input::Renewed) to the hub.
    Renewed {
        /// The member's id.
        id: ConnId,
        /// The room's name.
        room: ByteString,
    },
    /// Carry out a command of a peer's application about a connection of this node.
    Command {
        /// The connection's id.
        id: ConnId,
        /// The command, for the driver to carry out.
        command: Command,
    },
    /// End the session of a connection of this node, if the proof is right: its client has connected to
    /// a peer instead, and has a new session there.
    Elsewhere {
        /// The peer's number.
        from: NodeId,
        /// The connection's id.
        id: ConnId,
        /// The proof that the client has presented the session's token.
        proof: SessionProof,
    },
    /// Carry out a command of a peer's application about all of this node's connections of a user.
    User {
        /// The user's name.
        user: ByteString,
        /// The command, for the driver to carry out for each connection.
        command: UserCommand,
    },
    /// Close this node's connections that may have missed messages of a peer
    /// ([`Loss::Close`](super::Loss::Close)), spread over some time.
    Close {
        /// The room whose members may have missed some; `None` for every connection.
        room: Option<ByteString>,
    },
    /// Report an event, in logs, metrics or hooks.
    Event(Event),
}

impl Effect {
    /// Returns the input to give to the hub; `None` for commands, closes and ends of sessions, which the
    /// driver carries out, and events.
    #[must_use]
    pub fn hub_input(&self) -> Option<crate::Input<'_>> {
        Some(match self {
            Effect::PeerUp { peer, tag } => crate::Input::PeerUp { peer: *peer, tag: tag.0 },
            Effect::PeerGone { peer } => crate::Input::PeerGone { peer: *peer },
            Effect::GuestJoined { peer, room, id, profile } => {
                let profile = profile.as_ref();
                crate::Input::GuestJoined { peer: *peer, room, id: *id, profile }
            }
            Effect::GuestProfile { peer, id, profile } => {
                crate::Input::GuestProfile { peer: *peer, id: *id, profile: profile.as_ref() }
            }
            Effect::GuestLeft { peer, room, id } => {
                crate::Input::GuestLeft { peer: *peer, room, id: *id }
            }
            Effect::GuestCount { peer, room, members } => {
                crate::Input::GuestCount { peer: *peer, room, members: *members }
            }
            Effect::Broadcast { peer, except, packet } => crate::Input::PeerBroadcast {
                peer: *peer,
                except: *except,
                packet: PacketRef::decode(packet).ok()?,
            },
            Effect::Direct { peer, packet } => {
                crate::Input::PeerDirect { peer: *peer, packet: PacketRef::decode(packet).ok()? }
            }
            Effect::Ordered { except, packet } => {
                crate::Input::Ordered { except: *except, packet: PacketRef::decode(packet).ok()? }
            }
            Effect::Renewed { id, room } => crate::Input::Renewed { id: *id, room },
            Effect::Command { .. }
            | Effect::Elsewhere { .. }
            | Effect::User { .. }
            | Effect::Close { .. }
            | Effect::Event(_) => return None,
        })
    }
}

/// A [`PeerCommand`] that owns its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Join the connection to a room.
    Join {
        /// The room's name.
        room: Box<str>,
    },
    /// Remove the connection from a room.
    Leave {
        /// The room's name.
        room: Box<str>,
    },
    /// Move the connection from one room to another in one step, if it is in the first one.
    Move {
        /// The name of the room to leave.
        from: Box<str>,
        /// The name of the room to join.
        to: Box<str>,
    },
    /// Close the connection.
    Close {
        /// The WebSocket close code.
        code: u16,
        /// The close reason.
        reason: Box<str>,
    },
}

impl From<PeerCommand<'_>> for Command {
    fn from(command: PeerCommand<'_>) -> Self {
        match command {
            PeerCommand::Join { room } => Command::Join { room: room.into() },
            PeerCommand::Leave { room } => Command::Leave { room: room.into() },
            PeerCommand::Move { from, to } => Command::Move { from: from.into(), to: to.into() },
            PeerCommand::Close { code, reason } => Command::Close { code, reason: reason.into() },
        }
    }
}

/// An event of the cluster, for logs, metrics and hooks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The members of a peer are shown, and its name is known. Reported once until the peer is gone.
    PeerLive {
        /// The peer's number.
        node: NodeId,
        /// The peer's name.
        name: Box<str>,
    },
    /// A peer is gone, and its members with it.
    PeerGone {
        /// The peer's number.
        node: NodeId,
        /// The peer's name.
        name: Box<str>,
        /// The reason for which the peer counts as gone.
        why: GoneCause,
    },
    /// A peer starts over with its members, since messages from it may be missing.
    Reset {
        /// The peer's number.
        node: NodeId,
        /// The reason for which messages may be missing.
        why: ResetCause,
    },
    /// Messages of a peer may be lost, since it has started over, or since they were not given a place
    /// in their room's order. Reported for each room of this node's connections with missing messages.
    Gap {
        /// The peer, or this node itself for its own messages in a room with
        /// [`Order::Room`](crate::Order::Room).
        node: NodeId,
        /// The node's name.
        name: Box<str>,
        /// The room with missing messages; `None` for direct messages, or if any message may be missing.
        room: Option<Box<str>>,
        /// The number of missing frames, each with one or more items of any rooms; `None` if it is
        /// unknown.
        frames: Option<u64>,
    },
    /// A missing frame of a peer arrived after all.
    Repaired {
        /// The peer's number.
        node: NodeId,
        /// The time for which the later frames were held.
        after: Duration,
    },
    /// A peer speaks no version of frames that this node decodes. Reported once for each peer.
    Foreign {
        /// The peer's number.
        node: NodeId,
        /// The version of the frame that the peer sent.
        version: u8,
    },
    /// The settings of a peer differ from this node's. Reported once for each peer.
    Settings {
        /// The peer's number.
        node: NodeId,
        /// The peer's name.
        name: Box<str>,
    },
    /// A frame was dropped.
    Refused {
        /// The reason for which it was dropped.
        why: RefusedCause,
    },
}

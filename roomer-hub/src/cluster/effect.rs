//! The cluster state machine's inputs, changes, effects and events.

use std::sync::Arc;
use std::time::Duration;
use std::vec;

use bytes::Bytes;
use bytestring::ByteString;
use roomer_proto::cluster::{NodeId, NodeTag, PeerCommand, TunnelItem};
use roomer_proto::extended::Profile;
use roomer_proto::{ConnId, PacketRef};

use super::owned_peer_command::OwnedPeerCommand;
use super::owned_user_command::OwnedUserCommand;
use super::proof::SessionProof;
use super::reasons::{GoneReason, RefusedReason, ResetReason};
use crate::keys::PeerKey;
use crate::room_guests::Peers;

/// An input for the state machine. See [`Cluster::handle`](super::Cluster::handle).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// The link to the broker is up, and the subscriptions to both subjects are confirmed.
    Up {
        /// The maximum payload of a broker message in bytes.
        max_payload: usize,
    },
    /// The link to the broker is down. Frames published earlier may or may not have arrived.
    Down,
    /// A frame has arrived on either subject.
    Frame(Bytes),
    /// One of the state machine's deadlines has passed; see
    /// [`Cluster::wake_at`](super::Cluster::wake_at).
    Tick,
    /// The node is stopping. Its peers are notified and need not wait for a timeout.
    Stop,
}

/// A change on this node that peers must be informed of. See
/// [`Cluster::record`](super::Cluster::record).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
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
    /// A connection's info was replaced.
    Profile {
        /// The connection's id.
        id: ConnId,
    },
    /// A connection went away or came back.
    Away {
        /// The connection's id.
        id: ConnId,
    },
    /// A message was sent to a room with members on peers.
    Broadcast {
        /// The peers that have members in the room.
        peers: Peers<'a>,
        /// A peer's connection that should not receive the message.
        except: Option<ConnId>,
        /// The packet, with `src` set.
        packet: PacketRef<'a>,
    },
    /// A message was sent to a peer's connection.
    Direct {
        /// The hub's key for the peer with the connection `dst`.
        peer: PeerKey,
        /// The packet, with `src` set.
        packet: PacketRef<'a>,
    },
    /// The application issued a command for a peer's connection.
    Command {
        /// The hub's key for the peer with the connection.
        peer: PeerKey,
        /// The connection's id.
        id: ConnId,
        /// The command, for the peer to carry out.
        command: PeerCommand<'a>,
    },
    /// A client with a session on a peer has connected to this node instead, and has a new session
    /// here.
    Elsewhere {
        /// The hub's key for the peer with the session.
        peer: PeerKey,
        /// The session's connection id.
        id: ConnId,
        /// The proof that the client has presented the session's token.
        proof: SessionProof,
    },
    /// The application issued a command for all of a user's connections.
    User {
        /// The user's name.
        user: &'a str,
        /// The command, for each peer to carry out.
        command: roomer_proto::cluster::UserCommand<'a>,
    },
    /// A tunnel item for a peer. The bytes of a [`TunnelItem::Data`] must fit into
    /// [`Cluster::tunnel_room`](super::Cluster::tunnel_room).
    Tunnel {
        /// The peer's id.
        to: NodeId,
        /// The tunnel item to send.
        item: TunnelItem<'a>,
    },
}

/// An effect for the driver to carry out. The driver must carry out an input's effects in the order
/// returned.
///
/// The enum is exhaustive, so that a driver that does not carry out a new effect fails to compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Pass [`Input::PeerUp`](crate::Input::PeerUp) to the hub.
    PeerUp {
        /// The peer's key in the hub.
        peer: PeerKey,
        /// The first four bytes of the peer's connection ids.
        tag: NodeTag,
    },
    /// Pass [`Input::PeerGone`](crate::Input::PeerGone) to the hub.
    PeerGone {
        /// The peer's key in the hub.
        peer: PeerKey,
    },
    /// Pass [`Input::GuestJoined`](crate::Input::GuestJoined) to the hub.
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
    /// Pass [`Input::GuestProfile`](crate::Input::GuestProfile) to the hub.
    GuestProfile {
        /// The peer's key in the hub.
        peer: PeerKey,
        /// The connection's id.
        id: ConnId,
        /// The connection's info and user, if it has either.
        profile: Option<Arc<Profile>>,
    },
    /// Pass [`Input::GuestAway`](crate::Input::GuestAway) to the hub.
    GuestAway {
        /// The peer's key in the hub.
        peer: PeerKey,
        /// The connection's id.
        id: ConnId,
        /// True if its client has no socket.
        is_away: bool,
    },
    /// Pass [`Input::GuestLeft`](crate::Input::GuestLeft) to the hub.
    GuestLeft {
        /// The peer's key in the hub.
        peer: PeerKey,
        /// The room's name.
        room: ByteString,
        /// The connection's id.
        id: ConnId,
    },
    /// Pass [`Input::GuestCount`](crate::Input::GuestCount) to the hub.
    GuestCount {
        /// The peer's key in the hub.
        peer: PeerKey,
        /// The room's name.
        room: ByteString,
        /// The number of members on the peer; 0 if none are left.
        members: u32,
    },
    /// Pass [`Input::PeerBroadcast`](crate::Input::PeerBroadcast) to the hub.
    Broadcast {
        /// The peer's key in the hub.
        peer: PeerKey,
        /// A local connection that should not receive the message.
        except: Option<ConnId>,
        /// The encoded packet.
        packet: Bytes,
    },
    /// Pass [`Input::PeerDirect`](crate::Input::PeerDirect) to the hub.
    Direct {
        /// The peer's key in the hub.
        peer: PeerKey,
        /// The encoded packet.
        packet: Bytes,
    },
    /// Pass [`Input::Ordered`](crate::Input::Ordered) to the hub.
    Ordered {
        /// A connection that should not receive the message.
        except: Option<ConnId>,
        /// The encoded packet.
        packet: Bytes,
    },
    /// Pass [`Input::Renewed`](crate::Input::Renewed) to the hub.
    Renewed {
        /// The member's id.
        id: ConnId,
        /// The room's name.
        room: ByteString,
    },
    /// Carry out a command that a peer's application issued for a connection on this node.
    Command {
        /// The connection's id.
        id: ConnId,
        /// The command, for the driver to carry out.
        command: OwnedPeerCommand,
    },
    /// End the session of a connection on this node, after verifying the proof: the client has
    /// connected to a peer instead, and has a new session there.
    Elsewhere {
        /// The peer's id.
        from: NodeId,
        /// The connection's id.
        id: ConnId,
        /// The proof that the client has presented the session's token.
        proof: SessionProof,
    },
    /// Carry out a command that a peer's application issued for all of a user's connections on this
    /// node.
    User {
        /// The user's name.
        user: ByteString,
        /// The command, for the driver to carry out for each connection.
        command: OwnedUserCommand,
    },
    /// Handle a tunnel item from a peer.
    Tunnel {
        /// The peer's id.
        from: NodeId,
        /// The encoded [`TunnelItem`].
        item: Bytes,
    },
    /// Drop all tunnels with a peer, since tunnel items may be missing.
    TunnelsLost {
        /// The peer's id.
        peer: NodeId,
    },
    /// Close the connections on this node that may have missed messages from a peer
    /// ([`Loss::Close`](super::Loss::Close)), spread over time.
    Close {
        /// The room whose members may have missed messages; `None` for all connections.
        room: Option<ByteString>,
    },
    /// Report an event to logs, metrics or hooks.
    Event(Event),
}

impl Effect {
    /// Returns the input to pass to the hub. `None` for events, and for commands, closes, session
    /// ends and tunnels, which the driver handles itself.
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
            Effect::GuestAway { peer, id, is_away } => {
                crate::Input::GuestAway { peer: *peer, id: *id, is_away: *is_away }
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
            | Effect::Tunnel { .. }
            | Effect::TunnelsLost { .. }
            | Effect::Close { .. }
            | Effect::Event(_) => return None,
        })
    }
}

/// The effects of one input, in order. They borrow the state machine, so the compiler enforces that
/// they are consumed before the next input.
#[must_use = "the state machine relies on its effects being carried out"]
#[derive(Debug)]
pub struct Effects<'a>(pub(super) vec::Drain<'a, Effect>);

impl Iterator for Effects<'_> {
    type Item = Effect;

    fn next(&mut self) -> Option<Effect> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Effects<'_> {}

/// A cluster event, for logs, metrics and hooks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A peer's members are visible and its name is known. Not reported again until the peer is
    /// dropped.
    PeerLive {
        /// The peer's id.
        node: NodeId,
        /// The peer's name.
        name: Box<str>,
    },
    /// A peer was dropped, together with its members.
    PeerGone {
        /// The peer's id.
        node: NodeId,
        /// The peer's name.
        name: Box<str>,
        /// The reason for dropping the peer.
        reason: GoneReason,
    },
    /// A peer's stream restarts, because messages from it may be missing.
    Reset {
        /// The peer's id.
        node: NodeId,
        /// The reason for the restart.
        reason: ResetReason,
    },
    /// Messages from a peer may be lost, because its stream restarted or because they were not
    /// assigned a place in their room's order. Reported for each room with missing messages that
    /// has members on this node.
    Gap {
        /// The peer, or this node for its own messages in a room with
        /// [`Order::Room`](crate::Order::Room).
        node: NodeId,
        /// The node's name.
        name: Box<str>,
        /// The room with missing messages; `None` for direct messages, or if any message may be
        /// missing.
        room: Option<Box<str>>,
        /// The number of missing frames, each with items for one or more rooms; `None` if unknown.
        frames: Option<u64>,
    },
    /// A missing frame from a peer was recovered.
    Repaired {
        /// The peer's id.
        node: NodeId,
        /// The time for which later frames were held.
        after: Duration,
    },
    /// A peer and this node have no frame version in common. Reported once per peer.
    Foreign {
        /// The peer's id.
        node: NodeId,
        /// The version of the peer's frame.
        version: u8,
    },
    /// A peer's settings differ from this node's. Reported once per peer.
    Settings {
        /// The peer's id.
        node: NodeId,
        /// The peer's name.
        name: Box<str>,
    },
    /// A frame was dropped.
    Refused {
        /// The reason for dropping the frame.
        reason: RefusedReason,
    },
}

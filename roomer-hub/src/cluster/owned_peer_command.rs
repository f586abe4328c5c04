//! Owned copies of commands from a peer's application for connections on this node.

use roomer_proto::cluster::PeerCommand;

/// An owned [`PeerCommand`].
///
/// The enum is exhaustive for the same reason as the borrowed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnedPeerCommand {
    /// Add the connection to a room.
    Join {
        /// The room's name.
        room: Box<str>,
    },
    /// Remove the connection from a room.
    Leave {
        /// The room's name.
        room: Box<str>,
    },
    /// Move the connection from one room to another atomically, if it is a member of the room to
    /// leave.
    Move {
        /// The room to leave.
        from: Box<str>,
        /// The room to join.
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

impl From<PeerCommand<'_>> for OwnedPeerCommand {
    fn from(command: PeerCommand<'_>) -> Self {
        match command {
            PeerCommand::Join { room } => OwnedPeerCommand::Join { room: room.into() },
            PeerCommand::Leave { room } => OwnedPeerCommand::Leave { room: room.into() },
            PeerCommand::Move { from, to } => {
                OwnedPeerCommand::Move { from: from.into(), to: to.into() }
            }
            PeerCommand::Close { code, reason } => {
                OwnedPeerCommand::Close { code, reason: reason.into() }
            }
        }
    }
}

//! Commands for individual connections on another node.

use alloc::vec::Vec;

use super::FrameError;
use super::cursor::{Cursor, prefixed_len, put_prefixed};

/// A command for one connection on another node.
///
/// The enum is exhaustive, so that a node that does not carry out a new command fails to compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerCommand<'a> {
    /// Add the connection to a room.
    Join {
        /// The room's name.
        room: &'a str,
    },
    /// Remove the connection from a room.
    Leave {
        /// The room's name.
        room: &'a str,
    },
    /// Move the connection from one room to another atomically, if it is in the room to leave.
    Move {
        /// The name of the room to leave.
        from: &'a str,
        /// The name of the room to join.
        to: &'a str,
    },
    /// Close the connection.
    Close {
        /// The WebSocket close code.
        code: u16,
        /// The close reason.
        reason: &'a str,
    },
}

impl<'a> PeerCommand<'a> {
    pub(super) fn encoded_len(&self) -> usize {
        1 + match self {
            PeerCommand::Join { room } | PeerCommand::Leave { room } => room.len(),
            PeerCommand::Move { from, to } => prefixed_len(from.len()) + to.len(),
            PeerCommand::Close { reason, .. } => 2 + reason.len(),
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            PeerCommand::Join { room } => {
                out.push(0);
                out.extend_from_slice(room.as_bytes());
            }
            PeerCommand::Leave { room } => {
                out.push(1);
                out.extend_from_slice(room.as_bytes());
            }
            PeerCommand::Move { from, to } => {
                out.push(2);
                put_prefixed(from.as_bytes(), out);
                out.extend_from_slice(to.as_bytes());
            }
            PeerCommand::Close { code, reason } => {
                out.push(3);
                out.extend_from_slice(&code.to_be_bytes());
                out.extend_from_slice(reason.as_bytes());
            }
        }
    }

    pub(super) fn decode(cursor: &mut Cursor<'a>) -> Result<Self, FrameError> {
        Ok(match cursor.u8("command")? {
            0 => PeerCommand::Join { room: cursor.last_name("room")? },
            1 => PeerCommand::Leave { room: cursor.last_name("room")? },
            2 => PeerCommand::Move { from: cursor.name("room")?, to: cursor.last_name("room")? },
            3 => {
                let code = u16::from_be_bytes(cursor.array("close code")?);
                PeerCommand::Close { code, reason: cursor.last_name("reason")? }
            }
            _ => return Err(FrameError::Impossible { what: "command" }),
        })
    }
}

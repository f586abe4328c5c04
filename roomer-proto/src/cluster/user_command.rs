//! Commands for all of a user's connections on another node.

use alloc::vec::Vec;

use super::FrameError;
use super::cursor::{Cursor, encode_packet};
use crate::PacketRef;

/// A command for all connections of one user on a node.
///
/// The enum is exhaustive, so that a node that does not carry out a new command fails to compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserCommand<'a> {
    /// Send a message from the server to each connection.
    Send {
        /// The packet, with empty `src` and `dst`.
        packet: PacketRef<'a>,
    },
    /// Remove each connection from a room.
    Leave {
        /// The room's name.
        room: &'a str,
    },
    /// Close each connection.
    Close {
        /// The WebSocket close code.
        code: u16,
        /// The close reason.
        reason: &'a str,
    },
    /// Replace the info of each connection. Earlier releases skip this command.
    SetInfo {
        /// The info as JSON; empty for none.
        info: &'a str,
    },
}

impl<'a> UserCommand<'a> {
    pub(super) fn encoded_len(&self) -> usize {
        1 + match self {
            UserCommand::Send { packet } => packet.encoded_len(),
            UserCommand::Leave { room } => room.len(),
            UserCommand::Close { reason, .. } => 2 + reason.len(),
            UserCommand::SetInfo { info } => info.len(),
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            UserCommand::Send { packet } => {
                out.push(0);
                encode_packet(packet, out);
            }
            UserCommand::Leave { room } => {
                out.push(1);
                out.extend_from_slice(room.as_bytes());
            }
            UserCommand::Close { code, reason } => {
                out.push(2);
                out.extend_from_slice(&code.to_be_bytes());
                out.extend_from_slice(reason.as_bytes());
            }
            UserCommand::SetInfo { info } => {
                out.push(3);
                out.extend_from_slice(info.as_bytes());
            }
        }
    }

    /// Decodes a command. Returns `None` for commands that later releases added.
    pub(super) fn decode(cursor: &mut Cursor<'a>) -> Result<Option<Self>, FrameError> {
        Ok(Some(match cursor.u8("command")? {
            0 => {
                let packet = PacketRef::decode(core::mem::take(&mut cursor.0))?;
                UserCommand::Send { packet }
            }
            1 => UserCommand::Leave { room: cursor.last_name("room")? },
            2 => {
                let code = u16::from_be_bytes(cursor.array("close code")?);
                UserCommand::Close { code, reason: cursor.last_name("reason")? }
            }
            3 => UserCommand::SetInfo { info: cursor.last_name("info")? },
            _ => return Ok(None),
        }))
    }
}

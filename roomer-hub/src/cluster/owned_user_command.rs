//! Owned copies of commands for all of a user's connections, issued by a peer's application.

use bytes::Bytes;
use roomer_proto::cluster::UserCommand;
use roomer_proto::extended::Info;
use roomer_proto::{ConnId, PacketRef, ROOT, is_built_in};

use super::slice::last_packet;
use crate::Command;
use crate::keys::ConnKey;
use crate::tables::Tables;

/// An owned [`UserCommand`].
///
/// The enum is exhaustive for the same reason as the borrowed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnedUserCommand {
    /// Send a message from the server to each connection.
    Send {
        /// The encoded packet.
        packet: Bytes,
    },
    /// Remove each connection from a room.
    Leave {
        /// The room's name.
        room: Box<str>,
    },
    /// Close each connection.
    Close {
        /// The WebSocket close code.
        code: u16,
        /// The close reason.
        reason: Box<str>,
    },
    /// Replace the info of each connection.
    SetInfo {
        /// The new info; `None` removes it.
        info: Option<Info>,
    },
}

impl OwnedUserCommand {
    /// Copies the command from a peer's item. `bytes` ends with the item. Returns `None` if the
    /// command's info is not valid JSON.
    pub(super) fn new(command: &UserCommand<'_>, bytes: &Bytes) -> Option<Self> {
        Some(match *command {
            UserCommand::Send { packet } => {
                OwnedUserCommand::Send { packet: last_packet(bytes, &packet) }
            }
            UserCommand::Leave { room } => OwnedUserCommand::Leave { room: room.into() },
            UserCommand::Close { code, reason } => {
                OwnedUserCommand::Close { code, reason: reason.into() }
            }
            UserCommand::SetInfo { info: "" } => OwnedUserCommand::SetInfo { info: None },
            UserCommand::SetInfo { info } => {
                OwnedUserCommand::SetInfo { info: Some(Info::new(info).ok()?) }
            }
        })
    }

    /// Returns the command for the user's connection `conn`, whose id is `id`; `None` if the
    /// command does not apply to that connection.
    #[must_use]
    pub fn for_conn<'a>(
        &'a self,
        tables: &Tables,
        conn: ConnKey,
        id: &'a ConnId,
    ) -> Option<Command<'a>> {
        Some(match self {
            OwnedUserCommand::Send { packet } => {
                let PacketRef { event, payload, .. } = PacketRef::decode(packet).ok()?;
                if is_built_in(event) {
                    return None; // The hub also rejects such events from peers.
                }
                Command::Send { from: None, dst: id.as_str(), room: ROOT, event, payload }
            }
            OwnedUserCommand::Leave { room } => {
                let key = tables.find_room(room)?;
                // Skip a connection that is not in the room, because it would receive a
                // `leave_ack`.
                tables.is_member(conn, key).then_some(Command::Leave { conn, room })?
            }
            OwnedUserCommand::Close { code, reason } => {
                Command::Close { conn, code: *code, reason }
            }
            OwnedUserCommand::SetInfo { info } => Command::SetInfo { conn, info: info.as_ref() },
        })
    }
}

//! Formats the hub's actions and the model's effects for reports.
//!
//! An action and its effect have the same format.

use std::fmt;

use roomer_hub::{Action, ConnKey};
use roomer_proto::PacketRef;

use super::guests::op::PeerOp;
use super::op::{Effect, Op};
use crate::alphabet::identity;

/// The maximum number of bytes printed of a payload.
const SHOWN: usize = 120;

pub fn action(action: &Action<'_>) -> String {
    match action {
        Action::JoinAck { to, id, room, snapshot } => {
            let text = snapshot.to_vec();
            format!("JoinAck to {to:?} ({id}) of {room:?}: {}", payload(&text))
        }
        Action::Send { to, packet } => format!("Send to {to:?}: {}", PacketText(packet)),
        Action::Broadcast { members, except, packet, peers, except_guest, .. } => {
            let to: Vec<ConnKey> = members.iter().filter(|&to| Some(to) != *except).collect();
            let packet = PacketText(packet);
            format!("Broadcast to {to:?} and {peers:?} without {except_guest:?}: {packet}")
        }
        Action::Call { conn, handler, packet } => {
            format!("Call of {} by {conn:?}: {}", handler.index(), PacketText(packet))
        }
        Action::Authorize { conn, permission, packet } => {
            format!("Authorize {permission:?} of {conn:?}: {}", PacketText(packet))
        }
        other => format!("{other:?}"),
    }
}

pub fn effect(effect: &Effect) -> String {
    match effect {
        Effect::JoinAck { to, room, presence, members, count } => {
            format!("JoinAck to client {to} of {room:?}: {members:?}, {count}, shown {presence:?}")
        }
        Effect::Send { to, packet } => format!("Send to client {to}: {}", PacketText(packet)),
        Effect::Broadcast { to, packet, peers, except_guest, .. } => {
            let without = except_guest.map(|guest| identity(guest).id);
            let packet = PacketText(packet);
            format!("Broadcast to {to:?} and peers {peers:?} without {without:?}: {packet}")
        }
        Effect::Call { client, handler, packet } => {
            format!("Call of {handler} by client {client}: {}", PacketText(packet))
        }
        other => format!("{other:?}"),
    }
}

/// Formats a packet.
pub struct PacketText<'a>(pub &'a PacketRef<'a>);

impl fmt::Display for PacketText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PacketRef { room, event, dst, src, payload: bytes } = self.0;
        write!(f, "{event:?} in {room:?} from {src:?} for {dst:?}: {}", payload(bytes))
    }
}

fn payload(bytes: &[u8]) -> String {
    match bytes.split_at_checked(SHOWN) {
        Some((begin, rest)) => format!("\"{}\" and {} bytes", begin.escape_ascii(), rest.len()),
        None => format!("\"{}\"", bytes.escape_ascii()),
    }
}

/// Formats an input.
pub fn op(op: &Op) -> String {
    match op {
        Op::Open { id } => format!("Open with the id {}", identity(*id).text),
        Op::Packet { client, packet } => {
            format!("Packet of client {client}: {}", PacketText(packet))
        }
        Op::Allowed { client, packet } => {
            format!("Allowed to client {client}: {}", PacketText(packet))
        }
        Op::Denied { client, packet } => {
            format!("Denied to client {client}: {}", PacketText(packet))
        }
        Op::Broadcast { from, except, except_guest, room, event, payload: bytes } => {
            format!(
                "Command Broadcast for {from:?} without {except:?} and {except_guest:?}: {event:?} in {room:?}: {}",
                payload(bytes)
            )
        }
        Op::Peer { peer, op } => match op {
            PeerOp::Joined { room, guest } => {
                format!("{} of the peer {peer} joins {room:?}", identity(*guest).text)
            }
            PeerOp::Left { room, guest } => {
                format!("{} of the peer {peer} leaves {room:?}", identity(*guest).text)
            }
            PeerOp::Broadcast { packet, .. } | PeerOp::Direct { packet } => {
                format!("Packet of the peer {peer}: {}", PacketText(packet))
            }
            other => format!("Peer {peer}: {other:?}"),
        },
        Op::Send { from, dst, event, payload: bytes } => {
            format!("Command Send for {from:?}: {event:?} for {dst:?}: {}", payload(bytes))
        }
        other => format!("{other:?}"),
    }
}

//! Decodes notices about members, in the plain and in the extended protocol.

use roomer_proto::extended::MEMBERS;
use roomer_proto::{ConnId, MEMBER_LEFT, NEW_MEMBER, PacketRef};

/// A change in the members of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Joined,
    Left,
}

/// Returns true if a packet is a notice about a room's members.
pub fn is_notice(packet: &PacketRef<'_>) -> bool {
    matches!(packet.event, NEW_MEMBER | MEMBER_LEFT | MEMBERS)
}

/// Calls `each` for each id in a notice.
pub fn changes(packet: &PacketRef<'_>, mut each: impl FnMut(Change, &[u8])) {
    let mut change = match packet.event {
        NEW_MEMBER => return each(Change::Joined, packet.payload),
        MEMBER_LEFT => return each(Change::Left, packet.payload),
        _ => None,
    };
    for text in quoted(packet.payload) {
        match (text, change) {
            (b"joined", _) => change = Some(Change::Joined),
            (b"left", _) => change = Some(Change::Left),
            (id, Some(change)) if id.len() == ConnId::LEN => each(change, id),
            _ => change = None,
        }
    }
}

/// Returns the ids in a `join_ack`, whose form is `["ID"]`, or `{"members":[["ID",null]]}`.
pub fn listed(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    quoted(payload).filter(|id| id.len() == ConnId::LEN)
}

/// Returns all strings in a payload. All of them are ids, which contain no escapes, and the
/// generator's connections have neither info nor users.
fn quoted(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    payload.split(|byte| *byte == b'"').skip(1).step_by(2)
}

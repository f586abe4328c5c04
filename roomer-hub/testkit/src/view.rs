//! A client's view of its rooms, and checks of the part of the contract that one client can check.

use std::collections::{BTreeMap, BTreeSet};

use roomer_proto::extended::{MEMBERS, Member, NUMBER, Position, split_tag};
use roomer_proto::{JOIN_ACK, LEAVE_ACK, MEMBER_LEFT, NEW_MEMBER, PacketRef, ROOT};

use roomer_hub::ConnId;

/// A client's id, rooms and members, derived only from received packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    pub(super) id: String,
    pub(super) rooms: BTreeMap<String, BTreeSet<String>>,
    /// True if the client uses the extended protocol.
    pub(super) is_extended: bool,
    /// The members of each room, with the details that only extended clients receive.
    pub(super) extended: BTreeMap<String, RoomView>,
    /// The message numbers of rooms with a history.
    pub(super) numbers: BTreeMap<String, Numbers>,
}

/// The members of one room by id, from the packets that an extended client has received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RoomView {
    pub(super) profiles: BTreeMap<String, Member>,
    /// The ids of the away members.
    pub(super) away: BTreeSet<String>,
    /// The number of members, in a room that sends counts instead of lists.
    pub(super) count: Option<u64>,
}

/// The message numbers of a room with a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    /// The last message's position, or the position in the `join_ack`.
    pub(super) at: Position,
    /// True until the first message has arrived.
    pub(super) is_first: bool,
    pub(super) has_recovered: bool,
}

impl View {
    /// Applies a packet. Returns true if it belongs to the application, and false if it is a
    /// membership notice.
    ///
    /// # Errors
    ///
    /// Returns a description of the violation.
    pub(super) fn receive(&mut self, packet: &PacketRef<'_>) -> Result<bool, String> {
        let room = packet.room;
        if self.id.is_empty() && (packet.event, room) != (JOIN_ACK, ROOT) {
            return Err(format!("{packet:?} comes before the join_ack of root"));
        }
        match packet.event {
            JOIN_ACK => self.join(packet)?,
            LEAVE_ACK if packet.src == self.id => {
                self.rooms.remove(room);
                self.extended.remove(room);
            }
            MEMBERS
                if packet.src.is_empty() && (packet.dst.is_empty() || packet.dst == self.id) =>
            {
                if !self.is_extended {
                    return Err(format!("{packet:?} is sent to a plain client"));
                }
                self.notice_extended(packet)?;
            }
            // Notices from the server have no sender. A packet with a sender comes from a handler.
            NEW_MEMBER | MEMBER_LEFT if packet.src.is_empty() && packet.dst.is_empty() => {
                if self.is_extended {
                    return Err(format!("{packet:?} is sent to an extended client"));
                }
                self.notice(packet)?;
            }
            _ => {
                // Direct messages and server messages may name a room that the client is not
                // in.
                let foreign = !packet.src.is_empty() && packet.src != self.id;
                if foreign && packet.dst.is_empty() && !self.rooms.contains_key(room) {
                    return Err(format!("{packet:?} is of a room that the client is not in"));
                }
                if self.is_extended && packet.dst.starts_with('#') {
                    self.number(packet)?;
                    return Ok(packet.event != NUMBER);
                }
                // The `dst` of a request or an answer is an id followed by a tag.
                let receiver = split_tag(packet.dst).map_or(packet.dst, |(id, _)| id);
                if !receiver.is_empty() && receiver != self.id {
                    return Err(format!("{packet:?} is for another client"));
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn join(&mut self, packet: &PacketRef<'_>) -> Result<(), String> {
        if self.id.is_empty() {
            self.id = packet.src.into();
        }
        if packet.src != self.id {
            return Err(format!("{packet:?} is a join_ack for another client"));
        }
        if self.is_extended {
            return self.join_extended(packet);
        }
        let members = snapshot(packet.payload)?;
        if !members.contains(&self.id) {
            return Err(format!("the snapshot of {:?} does not contain the client", packet.room));
        }
        match self.rooms.insert(packet.room.into(), members.clone()) {
            Some(known) if known != members => Err(format!(
                "the snapshot of {:?} has {members:?}, the notices so far make {known:?}",
                packet.room
            )),
            _ => Ok(()),
        }
    }

    fn notice(&mut self, packet: &PacketRef<'_>) -> Result<(), String> {
        let Some(members) = self.rooms.get_mut(packet.room) else {
            return Err(format!("{packet:?} is of a room that the client is not in"));
        };
        let about = String::from_utf8_lossy(packet.payload).into_owned();
        if ConnId::parse(&about).is_none() || about == self.id {
            return Err(format!("{packet:?} is about {about:?}"));
        }
        // In compatibility mode, members are notified of a repeated join, so the id may already be
        // present.
        if packet.event == NEW_MEMBER {
            members.insert(about);
        } else if !members.remove(&about) {
            return Err(format!("{packet:?} is about an unknown member"));
        }
        Ok(())
    }
}

/// Parses a member snapshot: a JSON array of unique ids.
pub(super) fn snapshot(payload: &[u8]) -> Result<BTreeSet<String>, String> {
    let text = std::str::from_utf8(payload).map_err(|_| "a snapshot that is not UTF-8")?;
    let wrong = || format!("a snapshot that is not a list of ids: {text:?}");
    // Parse the text without a JSON parser, because its exact form is part of the contract.
    let list = text.strip_prefix("[\"").and_then(|text| text.strip_suffix("\"]"));
    let mut members = BTreeSet::new();
    for id in list.ok_or_else(wrong)?.split("\",\"") {
        if ConnId::parse(id).is_none() || !members.insert(id.to_owned()) {
            return Err(wrong());
        }
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: &str = "01010101-0101-4101-8101-010101010101";
    const BOB: &str = "02020202-0202-4202-8202-020202020202";

    fn packet<'a>(room: &'a str, event: &'a str, src: &'a str, payload: &'a str) -> PacketRef<'a> {
        PacketRef { room, event, dst: "", src, payload: payload.as_bytes() }
    }

    fn ann() -> View {
        let mut view = View::default();
        let ack = format!("[\"{ANN}\"]");
        assert_eq!(view.receive(&packet("root", JOIN_ACK, ANN, &ack)), Ok(false));
        view
    }

    #[test]
    fn keeps_members() {
        let mut view = ann();
        assert_eq!(view.receive(&packet("root", NEW_MEMBER, "", BOB)), Ok(false));
        assert_eq!(view.rooms["root"].len(), 2);
        assert_eq!(view.receive(&packet("root", "chat", BOB, "hi")), Ok(true));
        assert_eq!(view.receive(&packet("root", MEMBER_LEFT, "", BOB)), Ok(false));
        assert_eq!(view.rooms["root"].len(), 1);
    }

    #[test]
    fn rejects_packets_violating_contract() {
        let both = format!("[\"{ANN}\",\"{BOB}\"]");
        let twice = format!("[\"{ANN}\",\"{ANN}\"]");
        for (room, event, src, payload) in [
            ("root", MEMBER_LEFT, "", BOB),     // was not in the room
            ("root", NEW_MEMBER, "", ANN),      // about the client itself
            ("lobby", NEW_MEMBER, "", BOB),     // in a room that the client is not in
            ("lobby", "chat", BOB, "hi"),       // also in a room that the client is not in
            ("root", JOIN_ACK, ANN, &both),     // contradicts the notices so far
            ("lobby", JOIN_ACK, BOB, &both),    // another client's id
            ("lobby", JOIN_ACK, ANN, &twice),   // a duplicate id
            ("lobby", JOIN_ACK, ANN, "[\"\"]"), // an empty id
        ] {
            let packet = packet(room, event, src, payload);
            assert!(ann().receive(&packet).is_err(), "{packet:?}");
        }
        assert!(View::default().receive(&packet("lobby", JOIN_ACK, ANN, &both)).is_err());
    }
}

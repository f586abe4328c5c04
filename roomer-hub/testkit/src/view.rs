//! What a client knows of its rooms, and what it may never hear: the contract, as far as one
//! client can see it.

use std::collections::{BTreeMap, BTreeSet};

use roomer_proto::{JOIN_ACK, LEAVE_ACK, MEMBER_LEFT, NEW_MEMBER, PacketRef, ROOT};

use roomer_hub::ConnId;

/// A client's own id and its rooms with their members, made from nothing but what it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    pub(super) id: String,
    pub(super) rooms: BTreeMap<String, BTreeSet<String>>,
}

impl View {
    /// Takes in a packet. True when it is the application's own, false when it was about
    /// membership.
    ///
    /// # Errors
    ///
    /// What the contract rules out, in words.
    pub(super) fn hear(&mut self, packet: &PacketRef<'_>) -> Result<bool, String> {
        let room = packet.room;
        if self.id.is_empty() && (packet.event, room) != (JOIN_ACK, ROOT) {
            return Err(format!("{packet:?} comes before the join_ack of root"));
        }
        match packet.event {
            JOIN_ACK => self.join(packet)?,
            LEAVE_ACK if packet.src == self.id => {
                self.rooms.remove(room);
            }
            // Notices are nobody's: what has a sender is a handler's own.
            NEW_MEMBER | MEMBER_LEFT if packet.src.is_empty() && packet.dst.is_empty() => {
                self.notice(packet)?;
            }
            _ => {
                let foreign = !packet.src.is_empty() && packet.src != self.id;
                if foreign && packet.dst.is_empty() && !self.rooms.contains_key(room) {
                    return Err(format!("{packet:?} is of a room that the client is not in"));
                }
                if !packet.dst.is_empty() && packet.dst != self.id {
                    return Err(format!("{packet:?} is for somebody else"));
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
            return Err(format!("{packet:?} is a join_ack for somebody else"));
        }
        let members = snapshot(packet.payload)?;
        if !members.contains(&self.id) {
            return Err(format!("the snapshot of {:?} lacks its reader", packet.room));
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
        // The Go original announces a repeated join again, so a known id may come in once more.
        if packet.event == NEW_MEMBER {
            members.insert(about);
        } else if !members.remove(&about) {
            return Err(format!("{packet:?} is about one who was not in"));
        }
        Ok(())
    }
}

/// Reads a snapshot: a JSON array of ids, none twice.
pub(super) fn snapshot(payload: &[u8]) -> Result<BTreeSet<String>, String> {
    let text = std::str::from_utf8(payload).map_err(|_| "a snapshot that is not UTF-8")?;
    let wrong = || format!("a snapshot that is no list of ids: {text:?}");
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
        assert_eq!(view.hear(&packet("root", JOIN_ACK, ANN, &ack)), Ok(false));
        view
    }

    #[test]
    fn keeps_the_members() {
        let mut view = ann();
        assert_eq!(view.hear(&packet("root", NEW_MEMBER, "", BOB)), Ok(false));
        assert_eq!(view.rooms["root"].len(), 2);
        assert_eq!(view.hear(&packet("root", "chat", BOB, "hi")), Ok(true));
        assert_eq!(view.hear(&packet("root", MEMBER_LEFT, "", BOB)), Ok(false));
        assert_eq!(view.rooms["root"].len(), 1);
    }

    #[test]
    fn hears_what_must_not_be() {
        let both = format!("[\"{ANN}\",\"{BOB}\"]");
        let twice = format!("[\"{ANN}\",\"{ANN}\"]");
        for (room, event, src, payload) in [
            ("root", MEMBER_LEFT, "", BOB),     // was not in
            ("root", NEW_MEMBER, "", ANN),      // about oneself
            ("lobby", NEW_MEMBER, "", BOB),     // of a room that one is not in
            ("lobby", "chat", BOB, "hi"),       // the same
            ("root", JOIN_ACK, ANN, &both),     // against the notices so far
            ("lobby", JOIN_ACK, BOB, &both),    // somebody else's
            ("lobby", JOIN_ACK, ANN, &twice),   // one twice
            ("lobby", JOIN_ACK, ANN, "[\"\"]"), // no ids
        ] {
            let packet = packet(room, event, src, payload);
            assert!(ann().hear(&packet).is_err(), "{packet:?}");
        }
        assert!(View::default().hear(&packet("lobby", JOIN_ACK, ANN, &both)).is_err());
    }
}

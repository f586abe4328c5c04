//! The rooms of the scripted server: their members, including simulated ones, and their messages.

use roomer_proto::extended::MEMBERS;
use roomer_proto::{JOIN_ACK, LEAVE_ACK, MEMBER_LEFT, NEW_MEMBER, PacketRef};

use super::plan::{ROOMS, Server};
use super::server::{ScriptedServer, other_id};

impl ScriptedServer {
    /// Sends a built-in event whose sender is the client itself.
    pub(super) fn answer(&mut self, room: &str, event: &str, payload: &[u8]) {
        let src = self.session.as_ref().map(|session| session.id.clone()).unwrap_or_default();
        self.send(PacketRef { room, event, dst: "", src: &src, payload });
    }

    /// Puts the client into a room. If it is already a member, only sends the member list again.
    pub(super) fn enter(&mut self, room: &'static str) {
        let Some(session) = &mut self.session else { return };
        session.rooms.insert(room);
        let is_extended = session.is_extended;
        let members = self.members(room).into_iter();
        let payload = if is_extended {
            let list: Vec<String> = members.map(|id| format!(r#"["{id}",null]"#)).collect();
            // A hostile server claims that one of its rooms keeps a history, which is not true.
            let remembers = self.kind == Server::Hostile && room == ROOMS[0];
            let at = if remembers { format!(r#","at":[1,{}]"#, self.texts) } else { String::new() };
            format!(r#"{{"members":[{}]{at}}}"#, list.join(","))
        } else {
            format!("{:?}", members.collect::<Vec<_>>())
        };
        self.answer(room, JOIN_ACK, payload.as_bytes());
    }

    pub fn move_to(&mut self, room: usize) {
        if !self.rooms().contains(ROOMS[room]) {
            self.enter(ROOMS[room]);
        }
    }

    pub fn kick(&mut self, room: usize) -> bool {
        let was_in = self.session.as_mut().is_some_and(|s| s.rooms.remove(ROOMS[room]));
        if was_in {
            self.answer(ROOMS[room], LEAVE_ACK, b"");
        }
        was_in
    }

    /// Makes another client join a room or, if it is a member, leave it.
    pub fn member(&mut self, room: usize, other: usize) {
        let others = &mut self.others[room];
        let joins = others.insert(other) || !others.remove(&other);
        let Some(session) = self.session.as_ref().filter(|s| s.rooms.contains(ROOMS[room])) else {
            return;
        };
        let id = other_id(other);
        let (event, payload) = match (session.is_extended, joins) {
            (true, true) => (MEMBERS, format!(r#"{{"joined":[["{id}",null]]}}"#)),
            (true, false) => (MEMBERS, format!(r#"{{"left":["{id}"]}}"#)),
            (false, true) => (NEW_MEMBER, id),
            (false, false) => (MEMBER_LEFT, id),
        };
        let payload = payload.as_bytes();
        self.send(PacketRef { room: ROOMS[room], event, dst: "", src: "", payload });
    }

    /// Makes another client send a message to a room, which the client receives if it is a member.
    pub fn send_message(&mut self, room: usize) {
        if !self.rooms().contains(ROOMS[room]) {
            return;
        }
        self.texts += 1;
        let (src, text) = (other_id(0), format!("s{}", self.texts));
        let packet = PacketRef {
            room: ROOMS[room],
            event: "chat",
            dst: "",
            src: &src,
            payload: text.as_bytes(),
        };
        self.send(packet);
        self.sent.push((self.sessions, ROOMS[room], text));
    }
}

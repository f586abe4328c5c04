//! Actions that occur only in rooms with history.

use roomer_proto::PacketRef;
use roomer_proto::extended::NUMBER;

use crate::action::{Action, Actions};
use crate::keys::{ConnKey, RoomKey};
use crate::room_guests::Peers;

impl<'a> Actions<'a> {
    /// Returns the action that sends a numbered message to a room's extended members.
    pub(crate) fn numbered(
        &self,
        key: RoomKey,
        is_forwarded: bool,
        has_except: bool,
    ) -> Action<'a> {
        let room = &self.tables.rooms[key];
        let number = self.tables.histories.as_ref().map_or("", |histories| &histories.number);
        let packet = PacketRef { src: self.id, dst: number, ..self.context.packet };
        // Two records send this message, this one and the one for plain members. Only one of them
        // includes the peers, so each peer receives the message once.
        let peers = if is_forwarded { room.peers() } else { Peers::default() };
        let except_guest = self.output.except_guest.as_ref().filter(|_| has_except && is_forwarded);
        let (members, except, audience) =
            (room.members(), self.context.except, room.extended_audience());
        Action::Broadcast { room: key, members, except, audience, packet, peers, except_guest }
    }

    /// Returns the action that sends the excluded connection only the number of a message.
    pub(crate) fn number(&self, room: RoomKey) -> Action<'a> {
        let number = self.tables.histories.as_ref().map_or("", |histories| &histories.number);
        self.number_for(self.context.except.unwrap_or_default(), room, number)
    }

    fn number_for(&self, to: ConnKey, room: RoomKey, number: &'a str) -> Action<'a> {
        let room = &self.tables.rooms[room].name;
        let packet = PacketRef { room, event: NUMBER, dst: number, src: "", payload: b"" };
        Action::Send { to, packet }
    }

    /// Returns the action that sends the connection a message that it missed.
    pub(crate) fn missed(&self, room: RoomKey, back: u32) -> Action<'a> {
        let (to, name) = (self.context.conn, &*self.tables.rooms[room].name);
        let message = self.tables.histories.as_ref().and_then(|all| all.message(name, back));
        // The message is always present: the hub discards none between an input and its actions.
        let message = message.unwrap_or_default();
        // The client sent this message itself, and receives only its number to keep the client's
        // position up to date.
        if message.src == self.id {
            return self.number_for(to, room, message.dst);
        }
        Action::Send { to, packet: PacketRef { room: name, ..message } }
    }
}

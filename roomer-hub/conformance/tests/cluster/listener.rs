//! A client that checks another client's numbered messages.
//!
//! Each message must arrive once and in order. Messages may be missing only if the sender has left
//! and rejoined.

use std::collections::BTreeSet;

use roomer_conformance::client::Client;

pub(crate) struct Listener {
    client: Client,
    room: &'static str,
    from: String,
    /// The members that this client sees, each with its room.
    members: BTreeSet<(String, String)>,
    /// The number of the last message that was received.
    last: u32,
    /// True if the sender has left since the last message, so that messages before the next one may
    /// be missing.
    may_miss: bool,
    /// The number of times that the sender has rejoined the room.
    pub(crate) returns: usize,
}

impl Listener {
    /// Starts to check the messages that `from` sends to `room`. The clients `ids` are members of
    /// that room and of `root`.
    pub(crate) fn new(client: Client, room: &'static str, from: &Client, ids: &[&str]) -> Listener {
        let rooms = ["root", room];
        let members = ids.iter().flat_map(|id| rooms.map(|room| (room.into(), (*id).into())));
        Listener {
            room,
            from: from.id.clone(),
            members: members.collect(),
            client,
            last: 0,
            may_miss: false,
            returns: 0,
        }
    }

    /// Receives all messages up to number `last`. Each time the sender rejoins, makes it send
    /// another message, since the last one may be lost.
    pub(crate) fn receive_up_to(&mut self, from: &mut Client, mut last: u32) -> u32 {
        let mut returns = self.returns;
        while self.last < last {
            self.receive();
            if self.returns > returns {
                returns = self.returns;
                last += 1;
                from.send_to_room(self.room, "n", &last.to_be_bytes());
            }
        }
        last
    }

    fn receive(&mut self) {
        let packet = self.client.expect_packet();
        let payload = || String::from_utf8(packet.payload.clone()).unwrap();
        match &*packet.event {
            "new_member" => {
                let member = (packet.room.clone(), payload());
                self.returns += usize::from(packet.room == self.room && member.1 == self.from);
                assert!(self.members.insert(member), "a member comes twice: {packet:?}");
            }
            "member_left" => {
                let member = (packet.room.clone(), payload());
                self.may_miss |= packet.room == self.room && member.1 == self.from;
                assert!(self.members.remove(&member), "a member leaves twice: {packet:?}");
            }
            "n" => {
                assert_eq!((&packet.room, &packet.src), (&self.room.to_owned(), &self.from));
                let member = (packet.room, packet.src);
                assert!(self.members.contains(&member), "the sender is not a member");
                let (number, _) = packet.payload.split_first_chunk().unwrap();
                let number = u32::from_be_bytes(*number);
                let is_next = number == self.last + 1;
                assert!(
                    is_next || self.may_miss && number > self.last,
                    "{number} follows {}",
                    self.last
                );
                (self.last, self.may_miss) = (number, false);
            }
            _ => panic!("{packet:?}"),
        }
    }
}

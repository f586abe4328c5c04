//! Member lists with info, with changes around the chunk boundaries of the cached text.

use std::time::Duration;

use roomer_hub::{Config, ConnId, ConnKey, HashKey, Hub, Input, PeerKey};
use roomer_proto::{PacketRef, ROOT};

fn id(tag: u8, number: u8) -> ConnId {
    let mut bytes = [tag; 16];
    bytes[15] = number;
    ConnId::from_random_bytes(bytes)
}

struct Room {
    hub: Hub,
    conns: Vec<ConnKey>,
}

impl Room {
    /// Opens connections. Only the first one is extended.
    fn new(count: u8) -> Self {
        let mut room = Room { hub: Hub::new(Config::default(), HashKey([1; 16])), conns: vec![] };
        for number in 0..count {
            let id = id(1, number);
            room.input(Input::Open { id, extended: number == 0 });
            room.conns.push(room.hub.tables().find_conn(id.as_str()).unwrap());
        }
        room
    }

    fn input(&mut self, input: Input<'_>) {
        for _ in self.hub.handle(Duration::ZERO, input) {}
    }

    fn send(&mut self, who: usize, event: &str) {
        let packet = PacketRef { room: ROOT, event, ..PacketRef::default() };
        self.input(Input::Packet { conn: self.conns[who], packet });
    }
}

#[test]
fn chunk_is_rebuilt_after_last_member_moved() {
    for leaver in [0, 50, 99, 100, 150, 199] {
        let mut room = Room::new(200);
        // A repeated join is answered with a list of all members, in two full chunks.
        room.send(0, "join");
        let leaver = if leaver == 0 { 1 } else { leaver };
        room.send(leaver, "leave");
        room.send(leaver, "join");
        assert_eq!(room.hub.tables().audit(), Ok(()), "{leaver}");
    }
}

#[test]
fn guest_chunk_is_rebuilt_after_leave() {
    let peer = PeerKey::new(0);
    for leaver in [0, 50, 99, 100, 199] {
        let mut room = Room::new(1);
        room.input(Input::PeerUp { peer, tag: [2; 4] });
        for number in 0..200 {
            room.input(Input::GuestJoined { peer, room: ROOT, id: id(2, number), profile: None });
        }
        room.send(0, "join");
        room.input(Input::GuestLeft { peer, room: ROOT, id: id(2, leaver) });
        room.input(Input::GuestJoined { peer, room: ROOT, id: id(2, 250), profile: None });
        assert_eq!(room.hub.tables().audit(), Ok(()), "{leaver}");
    }
}

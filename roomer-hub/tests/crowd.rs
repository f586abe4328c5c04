//! Rooms with hundreds of members: the tables stay consistent as rooms grow, change and shrink.

use crate::support::check;
use std::collections::BTreeSet;
use std::time::Duration;

use roomer_hub::{Action, Config, ConnId, ConnKey, HashKey, Hub, Input, RoomKey};
use roomer_proto::{JOIN, LEAVE, PacketRef};

const CROWD: usize = 300;
const ROOMS: [&str; 3] = ["root", "lobby", "attic"];

struct Crowd {
    hub: Hub,
    conns: Vec<(ConnId, ConnKey)>,
    /// The expected membership, as pairs of room and connection.
    seats: BTreeSet<(usize, usize)>,
    rooms: Vec<RoomKey>,
    state: u64,
}

impl Crowd {
    fn open(&mut self) {
        let number = self.conns.len();
        let id = ConnId::from_random_bytes((number as u128 + 1).to_be_bytes());
        let actions = self.hub.handle(Duration::ZERO, Input::Open { id, extended: false });
        let opened = |action| if let Action::Opened { conn } = action { Some(conn) } else { None };
        let conn = actions.filter_map(opened).next().unwrap();
        self.conns.push((id, conn));
        self.seats.insert((0, number));
    }

    fn send(&mut self, event: &str, room: usize, conn: usize) {
        let packet = PacketRef { room: ROOMS[room], event, ..PacketRef::default() };
        let input = Input::Packet { conn: self.conns[conn].1, packet };
        for action in self.hub.handle(Duration::ZERO, input) {
            if let Action::Joined { room, .. } = action
                && !self.rooms.contains(&room)
            {
                self.rooms.push(room);
            }
        }
        match event {
            JOIN => self.seats.insert((room, conn)),
            _ => self.seats.remove(&(room, conn)),
        };
    }

    fn gone(&mut self, conn: usize) {
        let input = Input::Gone { conn: self.conns[conn].1 };
        for _ in self.hub.handle(Duration::ZERO, input) {}
        self.seats.retain(|seat| seat.1 != conn);
    }

    /// Returns the next pseudo-random number below `end`, by xorshift, so that every run is the
    /// same.
    fn random(&mut self, end: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state as usize % end
    }

    fn check(&mut self) {
        check::snapshots(&mut self.hub, &self.rooms);
        for (room, name) in ROOMS.iter().enumerate() {
            let expected: Vec<usize> =
                self.seats.iter().filter(|seat| seat.0 == room).map(|seat| seat.1).collect();
            let members =
                self.hub.tables().find_room(name).map(|room| self.hub.tables().members(room));
            let number = |conn| self.conns.iter().position(|known| known.1 == conn).unwrap();
            let mut found: Vec<usize> =
                members.into_iter().flat_map(|members| members.iter()).map(number).collect();
            found.sort();
            assert_eq!(found, expected, "the members of {name}");
        }
    }
}

#[test]
fn tables_stay_consistent_under_churn() {
    let mut config = Config::default();
    config.max_rooms = ROOMS.len();
    let hub = Hub::new(config, HashKey([9; 16]));
    let (conns, seats, rooms) = (Vec::new(), BTreeSet::new(), Vec::new());
    let mut crowd = Crowd { hub, conns, seats, rooms, state: 88_172_645_463_325_252 };
    for _ in 0..CROWD {
        crowd.open();
        let conn = crowd.conns.len() - 1;
        crowd.send(JOIN, 1, conn);
    }
    crowd.rooms.extend(crowd.hub.tables().find_room("root"));
    for turn in 0..3_000 {
        let (room, conn) = (crowd.random(ROOMS.len()), crowd.random(CROWD));
        let event = if crowd.random(2) == 0 { JOIN } else { LEAVE };
        crowd.send(event, room, conn);
        if turn % 50 == 0 {
            crowd.check();
        }
    }
    check::tables(&crowd.hub, &crowd.conns, &crowd.rooms);
    assert!(crowd.seats.len() > CROWD, "too few seats are left");

    // Close all connections in random order. Some leave all rooms first, and others simply end.
    let mut open: Vec<usize> = (0..CROWD).collect();
    while !open.is_empty() {
        let at = crowd.random(open.len());
        let conn = open.swap_remove(at);
        match crowd.random(2) {
            0 => (0..ROOMS.len()).for_each(|room| crowd.send(LEAVE, room, conn)),
            _ => crowd.gone(conn),
        }
        crowd.check();
    }
    check::tables(&crowd.hub, &crowd.conns, &crowd.rooms);
    assert_eq!(crowd.hub.tables().room_count(), 0);
}

//! Rooms of hundreds: the tables grow, are churned and shrink, and stay true.
#![allow(clippy::unwrap_used)] // helpers of tests, which clippy does not see as such

#[path = "support/check.rs"]
mod check;

use std::collections::BTreeSet;
use std::time::Duration;

use roomer_hub::{Action, Config, ConnId, ConnKey, HashKey, Hub, Input, RoomKey};
use roomer_proto::{JOIN, LEAVE, PacketRef};

const CROWD: usize = 300;
const ROOMS: [&str; 3] = ["root", "lobby", "attic"];

struct Crowd {
    hub: Hub,
    people: Vec<(ConnId, ConnKey)>,
    /// Who is where, as (room, person).
    seats: BTreeSet<(usize, usize)>,
    rooms: Vec<RoomKey>,
    dice: u64,
}

impl Crowd {
    fn open(&mut self) {
        let who = self.people.len();
        let id = ConnId::from_random_bytes((who as u128 + 1).to_be_bytes());
        let actions = self.hub.handle(Duration::ZERO, Input::Open { id });
        let opened = |action| if let Action::Opened { conn } = action { Some(conn) } else { None };
        let conn = actions.filter_map(opened).next().unwrap();
        self.people.push((id, conn));
        self.seats.insert((0, who));
    }

    fn ask(&mut self, event: &str, room: usize, who: usize) {
        let packet = PacketRef { room: ROOMS[room], event, ..PacketRef::default() };
        let input = Input::Packet { conn: self.people[who].1, packet };
        for action in self.hub.handle(Duration::ZERO, input) {
            if let Action::Joined { room, .. } = action
                && !self.rooms.contains(&room)
            {
                self.rooms.push(room);
            }
        }
        match event {
            JOIN => self.seats.insert((room, who)),
            _ => self.seats.remove(&(room, who)),
        };
    }

    fn gone(&mut self, who: usize) {
        let input = Input::Gone { conn: self.people[who].1 };
        for _ in self.hub.handle(Duration::ZERO, input) {}
        self.seats.retain(|seat| seat.1 != who);
    }

    /// The next number below `end`: xorshift, so that every run is the same.
    fn roll(&mut self, end: usize) -> usize {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice as usize % end
    }

    fn check(&mut self) {
        check::snapshots(&mut self.hub, &self.rooms);
        for (number, name) in ROOMS.iter().enumerate() {
            let expected: Vec<usize> =
                self.seats.iter().filter(|seat| seat.0 == number).map(|seat| seat.1).collect();
            let members =
                self.hub.tables().find_room(name).map(|room| self.hub.tables().members(room));
            let who = |conn| self.people.iter().position(|person| person.1 == conn).unwrap();
            let mut found: Vec<usize> =
                members.into_iter().flat_map(|members| members.iter()).map(who).collect();
            found.sort();
            assert_eq!(found, expected, "the members of {name}");
        }
    }
}

#[test]
fn a_crowd_comes_and_churns_and_goes() {
    let mut config = Config::default();
    config.max_rooms = ROOMS.len();
    let hub = Hub::new(config, HashKey([9; 16]));
    let (people, seats, rooms) = (Vec::new(), BTreeSet::new(), Vec::new());
    let mut crowd = Crowd { hub, people, seats, rooms, dice: 88_172_645_463_325_252 };
    for _ in 0..CROWD {
        crowd.open();
        let who = crowd.people.len() - 1;
        crowd.ask(JOIN, 1, who);
    }
    crowd.rooms.extend(crowd.hub.tables().find_room("root"));
    for turn in 0..3_000 {
        let (room, who) = (crowd.roll(ROOMS.len()), crowd.roll(CROWD));
        let event = if crowd.roll(2) == 0 { JOIN } else { LEAVE };
        crowd.ask(event, room, who);
        if turn % 50 == 0 {
            crowd.check();
        }
    }
    check::tables(&crowd.hub, &crowd.people, &crowd.rooms);
    assert!(crowd.seats.len() > CROWD, "too few left to go");

    // Down to nobody in an order of its own, partly by leaving all rooms and partly by going.
    let mut here: Vec<usize> = (0..CROWD).collect();
    while !here.is_empty() {
        let at = crowd.roll(here.len());
        let who = here.swap_remove(at);
        match crowd.roll(2) {
            0 => (0..ROOMS.len()).for_each(|room| crowd.ask(LEAVE, room, who)),
            _ => crowd.gone(who),
        }
        crowd.check();
    }
    check::tables(&crowd.hub, &crowd.people, &crowd.rooms);
    assert_eq!(crowd.hub.tables().room_count(), 0);
}

//! A look through the hub's tables, between inputs.

use roomer_hub::Presence;

use super::fault::{Fault, ensure};
use super::judge::Court;
use super::names::{person, room_number};
use super::op::Set;

/// How many rooms are looked at though they may be gone.
const LATEST: usize = 8;

impl Court {
    /// Holds the hub's tables against each other ([`Hub::audit`]) and against the model's. Costs a
    /// microsecond and more, so not after each input.
    pub fn look_round(&self) -> Result<(), Fault> {
        let Court { hub, bench } = self;
        hub.audit().map_err(Fault::new)?;
        let model = &bench.model;
        for room in &model.rooms {
            let key = bench.rooms[room.number as usize];
            ensure!(hub.name(key) == Some(room.name), "{:?} has another name", room.name);
            let members = hub.members(key);
            ensure!(members.len() == room.members.len(), "{:?} has {members:?}", room.name);
            for conn in members.iter() {
                let who = bench.who(conn);
                let is_due = who.is_some_and(|who| room.members.contains(&who));
                ensure!(is_due, "{conn:?} is in {:?}", room.name);
            }
        }
        let mut connections = 0;
        for (who, client) in model.clients.iter().enumerate() {
            let (conn, id) = (bench.keys[who], &*person(client.id).text);
            if client.is_here {
                connections += 1;
                ensure!(hub.id(conn).is_some_and(|own| own.as_str() == id), "{id} has another id");
                let rooms = hub.rooms_of(conn).len();
                ensure!(rooms == model.rooms_of(who as u16), "{id} sits in {rooms} rooms");
                for room in &model.rooms {
                    let is_member = hub.is_member(conn, bench.rooms[room.number as usize]);
                    let is_in = room.members.contains(&(who as u16));
                    ensure!(is_member == is_in, "is {id} in {:?}? {is_member}", room.name);
                }
            } else {
                let is_stale = hub.id(conn).is_none() && hub.opened(conn).is_none();
                ensure!(is_stale, "{id} is gone and still there");
                ensure!(hub.rooms_of(conn).len() == 0, "{id} is gone and in rooms");
            }
        }
        ensure!(hub.connections() == connections, "{} connections", hub.connections());
        for (number, &key) in bench.rooms.iter().enumerate().rev().take(LATEST) {
            let is_here = model.rooms.iter().any(|room| room.number as usize == number);
            let found = hub.name(key).is_some() || !hub.members(key).is_empty();
            ensure!(is_here || !found, "the key of a room that is gone finds one");
        }
        Ok(())
    }

    /// Holds what each client has seen against the hub's tables.
    pub fn compare_views(&mut self) -> Result<(), Fault> {
        let Court { hub, bench } = self;
        for who in 0..bench.keys.len() as u16 {
            if !bench.model.is_here(who) {
                continue;
            }
            let mut truth = Vec::new();
            for room in hub.rooms_of(bench.keys[usize::from(who)]) {
                let members = hub.members(room).iter().filter_map(|conn| bench.id(conn)).collect();
                let is_full =
                    hub.name(room).map(|name| bench.model.presence(name)) == Some(Presence::Full);
                let members =
                    if is_full { members } else { Set::from_iter([bench.clients.id(who)]) };
                let number = hub.name(room).and_then(room_number);
                truth.push((number.unwrap_or(u8::MAX), members));
            }
            bench.clients.agrees(who, &truth)?;
        }
        Ok(())
    }
}

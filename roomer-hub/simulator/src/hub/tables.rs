//! Audits the hub's tables between inputs.

use roomer_hub::Presence;

use super::checker::CheckedHub;
use super::op::IdSet;
use crate::alphabet::{id_number, identity, room_number};
use crate::fault::{Fault, ensure};

/// The number of most recent rooms whose keys are checked, including those of closed rooms.
const CHECKED_CLOSED_ROOMS: usize = 8;

impl CheckedHub {
    /// Checks the hub's tables against each other ([`Tables::audit`](roomer_hub::Tables::audit))
    /// and against the model. It takes at least a microsecond, so do not call it after each input.
    pub fn audit_tables(&self) -> Result<(), Fault> {
        let CheckedHub { hub, checker } = self;
        let tables = hub.tables();
        tables.audit().map_err(Fault::new)?;
        let model = &checker.model;
        for room in &model.rooms {
            let key = checker.rooms[room.number as usize];
            ensure!(tables.room_name(key) == Some(room.name), "{:?} has another name", room.name);
            let members = tables.members(key);
            // The sizes are equal, so the sets are equal if each member is found.
            ensure!(members.len() == room.members.len(), "{:?} has {members:?}", room.name);
            for conn in members.iter() {
                let client = checker.client(conn);
                let is_due = client.is_some_and(|client| room.members.contains(&client));
                ensure!(is_due, "{conn:?} is in {:?}", room.name);
            }
            self.audit_guests(room, key)?;
        }
        self.audit_peers()?;
        self.audit_connections()?;
        // A new room may use the slot of a closed one, but the key of the closed room must stay
        // invalid.
        for (number, &key) in checker.rooms.iter().enumerate().rev().take(CHECKED_CLOSED_ROOMS) {
            let is_connected = model.rooms.iter().any(|room| room.number as usize == number);
            let has_guests = tables.guests(key).len() > 0 || tables.member_count(key) > 0;
            let found =
                tables.room_name(key).is_some() || !tables.members(key).is_empty() || has_guests;
            ensure!(is_connected || !found, "the key of a closed room is still valid");
        }
        Ok(())
    }

    fn audit_connections(&self) -> Result<(), Fault> {
        let CheckedHub { hub, checker } = self;
        let (tables, model) = (hub.tables(), &checker.model);
        let mut connections = 0;
        for (number, client) in model.clients.iter().enumerate() {
            let (conn, id) = (checker.keys[number], &*identity(client.id).text);
            if client.is_connected {
                connections += 1;
                ensure!(
                    tables.conn_id(conn).is_some_and(|own| own.as_str() == id),
                    "{id} has another id"
                );
                let rooms = tables.rooms_of(conn).len();
                ensure!(rooms == model.rooms_of(number as u16), "{id} is in {rooms} rooms");
                for room in &model.rooms {
                    let is_member = tables.is_member(conn, checker.rooms[room.number as usize]);
                    let is_in = room.members.contains(&(number as u16));
                    ensure!(is_member == is_in, "is {id} in {:?}? {is_member}", room.name);
                }
            } else {
                let is_stale = tables.conn_id(conn).is_none() && tables.opened_at(conn).is_none();
                ensure!(is_stale, "{id} is closed, and its key is still valid");
                ensure!(tables.rooms_of(conn).len() == 0, "{id} is closed, and still in rooms");
            }
        }
        ensure!(tables.conn_count() == connections, "{} connections", tables.conn_count());
        Ok(())
    }

    /// Compares each client's view of its rooms with the hub's tables.
    pub fn compare_views(&mut self) -> Result<(), Fault> {
        let CheckedHub { hub, checker } = self;
        let tables = hub.tables();
        for client in 0..checker.keys.len() as u16 {
            if !checker.model.is_connected(client) {
                continue;
            }
            let mut expected = Vec::new();
            for room in tables.rooms_of(checker.keys[usize::from(client)]) {
                let own = tables.members(room).iter().filter_map(|conn| checker.id(conn));
                let guests = tables.guests(room);
                let guests = guests.filter_map(|id| id_number(id.as_str().as_bytes()));
                let members = own.chain(guests).collect();
                let is_full = tables.room_name(room).map(|name| checker.model.presence(name))
                    == Some(Presence::Full);
                let members =
                    if is_full { members } else { IdSet::from_iter([checker.clients.id(client)]) };
                let number = tables.room_name(room).and_then(room_number);
                expected.push((number.unwrap_or(u8::MAX), members));
            }
            checker.clients.agrees(client, &expected)?;
        }
        Ok(())
    }
}

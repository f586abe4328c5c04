//! The part of the model that concerns members that are away.

use roomer_hub::Presence;

use super::model::Model;
use super::plan::ROOMS;

impl Model {
    /// Returns true if a room announces which members are away.
    pub fn announces(&self, name: &str) -> bool {
        let is_named = match self.plan.away_rooms {
            None => false,
            Some("*") => true,
            Some("r*") => name.starts_with('r'),
            Some(other) => name == other,
        };
        is_named && self.presence(name) == Presence::Full
    }

    pub(super) fn joined(&self, name: &str, entry: &str, id: &str, is_away: bool) -> String {
        match is_away && self.announces(name) {
            true => format!("{{\"joined\":[{entry}],\"away\":[\"{id}\"]}}"),
            false => format!("{{\"joined\":[{entry}]}}"),
        }
    }

    /// Handles a client's loss of its socket, or its return.
    pub fn away(&mut self, client: usize, is_away: bool) {
        // If no room announces who is away, the hub does not track it.
        if self.plan.away_rooms.is_none()
            || std::mem::replace(&mut self.clients[client].is_away, is_away) == is_away
        {
            return;
        }
        let id = self.clients[client].id.clone();
        for name in ROOMS {
            if self.is_in(client, name) {
                self.announce_away(name, &id, is_away);
            }
        }
    }

    fn announce_away(&mut self, name: &'static str, id: &str, is_away: bool) {
        if !self.announces(name) {
            return;
        }
        let key = if is_away { "away" } else { "back" };
        let members = self.room(name).map_or(Vec::new(), |room| room.members.clone());
        for member in members {
            if self.clients[member].extended && self.clients[member].id != id {
                let text = format!("{{\"{key}\":[\"{id}\"]}}");
                self.text(member, name, "roomer:members", "", text);
            }
        }
    }

    /// Handles a guest's loss of its socket, or its return.
    pub fn guest_away(&mut self, guest: usize, is_away: bool) {
        if !self.is_guest(guest)
            || std::mem::replace(&mut self.guests[guest].is_away, is_away) == is_away
        {
            return;
        }
        let id = self.guests[guest].id.clone();
        for name in ROOMS {
            if self.room(name).is_some_and(|room| room.guests.contains(&guest)) {
                self.announce_away(name, &id, is_away);
            }
        }
    }
}

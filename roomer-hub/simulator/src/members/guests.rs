//! The part of the model that concerns guests, and members that are only counted.

use roomer_hub::Presence;

use super::model::{Guest, Model};
use super::plan::{INFOS, ROOMS, USERS};

impl Model {
    /// Handles a guest's join. If the guest is already in another room, `profile` is ignored.
    pub fn guest_joined(&mut self, guest: usize, name: &'static str, profile: (u8, u8)) {
        if !self.is_peer_up || self.room(name).is_some_and(|room| room.guests.contains(&guest)) {
            return;
        }
        if !self.is_guest(guest) {
            self.set_profile(guest, profile);
            self.guests[guest].is_away = false;
        }
        self.room_or_new(name).guests.push(guest);
        let id = self.guests[guest].id.clone();
        let Guest { is_away, .. } = self.guests[guest];
        let joined = self.joined(name, &self.guests[guest].entry(), &id, is_away);
        self.notify(name, None, joined, Some(("new_member", id)));
    }

    pub fn is_guest(&self, guest: usize) -> bool {
        self.rooms.iter().any(|room| room.guests.contains(&guest))
    }

    fn set_profile(&mut self, guest: usize, (info, user): (u8, u8)) {
        let guest = &mut self.guests[guest];
        guest.info = INFOS[usize::from(info) % INFOS.len()].1;
        guest.user = USERS[usize::from(user) % USERS.len()].1;
    }

    /// Changes a guest's profile. Returns true if members must be notified.
    pub fn guest_profile(&mut self, guest: usize, profile: (u8, u8)) -> bool {
        if !self.is_guest(guest) {
            return false;
        }
        let before = self.guests[guest].entry();
        self.set_profile(guest, profile);
        let entry = self.guests[guest].entry();
        for name in ROOMS {
            if self.room(name).is_some_and(|room| room.guests.contains(&guest)) && entry != before {
                self.notify(name, None, format!("{{\"changed\":[{entry}]}}"), None);
            }
        }
        !self.expected.is_empty()
    }

    pub fn guest_left(&mut self, guest: usize, name: &'static str) {
        if self.room(name).is_some_and(|room| room.guests.contains(&guest)) {
            self.room_or_new(name).guests.retain(|known| *known != guest);
            let id = self.guests[guest].id.clone();
            self.notify(name, None, format!("{{\"left\":[\"{id}\"]}}"), Some(("member_left", id)));
            self.drop_empty_rooms();
        }
    }

    pub fn guest_count(&mut self, name: &'static str, members: u32) {
        if !self.is_peer_up || members == 0 && self.room(name).is_none() {
            return;
        }
        let before = std::mem::replace(&mut self.room_or_new(name).count, members);
        if before != members && self.presence(name) == Presence::Count {
            self.notify(name, None, String::new(), Some(("", String::new())));
        }
        self.drop_empty_rooms();
    }

    pub fn peer_gone(&mut self) {
        for name in ROOMS {
            let guests = self.room(name).map_or(Vec::new(), |room| room.guests.clone());
            guests.into_iter().for_each(|guest| self.guest_left(guest, name));
            self.guest_count(name, 0);
        }
        self.is_peer_up = false;
    }
}

//! Queries about guests (members whose connections are at other nodes), and changes to their rooms.
//!
//! These methods keep a guest's entry in `guest_tables` and the rooms' lists of guests
//! (`room_guests`) consistent.

use std::sync::Arc;

use roomer_proto::ConnId;
use roomer_proto::extended::Profile;

use super::Tables;
use crate::guest_tables::Guest;
use crate::keys::{ConnKey, GuestKey, PeerKey, RoomKey};
use crate::room::Room;
use crate::room_guests::{Peers, RoomGuest, RoomGuests};
use crate::seats::Seat;

impl Tables {
    /// Returns the ids of a room's guests, which are connections on other nodes
    /// ([`Input::GuestJoined`](crate::Input::GuestJoined)), in an unspecified but reproducible
    /// order.
    pub fn guests(&self, room: RoomKey) -> impl ExactSizeIterator<Item = ConnId> {
        let guests =
            self.rooms.get(room).and_then(Room::guests).map_or(&[][..], RoomGuests::members);
        guests.iter().map(|entry| self.guest_tables.guests[entry.guest].id())
    }

    /// Returns the number of guests. Each guest counts once, regardless of how many rooms it is in.
    #[must_use]
    pub fn guest_count(&self) -> usize {
        self.guest_tables.guests.len()
    }

    /// Returns the number of a room's members on all nodes: connections on this node, guests and
    /// counts. Returns 0 if the room is closed.
    #[must_use]
    pub fn member_count(&self, room: RoomKey) -> usize {
        self.rooms.get(room).map_or(0, Room::member_count)
    }

    /// Returns the peers with guests or counts in a room.
    #[must_use]
    pub fn peers(&self, room: RoomKey) -> Peers<'_> {
        self.rooms.get(room).map_or(Peers::default(), Room::peers)
    }

    /// Returns a peer's guests with the name of each room that they are in; a guest in several
    /// rooms is returned several times. Scans all peers' guests. The order is unspecified but
    /// reproducible.
    pub fn guests_of(&self, peer: PeerKey) -> impl Iterator<Item = (&str, ConnId)> {
        let guests = self.guest_tables.guests.values().filter(move |guest| guest.peer == peer);
        guests.flat_map(|guest| {
            let rooms = guest.seats.iter();
            rooms.map(|seat| (&*self.rooms[seat.room].name, guest.id()))
        })
    }

    /// Returns a peer's guests with their info and user. Scans all peers' guests. The order is
    /// unspecified but reproducible.
    pub fn profiles_of(&self, peer: PeerKey) -> impl Iterator<Item = (ConnId, Option<&Profile>)> {
        let guests = self.guest_tables.guests.values().filter(move |guest| guest.peer == peer);
        guests.map(|guest| (guest.id(), guest.profile.as_deref()))
    }

    /// Returns the ids of the guests with this user, in an unspecified but reproducible order.
    pub fn guests_of_user(&self, user: &str) -> impl Iterator<Item = ConnId> {
        let profile = Profile::new(None, Some(user));
        let hash = self.key.hash_one(profile.quoted_user().unwrap_or_default());
        let keys = self.guest_tables.users.range((hash, GuestKey::min())..);
        let keys = keys.take_while(move |(other, _)| *other == hash);
        let guests = keys.map(|(_, guest)| &self.guest_tables.guests[*guest]);
        // Exclude users with a different name that has the same hash.
        let is_of_user = move |guest: &&Guest| {
            guest.profile.as_ref().and_then(|known| known.quoted_user()) == profile.quoted_user()
        };
        guests.filter(is_of_user).map(Guest::id)
    }

    /// Returns the names of the rooms for which a peer has reported a count, with the counts. Scans
    /// all rooms. The order is unspecified but reproducible.
    pub fn counts_of(&self, peer: PeerKey) -> impl Iterator<Item = (&str, u32)> {
        let counts = self.rooms.values().map(move |room| (&*room.name, room.count_of(peer)));
        counts.filter(|(_, count)| *count > 0)
    }

    /// Returns the peer whose tag matches an id ([`Input::PeerUp`](crate::Input::PeerUp)). The
    /// id need not belong to a guest.
    #[must_use]
    pub fn peer_of(&self, id: &str) -> Option<PeerKey> {
        self.peers_of(id).next()
    }

    /// Returns all peers whose tag matches an id. This is at most one, unless two peers have drawn
    /// the same tag.
    pub fn peers_of(&self, id: &str) -> impl Iterator<Item = PeerKey> + use<'_> {
        self.guest_tables.peers_of(id)
    }

    pub(crate) fn find_guest(&self, id: &ConnId) -> Option<GuestKey> {
        self.guest_tables.find(self.key, id)
    }

    /// Returns true if a connection and a guest share a room other than `except`.
    pub(crate) fn share_room_with_guest(
        &self,
        conn: ConnKey,
        guest: GuestKey,
        except: Option<RoomKey>,
    ) -> bool {
        let mut rooms = self.guest_tables.guests[guest].seats.iter();
        rooms.any(|seat| Some(seat.room) != except && self.is_member(conn, seat.room))
    }

    /// Returns the index of a guest's seat in a room.
    pub(crate) fn guest_seat_index(&self, guest: GuestKey, room: RoomKey) -> Option<usize> {
        let seats = &self.guest_tables.guests[guest].seats;
        seats.iter().position(|seat| seat.room == room)
    }

    /// Adds a guest to a room that it is not in. Creates the guest if it is new.
    pub(crate) fn join_guest(
        &mut self,
        peer: PeerKey,
        known: Option<GuestKey>,
        room: RoomKey,
        id: &ConnId,
        profile: Option<&Arc<Profile>>,
    ) {
        let key = self.key;
        let guest = known.unwrap_or_else(|| self.guest_tables.insert(key, peer, id, profile));
        let seats = &mut self.guest_tables.guests[guest].seats;
        let entry = RoomGuest { guest, seat_index: seats.len() as u32 };
        let member_index = self.rooms[room].guests_mut().push(peer, entry, id);
        seats.push(Seat { room, member_index });
    }

    /// Removes a guest's seat, and closes the room if it has become empty. Returns the room's
    /// key, and true if it was closed. The caller must remove a guest that has no seats left.
    pub(crate) fn leave_guest(&mut self, guest: GuestKey, seat_index: usize) -> (RoomKey, bool) {
        let Guest { peer, seats, .. } = &mut self.guest_tables.guests[guest];
        let peer = *peer;
        let Seat { room: key, member_index } = seats.swap_remove(seat_index);
        // In both lists, the last entry has moved into the gap, so the references to these two
        // entries must be updated.
        if let Some(&moved) = seats.get(seat_index) {
            self.rooms[moved.room].guests_mut().member_mut(moved.member_index).seat_index =
                seat_index as u32;
        }
        let room = &mut self.rooms[key];
        if let Some(moved) = room.guests_mut().swap_remove(peer, member_index) {
            let seats = &mut self.guest_tables.guests[moved.guest].seats;
            seats[moved.seat_index as usize].member_index = member_index;
        }
        room.drop_empty_guests();
        (key, room.is_empty() && self.close(key).is_some())
    }

    /// Sets a peer's count of members in a room, and closes the room if it has become empty.
    /// Returns true if it was closed.
    pub(crate) fn set_guest_count(&mut self, peer: PeerKey, room: RoomKey, count: u32) -> bool {
        let entry = &mut self.rooms[room];
        // A count of 0 may allocate a list that the next line frees again.
        entry.guests_mut().set_count(peer, count);
        entry.drop_empty_guests();
        entry.is_empty() && self.close(room).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Presence;
    use crate::guest_tables::GuestTables;
    use crate::hash::HashKey;

    fn tables() -> Tables {
        let mut tables = Tables::new(HashKey([7; 16]));
        tables.guest_tables.set_tag(PeerKey::new(0), Some([0; 4]));
        tables
    }

    fn join(tables: &mut Tables, number: u32, name: &str) {
        let mut bytes = [0; 16];
        bytes[12..].copy_from_slice(&number.to_be_bytes());
        let id = ConnId::from_random_bytes(bytes);
        let room = tables.find_room(name);
        let room = room.unwrap_or_else(|| tables.insert_room(name, Presence::Full));
        tables.join_guest(PeerKey::new(0), tables.find_guest(&id), room, &id, None);
    }

    /// Returns the number of bytes allocated for guests and their rooms.
    fn allocated(tables: &Tables) -> usize {
        let GuestTables { guests, ids, .. } = &tables.guest_tables;
        // Each slot has a version next to its content.
        let slot = (size_of::<Guest>() + size_of::<u32>()).next_multiple_of(align_of::<Guest>());
        let room = |room: &Room| {
            let guests = room.guests().map_or(0, |guests| size_of_val(guests) + guests.allocated());
            size_of::<Room>() + room.name.len() + guests
        };
        (guests.capacity() + 1) * slot
            + ids.allocation_size()
            + tables.rooms.values().map(room).sum::<usize>()
    }

    /// Checks the memory target for a guest in `root` and one other room. 78 of the bytes are the
    /// guest's two entries in the rooms' snapshots.
    #[test]
    fn guest_in_two_rooms_needs_less_than_250_bytes() {
        let (mut tables, guests) = (tables(), 50_000);
        for number in 0..guests {
            join(&mut tables, number, "root");
            join(&mut tables, number, &format!("room {}", number / 50));
        }
        tables.audit().unwrap();
        let each = allocated(&tables) / guests as usize;
        println!("{each} bytes for each guest");
        assert!((78..=250).contains(&each), "{each} bytes for each guest");
    }

    #[test]
    fn memory_is_released_with_last_guest() {
        let mut tables = tables();
        for number in 0..1_000 {
            join(&mut tables, number, "root");
        }
        let key = tables.key;
        let guests = tables.guest_tables.guests.iter().map(|(guest, _)| guest);
        for guest in guests.collect::<Vec<_>>() {
            tables.leave_guest(guest, 0);
            tables.guest_tables.remove(key, guest);
        }
        tables.audit().unwrap();
        assert!(allocated(&tables) < 1_000, "{} bytes are left", allocated(&tables));
    }

    #[test]
    fn guests_by_user_follow_profiles() {
        let mut tables = Tables::new(HashKey([7; 16]));
        let peer = PeerKey::new(0);
        tables.guest_tables.set_tag(peer, Some([0; 4]));
        let root = tables.insert_room("root", Presence::Full);
        for number in 0..4 {
            let mut bytes = [0; 16];
            bytes[15] = number;
            tables.join_guest(peer, None, root, &ConnId::from_random_bytes(bytes), None);
        }
        let guests = tables.guest_tables.guests.iter().map(|(guest, _)| guest);
        let (key, guests): (_, Vec<_>) = (tables.key, guests.collect());
        let profile = |user| Arc::new(Profile::new(None, user));
        let (ann, none) = (profile(Some("a\"nn")), profile(None));
        for guest in &guests[1..] {
            tables.guest_tables.set_profile(key, *guest, Some(&ann));
        }
        let of = |tables: &Tables, user| tables.guests_of_user(user).collect::<Vec<_>>();
        let ids = guests.iter().map(|guest| tables.guest_tables.guests[*guest].id());
        let ids: Vec<_> = ids.collect();
        assert_eq!(of(&tables, "a\"nn"), ids[1..]);
        assert!(of(&tables, "ann").is_empty());
        tables.guest_tables.set_profile(key, guests[1], Some(&none));
        tables.guest_tables.set_profile(key, guests[2], Some(&profile(Some("bob"))));
        assert_eq!((of(&tables, "a\"nn"), of(&tables, "bob")), (vec![ids[3]], vec![ids[2]]));
        tables.leave_guest(guests[3], 0);
        tables.guest_tables.remove(key, guests[3]);
        assert!(of(&tables, "a\"nn").is_empty());
        tables.guest_tables.set_profile(key, guests[1], None);
        tables.audit().unwrap();
    }
}

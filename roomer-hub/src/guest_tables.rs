//! The tables of peers and guests.
//!
//! A guest is a connection of another node, the peer, in rooms of this one. It is kept like a
//! connection: its seats and the rooms' guests point at each other by index.

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashTable;
use roomer_proto::ConnId;
use roomer_proto::extended::Profile;
use slotmap::SlotMap;

use crate::hash::HashKey;
use crate::keys::{ConnKey, GuestKey, PeerKey, RoomKey};
use crate::peers::{Peers, RoomGuest, RoomGuests};
use crate::room::Room;
use crate::seats::{Seat, Seats};
use crate::tables::Tables;

/// The peers and their guests. Without peers it is empty, and costs a hub nothing.
#[derive(Debug, Default)]
pub(crate) struct GuestTables {
    pub(crate) guests: SlotMap<GuestKey, Guest>,
    /// The guests by id.
    pub(crate) ids: HashTable<GuestKey>,
    /// The guests that have a user, by the hash of the user's name.
    pub(crate) users: BTreeSet<(u64, GuestKey)>,
    /// The tag of each peer that is up, by the peer's index.
    tags: Vec<Option<[u8; 4]>>,
}

/// A connection of a peer.
#[derive(Debug)]
pub(crate) struct Guest {
    /// The bytes of the id: half the size of a [`ConnId`].
    id: [u8; 16],
    pub(crate) peer: PeerKey,
    /// The info and user, `None` if there is neither.
    pub(crate) profile: Option<Arc<Profile>>,
    pub(crate) seats: Seats,
}

impl Guest {
    pub(crate) fn id(&self) -> ConnId {
        ConnId::from_bytes(self.id)
    }
}

impl GuestTables {
    /// Finds the guest with exactly this id.
    pub(crate) fn find(&self, key: HashKey, id: &ConnId) -> Option<GuestKey> {
        // Without peers, the id need not be parsed and hashed.
        if self.ids.is_empty() {
            return None;
        }
        let id = id.to_bytes();
        self.ids.find(key.hash_one(id), |&guest| self.guests[guest].id == id).copied()
    }

    fn insert(
        &mut self,
        key: HashKey,
        peer: PeerKey,
        id: &ConnId,
        profile: Option<&Arc<Profile>>,
    ) -> GuestKey {
        let (id, seats) = (id.to_bytes(), Seats::default());
        let guest = self.guests.insert(Guest { id, peer, profile: None, seats });
        let guests = &self.guests;
        self.ids.insert_unique(key.hash_one(id), guest, |&other| key.hash_one(guests[other].id));
        // Not with the insert: this also enters the user into the index of users.
        self.set_profile(key, guest, profile.filter(|profile| !profile.is_empty()));
        guest
    }

    /// Removes a guest that has left all its rooms.
    pub(crate) fn remove(&mut self, key: HashKey, guest: GuestKey) {
        self.set_profile(key, guest, None);
        let Some(Guest { id, .. }) = self.guests.remove(guest) else { return };
        // Compared by key: the guest is no longer in the table that the id would be read from.
        if let Ok(entry) = self.ids.find_entry(key.hash_one(id), |&other| other == guest) {
            entry.remove();
        }
        if self.guests.is_empty() {
            // The slots of a peer's thousands of guests would stay allocated. No key of a guest is
            // left anywhere.
            self.guests = SlotMap::default();
            self.ids = HashTable::new();
        }
    }

    /// Returns the tag of a peer that is up.
    pub(crate) fn tag(&self, peer: PeerKey) -> Option<[u8; 4]> {
        self.tags.get(peer.index()).copied().flatten()
    }

    /// Sets or removes the tag of a peer.
    pub(crate) fn set_tag(&mut self, peer: PeerKey, tag: Option<[u8; 4]>) {
        let index = peer.index();
        if self.tags.len() <= index {
            self.tags.resize(index + 1, None);
        }
        self.tags[index] = tag;
        // `peers_of` walks the list for each message to an unknown id, so it stays short.
        let used = self.tags.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        self.tags.truncate(used);
    }

    /// Returns the peers whose tag an id bears: at most one, unless two peers have drawn the same
    /// tag.
    pub(crate) fn peers_of(&self, id: &str) -> impl Iterator<Item = PeerKey> + use<'_> {
        // Most hubs have no peers, and need not parse the id.
        let tag = if self.tags.is_empty() { None } else { ConnId::parse(id).map(tag_of) };
        let tagged =
            self.tags.iter().enumerate().filter(move |(_, own)| tag.is_some() && **own == tag);
        tagged.map(|(index, _)| PeerKey::new(index as u16))
    }
}

/// Returns the first 4 bytes of an id.
pub(crate) fn tag_of(id: ConnId) -> [u8; 4] {
    let [a, b, c, d, ..] = id.to_bytes();
    [a, b, c, d]
}

impl Tables {
    /// Returns the ids of the guests in a room: connections of other nodes
    /// ([`Input::GuestJoined`](crate::Input::GuestJoined)). Their order has no meaning, but is
    /// reproducible.
    pub fn guests(&self, room: RoomKey) -> impl ExactSizeIterator<Item = ConnId> {
        let guests =
            self.rooms.get(room).and_then(Room::guests).map_or(&[][..], RoomGuests::members);
        guests.iter().map(|entry| self.guest_tables.guests[entry.guest].id())
    }

    /// Returns the number of guests, each counted once however many rooms it is in.
    #[must_use]
    pub fn guest_count(&self) -> usize {
        self.guest_tables.guests.len()
    }

    /// Returns the number of members of a room on all nodes: connections of this one, guests and
    /// counts. 0 if it is closed.
    #[must_use]
    pub fn member_count(&self, room: RoomKey) -> usize {
        self.rooms.get(room).map_or(0, Room::member_count)
    }

    /// Returns the peers with guests or counts in a room.
    #[must_use]
    pub fn peers(&self, room: RoomKey) -> Peers<'_> {
        self.rooms.get(room).map_or(Peers::default(), Room::peers)
    }

    /// Returns the guests of a peer, each with the name of a room, once for each of its rooms.
    /// Visits the guests of all peers. The order has no meaning, but is reproducible.
    pub fn guests_of(&self, peer: PeerKey) -> impl Iterator<Item = (&str, ConnId)> {
        let guests = self.guest_tables.guests.values().filter(move |guest| guest.peer == peer);
        guests.flat_map(|guest| {
            let rooms = guest.seats.iter();
            rooms.map(|seat| (&*self.rooms[seat.room].name, guest.id()))
        })
    }

    /// Returns the guests of a peer, each once, with the info and user.
    /// Visits the guests of all peers. The order has no meaning, but is reproducible.
    pub fn profiles_of(&self, peer: PeerKey) -> impl Iterator<Item = (ConnId, Option<&Profile>)> {
        let guests = self.guest_tables.guests.values().filter(move |guest| guest.peer == peer);
        guests.map(|guest| (guest.id(), guest.profile.as_deref()))
    }

    /// Returns the names of the rooms in which a peer has counted members, with their numbers.
    /// Visits all rooms. The order has no meaning, but is reproducible.
    pub fn counts_of(&self, peer: PeerKey) -> impl Iterator<Item = (&str, u32)> {
        let counts = self.rooms.values().map(move |room| (&*room.name, room.count_of(peer)));
        counts.filter(|(_, count)| *count > 0)
    }

    /// Returns the peer whose tag an id bears ([`Input::PeerUp`](crate::Input::PeerUp)). The id
    /// does not have to belong to a guest.
    #[must_use]
    pub fn peer_of(&self, id: &str) -> Option<PeerKey> {
        self.peers_of(id).next()
    }

    /// Returns all peers whose tag an id bears: at most one, unless two have drawn the same.
    pub fn peers_of(&self, id: &str) -> impl Iterator<Item = PeerKey> + use<'_> {
        self.guest_tables.peers_of(id)
    }

    pub(crate) fn find_guest(&self, id: &ConnId) -> Option<GuestKey> {
        self.guest_tables.find(self.key, id)
    }

    /// Returns true if a connection and a guest are in one room other than `except`.
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

    /// Adds a guest to a room that it is not in, and creates the guest if it is new.
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

    /// Removes a guest's seat, and the room if that was its last member. Returns the room's key,
    /// and true if it is closed. A guest without seats is for the caller to remove.
    pub(crate) fn leave_guest(&mut self, guest: GuestKey, seat_index: usize) -> (RoomKey, bool) {
        let Guest { peer, seats, .. } = &mut self.guest_tables.guests[guest];
        let peer = *peer;
        let Seat { room: key, member_index } = seats.swap_remove(seat_index);
        // Two entries have moved into the gaps; the other side of each has to follow.
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

    /// Sets the number of members that a peer has counted in a room, and closes the room if it is
    /// empty then. Returns true if it is closed.
    pub(crate) fn set_guest_count(&mut self, peer: PeerKey, room: RoomKey, count: u32) -> bool {
        let entry = &mut self.rooms[room];
        // A count of 0 may create what the next line removes again.
        entry.guests_mut().set_count(peer, count);
        entry.drop_empty_guests();
        entry.is_empty() && self.close(room).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Presence;

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

    /// Returns the bytes that are allocated for guests and their rooms.
    fn allocated(tables: &Tables) -> usize {
        let GuestTables { guests, ids, .. } = &tables.guest_tables;
        // A slot of the table has a version next to its content.
        let slot = (size_of::<Guest>() + size_of::<u32>()).next_multiple_of(align_of::<Guest>());
        let room = |room: &Room| {
            let guests = room.guests().map_or(0, |guests| size_of_val(guests) + guests.allocated());
            size_of::<Room>() + room.name.len() + guests
        };
        (guests.capacity() + 1) * slot
            + ids.allocation_size()
            + tables.rooms.values().map(room).sum::<usize>()
    }

    /// The target of a guest in `root` and one more room, of which 78 bytes are the two entries in
    /// the rooms' snapshots.
    #[test]
    fn fifty_thousand_guests_in_two_rooms_need_less_than_250_bytes_each() {
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
    fn memory_is_released_when_the_last_guest_has_left() {
        let mut tables = tables();
        for number in 0..1_000 {
            join(&mut tables, number, "root");
        }
        let key = tables.key;
        while let Some(guest) = tables.guest_tables.guests.keys().next() {
            tables.leave_guest(guest, 0);
            tables.guest_tables.remove(key, guest);
        }
        tables.audit().unwrap();
        assert!(allocated(&tables) < 1_000, "{} bytes are left", allocated(&tables));
    }
}

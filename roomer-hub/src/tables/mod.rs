//! Tables of connections and rooms, and the membership between them.
//!
//! Guests and requests, which most hubs do not have, are in separate modules.

mod exchanges;
mod guests;

use std::time::Duration;

use hashbrown::{HashMap, HashTable};
use roomer_proto::extended::{Info, Profile};
use roomer_proto::{ConnId, PacketRef};

use crate::config::{Presence, RoomPattern};
use crate::exchange::Exchange;
use crate::guest_tables::GuestTables;
use crate::hash::{HashKey, KeyedState};
use crate::history::Histories;
use crate::keys::{ConnKey, RoomKey};
use crate::limits::Buckets;
use crate::room::{Member, Members, Room};
use crate::seats::{Seat, Seats};
use crate::slots::Slots;

/// A hub's connections and rooms, and the membership between them.
///
/// A lookup by key is an array access; a lookup by id or name computes one hash. Iteration
/// follows the slots, so its order depends only on the hub's inputs.
#[derive(Debug)]
pub struct Tables {
    pub(crate) key: HashKey,
    pub(crate) conns: Slots<ConnKey, Conn>,
    /// The connections, indexed by id.
    pub(crate) ids: HashTable<ConnKey>,
    pub(crate) rooms: Slots<RoomKey, Room>,
    /// The rooms, indexed by name.
    pub(crate) names: HashTable<RoomKey>,
    pub(crate) guest_tables: GuestTables,
    /// The unanswered requests and the error rate of each connection that has either.
    pub(crate) exchanges: HashMap<ConnKey, Exchange, KeyedState>,
    /// The rooms' histories; `None` if no room has one.
    pub(crate) histories: Option<Box<Histories>>,
    /// The rooms that announce which members are away.
    pub(crate) away_rooms: Vec<RoomPattern>,
}

/// A connection on this node, with its seats.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) id: ConnId,
    /// True if the client uses the extended protocol.
    pub(crate) extended: bool,
    /// True if the client has lost its socket but may still resume its session.
    pub(crate) is_away: bool,
    /// The time since the clock's origin in nanoseconds, which takes half the size of a
    /// [`Duration`].
    opened_at: u64,
    pub(crate) seats: Seats,
    /// The info and user; `None` if there is neither.
    pub(crate) profile: Option<Box<Profile>>,
    /// `None` until a bucket is used. Most connections never use one.
    pub(crate) buckets: Option<Box<Buckets>>,
}

impl Tables {
    pub(crate) fn new(key: HashKey) -> Self {
        Tables {
            key,
            conns: Slots::default(),
            ids: HashTable::new(),
            rooms: Slots::default(),
            names: HashTable::new(),
            guest_tables: GuestTables::default(),
            exchanges: HashMap::with_hasher(key.state()),
            histories: None,
            away_rooms: Vec::new(),
        }
    }

    /// Returns the number of connections.
    #[must_use]
    pub fn conn_count(&self) -> usize {
        self.conns.len()
    }

    /// Returns the number of rooms, including `root`.
    #[must_use]
    pub fn room_count(&self) -> usize {
        self.rooms.len()
    }

    /// Returns the connection with this id.
    #[must_use]
    pub fn find_conn(&self, id: &str) -> Option<ConnKey> {
        let conns = &self.conns;
        // The index contains only keys. Compare the id with the one stored in the connection, so
        // that the index need not store it again.
        self.ids.find(self.key.hash(id), |&conn| conns[conn].id == *id).copied()
    }

    /// Returns the room with this name.
    #[must_use]
    pub fn find_room(&self, name: &str) -> Option<RoomKey> {
        let rooms = &self.rooms;
        self.names.find(self.key.hash(name), |&room| *rooms[room].name == *name).copied()
    }

    /// Returns a connection's id; `None` if the connection was removed.
    #[must_use]
    pub fn conn_id(&self, conn: ConnKey) -> Option<ConnId> {
        self.conns.get(conn).map(|conn| conn.id)
    }

    /// Returns the time at which a connection was opened, on the clock of
    /// [`Hub::handle`](crate::Hub::handle). Saturates after 584 years.
    #[must_use]
    pub fn opened_at(&self, conn: ConnKey) -> Option<Duration> {
        self.conns.get(conn).map(|conn| Duration::from_nanos(conn.opened_at))
    }

    /// Returns true if a connection uses the extended protocol. Returns false if it was removed.
    #[must_use]
    pub fn is_extended(&self, conn: ConnKey) -> bool {
        self.conns.get(conn).is_some_and(|conn| conn.extended)
    }

    /// Returns a connection's info and user, if it has either.
    #[must_use]
    pub fn profile(&self, conn: ConnKey) -> Option<&Profile> {
        self.conns.get(conn)?.profile.as_deref()
    }

    /// Returns a connection's info, if it has any.
    #[must_use]
    pub fn info(&self, conn: ConnKey) -> Option<&Info> {
        self.conns.get(conn)?.profile.as_ref()?.info()
    }

    /// Returns the number of rooms with a stored history
    /// ([`Hub::add_history`](crate::Hub::add_history)), including those without members.
    #[must_use]
    pub fn history_count(&self) -> usize {
        self.histories.as_ref().map_or(0, |histories| histories.len())
    }

    /// Returns the latest messages in a room's history with their numbers, oldest first. The
    /// packets have an empty `room`, and the number as `dst`.
    pub fn history(
        &self,
        now: Duration,
        room: &str,
        last: usize,
    ) -> impl Iterator<Item = (u64, PacketRef<'_>)> {
        let histories = self.histories.iter();
        histories.flat_map(move |histories| histories.recent(now, room, last))
    }

    /// Returns the histories' total size in bytes.
    #[must_use]
    pub fn history_bytes(&self) -> usize {
        self.histories.as_ref().map_or(0, |histories| histories.bytes())
    }

    /// Returns the number of a room's members on this node that use the extended protocol.
    #[must_use]
    pub fn extended_members(&self, room: RoomKey) -> usize {
        self.rooms.get(room).map_or(0, Room::extended_members)
    }

    /// Returns a room's name; `None` if the room is closed.
    #[must_use]
    pub fn room_name(&self, room: RoomKey) -> Option<&str> {
        self.rooms.get(room).map(|room| &*room.name)
    }

    /// Returns a room's presence; `None` if the room is closed.
    #[must_use]
    pub fn presence(&self, room: RoomKey) -> Option<Presence> {
        self.rooms.get(room).map(|room| room.presence)
    }

    /// Returns the keys and names of all rooms, in an unspecified but reproducible order.
    pub fn rooms(&self) -> impl Iterator<Item = (RoomKey, &str)> {
        self.rooms.iter().map(|(key, room)| (key, &*room.name))
    }

    /// Returns a room's members on this node. Empty if the room is closed. [`guests`](Self::guests)
    /// returns the members on other nodes.
    #[must_use]
    pub fn members(&self, room: RoomKey) -> Members<'_> {
        self.rooms.get(room).map_or(Members::NONE, Room::members)
    }

    /// Returns a connection's rooms; empty if it was removed.
    pub fn rooms_of(&self, conn: ConnKey) -> impl ExactSizeIterator<Item = RoomKey> {
        let seats = self.conns.get(conn).map_or(&[][..], |conn| &*conn.seats);
        seats.iter().map(|seat| seat.room)
    }

    /// Returns true if a connection is a member of a room.
    #[must_use]
    pub fn is_member(&self, conn: ConnKey, room: RoomKey) -> bool {
        self.seat_index(conn, room).is_some()
    }

    /// Returns true if two connections share a room other than `except`.
    pub(crate) fn share_room(&self, one: ConnKey, other: ConnKey, except: Option<RoomKey>) -> bool {
        // Iterate over the shorter list of seats.
        let (few, many) = match self.rooms_of(one).len() <= self.rooms_of(other).len() {
            true => (one, other),
            false => (other, one),
        };
        self.rooms_of(few).any(|room| Some(room) != except && self.is_member(many, room))
    }

    /// Returns the index of a connection's seat in a room.
    pub(crate) fn seat_index(&self, conn: ConnKey, room: RoomKey) -> Option<usize> {
        let seats = &self.conns.get(conn)?.seats;
        let members = self.rooms.get(room)?.members().0;
        // Search the shorter list.
        if members.len() < seats.len() {
            let member = members.iter().find(|member| member.conn == conn)?;
            return Some(member.seat_index as usize);
        }
        seats.iter().position(|seat| seat.room == room)
    }

    /// Returns a connection's token buckets. The connection must exist.
    pub(crate) fn buckets_mut(&mut self, conn: ConnKey) -> &mut Buckets {
        self.conns[conn].buckets.get_or_insert_default()
    }

    /// Inserts a connection without rooms. Returns `None` if its id is already in use by a
    /// connection or a guest.
    pub(crate) fn insert(&mut self, id: ConnId, now: Duration, extended: bool) -> Option<ConnKey> {
        // Guests' ids count as in use, because a direct message must have exactly one receiver.
        if self.find_conn(id.as_str()).is_some() || self.find_guest(&id).is_some() {
            return None;
        }
        let (seats, buckets) = (Seats::default(), None);
        let opened_at = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let (is_away, profile) = (false, None);
        let entry = Conn { id, extended, is_away, opened_at, seats, profile, buckets };
        let conn = self.conns.insert(entry);
        let (key, conns) = (self.key, &self.conns);
        self.ids.insert_unique(key.hash(id.as_str()), conn, |&other| {
            key.hash(conns[other].id.as_str())
        });
        Some(conn)
    }

    /// Removes a connection, which must have left all its rooms.
    pub(crate) fn remove(&mut self, conn: ConnKey) {
        let Some(Conn { id, seats, .. }) = self.conns.remove(conn) else {
            return;
        };
        debug_assert!(seats.is_empty(), "{id} is still in {} rooms", seats.len());
        // Compare by key, because the id has already been removed from the table of connections.
        if let Ok(entry) = self.ids.find_entry(self.key.hash(id.as_str()), |&other| other == conn) {
            entry.remove();
        }
    }

    /// Inserts a room without members. The caller must [`join`](Self::join) a connection to it
    /// immediately.
    pub(crate) fn insert_room(&mut self, name: &str, presence: Presence) -> RoomKey {
        let mut entry = Room::new(name, presence);
        entry.announces_away = self.has_away(name, presence);
        if let Some(histories) = &mut self.histories {
            // If an earlier room with this name had a history that has not expired, continue it.
            entry.has_history = histories.open(name);
        }
        let room = self.rooms.insert(entry);
        let (key, rooms) = (self.key, &self.rooms);
        self.names.insert_unique(key.hash(name), room, |&other| key.hash(&rooms[other].name));
        room
    }

    /// Makes a connection a member of a room. The connection must not be in the room already, and
    /// both must be in the tables.
    pub(crate) fn join(&mut self, conn: ConnKey, room: RoomKey) {
        let joiner = &mut self.conns[conn];
        // The two entries refer to each other by index. Each receives the index that the other will
        // have.
        let member = Member { conn, seat_index: joiner.seats.len() as u32 };
        let member_index = self.rooms[room].push(member, &joiner.id, joiner.extended);
        joiner.seats.push(Seat { room, member_index });
    }

    /// Removes a connection's seat, and closes the room if it has become empty. Returns the
    /// room's key, and its name if it was closed.
    pub(crate) fn leave(
        &mut self,
        conn: ConnKey,
        seat_index: usize,
    ) -> (RoomKey, Option<Box<str>>) {
        let Conn { seats, extended, .. } = &mut self.conns[conn];
        let extended = *extended;
        let Seat { room: key, member_index } = seats.swap_remove(seat_index);
        // In both lists, the last entry has moved into the gap, so the references to these two
        // entries must be updated.
        if let Some(&moved) = seats.get(seat_index) {
            self.rooms[moved.room].member_mut(moved.member_index).seat_index = seat_index as u32;
        }
        let room = &mut self.rooms[key];
        if let Some(moved) = room.swap_remove(member_index, extended) {
            self.conns[moved.conn].seats[moved.seat_index as usize].member_index = member_index;
        }
        if !room.is_empty() {
            return (key, None);
        }
        (key, self.close(key))
    }

    /// Removes a room, which must have no members, and returns its name.
    pub(crate) fn close(&mut self, room: RoomKey) -> Option<Box<str>> {
        // Compute the hash first, because removing the room also removes its name.
        let hash = self.key.hash(&self.rooms[room].name);
        if let Ok(entry) = self.names.find_entry(hash, |&other| other == room) {
            entry.remove();
        }
        let closed = self.rooms.remove(room)?;
        if let Some(histories) = self.histories.as_mut().filter(|_| closed.has_history) {
            histories.close(&closed.name);
        }
        Some(closed.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each connection takes one slot, which adds four bytes.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn connection_size_does_not_grow() {
        assert!(size_of::<Conn>() <= 104, "{}", size_of::<Conn>());
    }
}

//! Consistency checks across the tables, for tests and the simulator.

use std::collections::BTreeSet;

use crate::guest_tables::{Guest, GuestTables, tag_of};
use crate::keys::RoomKey;
use crate::room::Room;
use crate::room_guests::{RoomGuest, RoomGuests};
use crate::tables::Tables;

/// The maximum capacity of a list, as a multiple of its length.
const SPARE: usize = 4;

/// An upper bound on the size of a full chunk of a member list, in bytes.
const CHUNK_LEN: usize = 4096;

impl Tables {
    /// Checks that the tables are consistent: each id, name, seat and member refers to a counterpart
    /// that refers back to it, no room is empty, each room's snapshot lists its members, and no list
    /// has much more capacity than it needs. Takes time linear in the tables' size.
    ///
    /// # Errors
    ///
    /// Returns a description of the first inconsistency, which is a bug in the hub.
    pub fn audit(&self) -> Result<(), String> {
        let counts = [self.conns.len(), self.ids.len(), self.rooms.len(), self.names.len()];
        if counts[0] != counts[1] || counts[2] != counts[3] {
            return Err(format!("connections, ids, rooms and names: {counts:?}"));
        }
        let has_room = |name: &str| self.find_room(name).is_some();
        self.histories.as_ref().map_or(Ok(()), |histories| histories.audit(has_room))?;
        let mut seats = 0;
        for (conn, entry) in self.conns.iter() {
            if entry.profile.as_ref().is_some_and(|profile| profile.is_empty()) {
                return Err(format!("an empty profile of {}", entry.id));
            }
            if self.find_conn(entry.id.as_str()) != Some(conn) {
                return Err(format!("the id {} does not lead to its connection", entry.id));
            }
            for (index, seat) in entry.seats.iter().enumerate() {
                let members = self.rooms.get(seat.room).map(|room| room.members().0);
                let member = members.and_then(|members| members.get(seat.member_index as usize));
                let leads_back = member.is_some_and(|member| {
                    member.conn == conn && member.seat_index as usize == index
                });
                if !leads_back {
                    return Err(format!("seat {index} of {} leads to {member:?}", entry.id));
                }
            }
            seats += entry.seats.len();
        }
        let mut members = 0;
        for (key, room) in self.rooms.iter() {
            let (name, count) = (&room.name, room.members().len());
            if self.find_room(name) != Some(key) || room.member_count() == 0 {
                return Err(format!("the room {name:?} with {count} members"));
            }
            self.audit_room(room)?;
            self.audit_entries(key, room)?;
            members += count;
        }
        // Each seat refers to a member that refers back, so only the numbers of seats and members
        // can still differ.
        if seats != members {
            return Err(format!("{seats} seats, but {members} members"));
        }
        self.audit_exchanges()?;
        self.audit_guests()
    }

    /// Checks that guests, their seats, the lists of guests per room and the counters per peer
    /// are consistent.
    fn audit_guests(&self) -> Result<(), String> {
        let GuestTables { guests, ids, users, .. } = &self.guest_tables;
        if guests.len() != ids.len() {
            return Err(format!("{} guests, but {} ids", guests.len(), ids.len()));
        }
        let users_of = guests.iter().filter_map(|(key, guest)| {
            Some((self.key.hash_one(guest.profile.as_ref()?.quoted_user()?), key))
        });
        if users_of.collect::<BTreeSet<_>>() != *users {
            return Err("the index of users differs from the guests' profiles".into());
        }
        let mut seats = 0;
        for (key, guest) in guests.iter() {
            let id = guest.id();
            let tag = self.guest_tables.tag(guest.peer);
            if self.find_guest(&id) != Some(key) || self.find_conn(id.as_str()).is_some() {
                return Err(format!("the id {id} does not lead to its guest alone"));
            }
            if guest.profile.as_ref().is_some_and(|profile| profile.is_empty()) {
                return Err(format!("an empty profile of the guest {id}"));
            }
            if tag != Some(tag_of(id)) || guest.seats.is_empty() {
                return Err(format!("the guest {id} of {:?} with the tag {tag:?}", guest.peer));
            }
            for (index, seat) in guest.seats.iter().enumerate() {
                let members = self.rooms.get(seat.room).and_then(Room::guests);
                let member =
                    members.and_then(|room| room.members().get(seat.member_index as usize));
                let leads_back = member.is_some_and(|member| {
                    member.guest == key && member.seat_index as usize == index
                });
                if !leads_back {
                    return Err(format!("seat {index} of the guest {id} leads to {member:?}"));
                }
            }
            seats += guest.seats.len();
        }
        let rooms = self.rooms.values().filter_map(|room| Some((&room.name, room.guests()?)));
        for (name, room) in rooms {
            self.audit_room_guests(name, room)?;
            seats -= room.members().len();
        }
        // Each seat refers to an entry that refers back, so only the numbers of seats and entries
        // can still differ.
        match seats {
            0 => Ok(()),
            _ => Err(format!("{seats} more seats of guests than guests in rooms")),
        }
    }

    /// Checks a room's guests and peers.
    fn audit_room_guests(&self, name: &str, room: &RoomGuests) -> Result<(), String> {
        let guests = room.members();
        let of = |entry: &RoomGuest| self.guest_tables.guests.get(entry.guest);
        let known: Vec<&Guest> = guests.iter().filter_map(of).collect();
        let text: String = known.iter().map(|guest| format!(",\"{}\"", guest.id())).collect();
        if known.len() != guests.len()
            || room.list().snapshot().to_vec() != format!("{text}]").as_bytes()
        {
            return Err(format!("the snapshot of the guests of {name:?} is not {text}"));
        }
        // Each peer must have exactly one entry, whose two numbers match the tables and are not
        // both 0.
        for (index, entry) in room.peers().as_slice().iter().enumerate() {
            let peer = entry.peer;
            let is_second = room.peers().iter().take(index).any(|other| other == peer);
            let expected = known.iter().filter(|guest| guest.peer == peer).count();
            let is_up = self.guest_tables.tag(peer).is_some();
            if is_second
                || !is_up
                || entry.guests as usize != expected
                || entry.guests == 0 && entry.count == 0
            {
                return Err(format!("{entry:?} in {name:?}, which has {expected} of its guests"));
            }
        }
        if room.peers().iter().len() == 0
            || !known.iter().all(|guest| room.peers().iter().any(|peer| peer == guest.peer))
        {
            return Err(format!("{name:?} has the peers {:?} alone", room.peers()));
        }
        let (held, text_held) = room.capacity();
        if held > SPARE * guests.len().max(1)
            || text_held > 2 * SPARE * text.len().clamp(1, CHUNK_LEN)
        {
            let count = guests.len();
            return Err(format!("memory for {held} guests and {text_held} bytes for {count}"));
        }
        Ok(())
    }

    /// Checks a room's state for its extended members.
    fn audit_entries(&self, key: RoomKey, room: &Room) -> Result<(), String> {
        let extended = room.members().iter().filter(|conn| self.is_extended(*conn)).count();
        let (name, counted) = (&room.name, room.extended_members());
        if counted != extended || room.entries.is_some() && extended == 0 {
            return Err(format!("{name:?} has {extended} extended members, not {counted}"));
        }
        let audited = room.entries.as_ref().map_or(Ok(()), |entries| {
            let count = room.members().len();
            entries.audit(count, |index, out| self.write_entry(key, index, out))
        });
        audited.map_err(|error| format!("{name:?}: {error}"))?;
        let audited = room.guests().map_or(Ok(()), |guests| {
            let count = guests.members().len();
            guests.entries.audit(count, |index, out| self.write_guest_entry(key, index, out))
        });
        audited.map_err(|error| format!("guests in {name:?}: {error}"))
    }

    /// Checks a room's member list, and the memory that it uses.
    fn audit_room(&self, room: &Room) -> Result<(), String> {
        let (name, members) = (&room.name, room.members());
        let ids: Vec<&str> =
            members.iter().filter_map(|conn| Some(self.conns.get(conn)?.id.as_str())).collect();
        let text = match room.has_full_presence() {
            true if !members.is_empty() => format!("[\"{}\"]", ids.join("\",\"")),
            // The member list of an empty room, or of one without full presence, is never sent, so
            // it is not maintained.
            _ => "]".into(),
        };
        if room.own_snapshot().to_vec() != text.as_bytes() {
            return Err(format!("the snapshot of {name:?} is not {text}"));
        }
        let (held, text_held) = room.capacity();
        if held > SPARE * members.len() || text_held > 2 * SPARE * text.len().min(CHUNK_LEN) {
            let count = members.len();
            return Err(format!("memory for {held} members and {text_held} bytes for {count}"));
        }
        Ok(())
    }
}

//! Checks that the tables agree with each other, for tests and the simulator.

use crate::room::Room;
use crate::tables::Tables;

/// The most memory that a list may hold, as a multiple of what it needs.
const SPARE: usize = 4;

/// More than the bytes of a full chunk of a member list.
const CHUNK_LEN: usize = 4096;

impl Tables {
    /// Checks that the tables agree with each other: every id, name, seat and member leads to its
    /// counterpart and back, no room is empty, each room's snapshot lists its members, and no list
    /// holds much more memory than it needs. Takes time in proportion to the size of the tables.
    ///
    /// # Errors
    ///
    /// A description of the first disagreement, which is a bug in the hub.
    pub fn audit(&self) -> Result<(), String> {
        let counts = [self.conns.len(), self.ids.len(), self.rooms.len(), self.names.len()];
        if counts[0] != counts[1] || counts[2] != counts[3] {
            return Err(format!("connections, ids, rooms and names: {counts:?}"));
        }
        let mut seats = 0;
        for (conn, entry) in &self.conns {
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
        for (key, room) in &self.rooms {
            let (name, count) = (&room.name, room.members().len());
            if self.find_room(name) != Some(key) || count == 0 {
                return Err(format!("the room {name:?} with {count} members"));
            }
            self.audit_room(room)?;
            members += count;
        }
        // Each seat leads to a member that leads back, so that only the numbers can still differ.
        if seats != members {
            return Err(format!("{seats} seats, but {members} members"));
        }
        Ok(())
    }

    /// Checks a room's member list and memory.
    fn audit_room(&self, room: &Room) -> Result<(), String> {
        let (name, members) = (&room.name, room.members());
        let ids: Vec<&str> =
            members.iter().filter_map(|conn| Some(self.conns.get(conn)?.id.as_str())).collect();
        let text = match room.has_full_presence() {
            true => format!("[\"{}\"]", ids.join("\",\"")),
            // The list is not sent, so it is not kept.
            false => "]".into(),
        };
        if room.snapshot().to_vec() != text.as_bytes() {
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

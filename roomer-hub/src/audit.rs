//! Do the hub's tables agree with each other? For tests and the simulator.

use crate::hub::Hub;

/// How many times as much memory as it needs a list may hold.
const SPARE: usize = 4;

/// More than the bytes of a full page of a snapshot.
const ENTRIES_PER_CHUNK: usize = 4096;

impl Hub {
    /// Looks through all tables: every id, name, seat and place must lead to where it belongs and
    /// back, no room may be empty, each room's snapshot must be its members, and no list may hold
    /// much more memory than it needs. Takes time in proportion to all there is.
    ///
    /// # Errors
    ///
    /// What does not agree, in words. It is the hub's fault.
    pub fn audit(&self) -> Result<(), String> {
        let counts = [self.conns.len(), self.ids.len(), self.rooms.len(), self.names.len()];
        if counts[0] != counts[1] || counts[2] != counts[3] {
            return Err(format!("connections, ids, rooms and names: {counts:?}"));
        }
        let mut seats = 0;
        for (conn, entry) in &self.conns {
            if self.find(entry.id.as_str()) != Some(conn) {
                return Err(format!("the id {} does not lead to its connection", entry.id));
            }
            for (at, seat) in entry.seats.iter().enumerate() {
                let room = self.rooms.get(seat.room).map(|room| room.members().0);
                let member = room.and_then(|members| members.get(seat.place as usize));
                if member.is_none_or(|member| member.conn != conn || member.seat as usize != at) {
                    return Err(format!("seat {at} of {} leads to {member:?}", entry.id));
                }
            }
            seats += entry.seats.len();
        }
        let mut places = 0;
        for (room, entry) in &self.rooms {
            let (name, members) = (&entry.name, entry.members());
            if self.room(name) != Some(room) || members.is_empty() {
                return Err(format!("the room {name:?} with {} members", members.len()));
            }
            let ids: Vec<&str> =
                members.iter().filter_map(|conn| Some(self.conns.get(conn)?.id.as_str())).collect();
            let text = match entry.is_full() {
                true => format!("[\"{}\"]", ids.join("\",\"")),
                // Nobody is shown it, so nothing is kept.
                false => "]".into(),
            };
            if entry.snapshot().to_vec() != text.as_bytes() {
                return Err(format!("the snapshot of {name:?} is not {text}"));
            }
            let (held, text_held) = entry.capacity();
            if held > SPARE * members.len()
                || text_held > 2 * SPARE * text.len().min(ENTRIES_PER_CHUNK)
            {
                return Err(format!("{held} places, {text_held} bytes for {}", members.len()));
            }
            places += members.len();
        }
        // Each seat leads to a place that leads back, so equal numbers are all that is left.
        if seats != places {
            return Err(format!("{seats} seats, but {places} members"));
        }
        Ok(())
    }
}

//! An extended client's view of its rooms' members and their info.

use roomer_proto::PacketRef;
use roomer_proto::extended::Members;

use super::client::Client;
use super::view::{Numbers, RoomView, View};

impl Client {
    /// Returns the info of a room's member as JSON, from the packets received so far. Returns
    /// `None` if the member has no info. For extended clients only.
    #[must_use]
    pub fn member_info(&self, room: &str, id: &str) -> Option<String> {
        let state = self.state();
        let member = state.view.extended.get(room)?.profiles.get(id)?;
        member.info.as_ref().map(ToString::to_string)
    }

    /// Returns the user of a room's member, if it has one. For extended clients only.
    #[must_use]
    pub fn member_user(&self, room: &str, id: &str) -> Option<String> {
        self.state().view.extended.get(room)?.profiles.get(id)?.user.clone()
    }

    /// Returns true if a room's member is away in this extended client's view: it has no socket,
    /// but can still resume its session. Only rooms that announce away members show this
    /// ([`Builder::announce_away`](roomer_engine::Builder::announce_away)).
    #[must_use]
    pub fn is_member_away(&self, room: &str, id: &str) -> bool {
        let state = self.state();
        state.view.extended.get(room).is_some_and(|room| room.away.contains(id))
    }

    /// Returns the number of members of a room that sends counts instead of lists
    /// ([`Presence::Count`](roomer_engine::Presence)). For extended clients only.
    #[must_use]
    pub fn member_count(&self, room: &str) -> Option<u64> {
        self.state().view.extended.get(room)?.count
    }
}

impl View {
    /// Applies an extended client's `join_ack`.
    pub(super) fn join_extended(&mut self, packet: &PacketRef<'_>) -> Result<(), String> {
        let members = parse(packet)?;
        self.begin_numbers(packet.room, &members);
        let wrong = || format!("{packet:?} is not a join_ack");
        let Members { joined, left, changed, back, .. } = &members;
        if !(joined.is_empty() && left.is_empty() && changed.is_empty() && back.is_empty()) {
            return Err(wrong());
        }
        let mut room = RoomView { count: members.count, ..RoomView::default() };
        let is_list = members.members.is_some();
        // A room has either a list or a count, never both or neither.
        if is_list == members.count.is_some() {
            return Err(wrong());
        }
        for member in members.members.into_iter().flatten() {
            if let Some(twice) = room.profiles.insert(member.id.to_string(), member) {
                return Err(format!("{packet:?} lists {twice:?} twice"));
            }
        }
        for id in members.away.iter().map(ToString::to_string) {
            // The receiver has a socket, so the list must not show it as away.
            if id == self.id || !room.profiles.contains_key(&id) || !room.away.insert(id) {
                return Err(wrong());
            }
        }
        if is_list && !room.profiles.contains_key(&self.id) {
            return Err(format!("{packet:?} does not list the client"));
        }
        // A repeated join must list exactly the members that result from the notices so far.
        match self.extended.insert(packet.room.into(), room.clone()) {
            Some(known) if known != room => {
                Err(format!("{packet:?}, but the notices so far make {known:?}"))
            }
            _ => Ok(()),
        }?;
        self.update_ids(packet.room);
        Ok(())
    }

    fn begin_numbers(&mut self, room: &str, members: &Members) {
        // Discard the old position, since a room without a history has none.
        self.numbers.remove(room);
        if let Some(at) = members.at {
            let numbers = Numbers { at, is_first: true, has_recovered: members.recovered };
            self.numbers.insert(room.into(), numbers);
        }
    }

    /// Checks and applies the number of a message in a room with a history.
    pub(super) fn number(&mut self, packet: &PacketRef<'_>) -> Result<(), String> {
        let wrong = || format!("{packet:?} does not have the next number of its room");
        // The caller has checked that `dst` begins with `#`.
        let number: u64 = packet.dst[1..].parse().map_err(|_| wrong())?;
        let Some(numbers) = self.numbers.get_mut(packet.room) else { return Err(wrong()) };
        let next = numbers.at.number + 1;
        // The first message may have a lower number: missed messages precede new ones, up to the
        // position in the `join_ack`.
        let is_next = number == next || (numbers.is_first && (1..next).contains(&number));
        (numbers.at.number, numbers.is_first) = (number, false);
        if is_next { Ok(()) } else { Err(wrong()) }
    }

    /// Applies a membership notice for an extended client.
    pub(super) fn notice_extended(&mut self, packet: &PacketRef<'_>) -> Result<(), String> {
        let Members { members, count, joined, left, changed, away, back, .. } = parse(packet)?;
        let Some(room) = self.extended.get_mut(packet.room) else {
            return Err(format!("{packet:?} is of a room that the client is not in"));
        };
        let [joins, changes] = [joined.len() + left.len(), changed.len() + away.len() + back.len()];
        let is_list = joins + changes > 0;
        if members.is_some() || count.is_some() == is_list || room.count.is_some() == is_list {
            return Err(format!("{packet:?} is not a notice of this room"));
        }
        room.count = count.or(room.count);
        for id in left.iter().map(ToString::to_string) {
            if id == self.id || room.profiles.remove(&id).is_none() {
                return Err(format!("{packet:?} is about an unknown member that leaves"));
            }
            room.away.remove(&id);
        }
        for member in joined {
            let id = member.id.to_string();
            if id == self.id || room.profiles.insert(id, member).is_some() {
                return Err(format!("{packet:?} is about a known member that joins"));
            }
        }
        for member in changed {
            if room.profiles.insert(member.id.to_string(), member).is_none() {
                return Err(format!("{packet:?} is about an unknown member that changes"));
            }
        }
        for id in away.iter().map(ToString::to_string) {
            if id == self.id || !room.profiles.contains_key(&id) || !room.away.insert(id) {
                return Err(format!(
                    "{packet:?} is about a member that is away already, or unknown"
                ));
            }
        }
        for id in back.iter().map(ToString::to_string) {
            if !room.away.remove(&id) {
                return Err(format!("{packet:?} is about a member that is not away"));
            }
        }
        self.update_ids(packet.room);
        Ok(())
    }

    /// Copies the ids of a room's members into the part of the view that plain clients also have.
    fn update_ids(&mut self, room: &str) {
        let ids = self.extended.get(room).map(|view| view.profiles.keys().cloned().collect());
        self.rooms.insert(room.into(), ids.unwrap_or_default());
    }
}

fn parse(packet: &PacketRef<'_>) -> Result<Members, String> {
    Members::parse(packet.payload).ok_or_else(|| format!("{packet:?} is not a list of members"))
}

//! Rooms and seats: who is where, from both sides.
//!
//! A room's members and a connection's seats point at each other by index, so that leaving is a
//! `swap_remove` on either side and nobody searches.

use crate::action::Members;
use crate::config::Presence;
use crate::keys::{ConnKey, RoomKey};
use crate::rate::Buckets;
use crate::snapshot::{MemberList, Snapshot};
use roomer_proto::ConnId;

/// A connection's place in a room, as the room sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) conn: ConnKey,
    /// Index into the connection's seats.
    pub(crate) seat: u32,
}

/// A connection's place in a room, as the connection sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    pub(crate) room: RoomKey,
    /// Index into the room's members.
    pub(crate) place: u32,
}

#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) name: Box<str>,
    pub(crate) presence: Presence,
    members: Vec<Member>,
    /// In the order of `members`; empty where nobody gets to see them.
    pages: MemberList,
}

impl Room {
    pub(crate) fn new(name: &str, presence: Presence) -> Self {
        Room { name: name.into(), presence, members: Vec::new(), pages: MemberList::default() }
    }

    /// Whether members hear of each other.
    pub(crate) fn is_full(&self) -> bool {
        self.presence == Presence::Full
    }

    pub(crate) fn members(&self) -> Members<'_> {
        Members(&self.members)
    }

    pub(crate) fn snapshot(&self) -> Snapshot<'_> {
        self.pages.snapshot()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Places, and bytes of text behind the last full page, that memory is held for.
    pub(crate) fn capacity(&self) -> (usize, usize) {
        (self.members.capacity(), self.pages.capacity())
    }

    pub(crate) fn member_mut(&mut self, place: u32) -> &mut Member {
        &mut self.members[place as usize]
    }

    /// Adds a member and returns its place.
    pub(crate) fn push(&mut self, member: Member, id: &ConnId) -> u32 {
        if self.is_full() {
            self.pages.push(id);
        }
        self.members.push(member);
        self.members.len() as u32 - 1
    }

    /// Removes the member at `place` and returns the one that took its place, if any.
    pub(crate) fn swap_remove(&mut self, place: u32) -> Option<Member> {
        let place = place as usize;
        if self.is_full() {
            self.pages.swap_remove(place);
        }
        self.members.swap_remove(place);
        if self.members.len() * 4 < self.members.capacity() {
            self.members.shrink_to_fit();
            self.pages.shrink();
        }
        self.members.get(place).copied()
    }
}

#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) id: ConnId,
    pub(crate) opened: std::time::Duration,
    pub(crate) seats: Vec<Seat>,
    /// `None` until one is used: most connections never need any.
    pub(crate) buckets: Option<Box<Buckets>>,
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    /// A room that was large once must not hold that memory for ever, nor move house at each leave.
    #[test]
    fn memory_follows_the_members_in_few_steps() {
        let mut keys: SlotMap<ConnKey, ()> = SlotMap::with_key();
        let mut room = Room::new("lobby", Presence::Full);
        for number in 0..1000_u16 {
            let mut bytes = [0; 16];
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            let member = Member { conn: keys.insert(()), seat: 0 };
            room.push(member, &ConnId::from_random_bytes(bytes));
        }
        let (mut moves, mut before) = (0, room.capacity().0);
        for left in (1..1000).rev() {
            room.swap_remove(0);
            let (places, text) = room.capacity();
            assert!((left..=4 * left.max(2)).contains(&places), "{places} places for {left}");
            let least = left % 100 * 39;
            assert!((least..=8 * 39 * left.max(2)).contains(&text), "{text} bytes for {left}");
            moves += u32::from(places != before);
            before = places;
        }
        assert!(moves <= 10, "moved {moves} times");
    }
}

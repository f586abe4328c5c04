//! Rooms, their members, and the audience of notices.
//!
//! A room's members and a connection's seats refer to each other by index. Leaving is therefore
//! a `swap_remove` on either side, without searching a list.

use roomer_proto::ConnId;

use crate::config::Presence;
use crate::keys::{ConnKey, PeerKey};
use crate::member_entries::EntryChunks;
use crate::member_list::{MemberList, Snapshot};
use crate::room_guests::{Peers, RoomGuests};

/// An entry in a room's list of members.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) conn: ConnKey,
    /// The index into the connection's seats.
    pub(crate) seat_index: u32,
}

/// A room's members on this node. Borrows the hub.
#[derive(Clone, Copy)]
pub struct Members<'a>(pub(crate) &'a Vec<Member>);

impl<'a> Members<'a> {
    pub(crate) const NONE: Members<'static> = Members(&Vec::new());

    /// Returns the number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if there are no members, because the room does not exist or has only guests.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the members' keys in an unspecified but reproducible order.
    pub fn iter(&self) -> MembersIter<'a> {
        MembersIter(self.0.iter())
    }
}

impl<'a> IntoIterator for Members<'a> {
    type Item = ConnKey;
    type IntoIter = MembersIter<'a>;

    fn into_iter(self) -> MembersIter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Members<'a> {
    type Item = ConnKey;
    type IntoIter = MembersIter<'a>;

    fn into_iter(self) -> MembersIter<'a> {
        self.iter()
    }
}

impl std::fmt::Debug for Members<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// An iterator over the keys of a room's [`Members`].
#[derive(Clone, Debug)]
pub struct MembersIter<'a>(std::slice::Iter<'a, Member>);

impl Iterator for MembersIter<'_> {
    type Item = ConnKey;

    fn next(&mut self) -> Option<ConnKey> {
        self.0.next().map(|member| member.conn)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for MembersIter<'_> {}

/// The members of a room that should receive a packet. Plain and extended members receive
/// different notices. In a room with both, one is sent after the other.
///
/// The enum is exhaustive: a connection uses one of the two protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// All members, of both kinds.
    All,
    /// The members that use the plain protocol. The room also has extended members.
    Plain,
    /// The members that use the extended protocol. The room also has plain members.
    Extended,
}

#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) name: Box<str>,
    pub(crate) presence: Presence,
    /// True if the room has a history.
    pub(crate) has_history: bool,
    /// True if extended members are notified when other members go away or come back.
    pub(crate) announces_away: bool,
    /// The number of members that use the extended protocol.
    extended: u32,
    members: Vec<Member>,
    /// The ids in the order of `members`; empty unless the room has full presence.
    list: MemberList,
    /// The JSON entries of the members and their info; `None` until an extended member needs them.
    pub(crate) entries: Option<Box<EntryChunks>>,
    /// The members on other nodes; `None` if there are no such members.
    guests: Option<Box<RoomGuests>>,
}

impl Room {
    pub(crate) fn new(name: &str, presence: Presence) -> Self {
        let (members, list) = (Vec::new(), MemberList::default());
        Room {
            name: name.into(),
            presence,
            has_history: false,
            announces_away: false,
            extended: 0,
            members,
            list,
            entries: None,
            guests: None,
        }
    }

    /// Returns true if members are notified of each other's joins and leaves.
    pub(crate) fn has_full_presence(&self) -> bool {
        self.presence == Presence::Full
    }

    pub(crate) fn members(&self) -> Members<'_> {
        Members(&self.members)
    }

    /// Returns the number of members that use the extended protocol.
    #[inline]
    pub(crate) fn extended_members(&self) -> usize {
        self.extended as usize
    }

    /// Returns true if there are members that use the plain protocol.
    #[inline]
    pub(crate) fn has_plain_members(&self) -> bool {
        self.members.len() > self.extended as usize
    }

    /// Returns the audience for a notice to plain members.
    #[inline]
    pub(crate) fn plain_audience(&self) -> Audience {
        if self.extended_members() == 0 { Audience::All } else { Audience::Plain }
    }

    /// Returns the audience for a notice to extended members.
    pub(crate) fn extended_audience(&self) -> Audience {
        if self.has_plain_members() { Audience::Extended } else { Audience::All }
    }

    /// Returns the list of members on this node, without the guests.
    pub(crate) fn own_snapshot(&self) -> Snapshot<'_> {
        self.list.snapshot()
    }

    /// Returns the list of members on this node, followed by the guests.
    pub(crate) fn snapshot(&self) -> Snapshot<'_> {
        match &self.guests {
            None => self.list.snapshot(),
            Some(guests) => self.list.snapshot_with(guests.list()),
        }
    }

    /// Returns true if there are no members on any node.
    pub(crate) fn is_empty(&self) -> bool {
        // `drop_empty_guests` ensures that `guests` is never empty.
        self.members.is_empty() && self.guests.is_none()
    }

    pub(crate) fn guests(&self) -> Option<&RoomGuests> {
        self.guests.as_deref()
    }

    /// Returns the guests for modification, allocating the list if necessary.
    pub(crate) fn guests_mut(&mut self) -> &mut RoomGuests {
        self.guests.get_or_insert_default()
    }

    /// Frees the list of guests if it is empty.
    pub(crate) fn drop_empty_guests(&mut self) {
        if self.guests.as_ref().is_some_and(|guests| guests.is_empty()) {
            self.guests = None;
        }
    }

    pub(crate) fn peers(&self) -> Peers<'_> {
        self.guests().map_or(Peers::default(), RoomGuests::peers)
    }

    /// Returns a peer's count of members.
    pub(crate) fn count_of(&self, peer: PeerKey) -> u32 {
        self.guests().map_or(0, |guests| guests.count_of(peer))
    }

    /// Returns the number of members on all nodes.
    pub(crate) fn member_count(&self) -> usize {
        self.members.len().saturating_add(self.guests().map_or(0, RoomGuests::len))
    }

    /// Returns the allocated capacity: the number of members, and the number of bytes after the
    /// last full chunk of the member list.
    pub(crate) fn capacity(&self) -> (usize, usize) {
        (self.members.capacity(), self.list.capacity())
    }

    pub(crate) fn member_mut(&mut self, member_index: u32) -> &mut Member {
        &mut self.members[member_index as usize]
    }

    /// Adds a member and returns its index.
    pub(crate) fn push(&mut self, member: Member, id: &ConnId, extended: bool) -> u32 {
        self.extended += u32::from(extended);
        // Maintain the list only in rooms where it is sent. In other rooms, it would waste 39 bytes
        // per member.
        if self.has_full_presence() {
            self.list.push(id, b'[');
        }
        self.members.push(member);
        // The cast cannot truncate, because each member requires a connection in this process.
        self.members.len() as u32 - 1
    }

    /// Removes the member at an index, and returns the member that has moved there, if any.
    pub(crate) fn swap_remove(&mut self, member_index: u32, extended: bool) -> Option<Member> {
        let index = member_index as usize;
        if self.extended > 0 {
            // This cannot underflow, because a connection's protocol never changes.
            self.extended -= u32::from(extended);
            // Do this before the removal, which moves the last member and therefore changes its
            // chunk too.
            self.drop_entries(index);
        }
        if self.has_full_presence() {
            self.list.swap_remove(index);
        }
        self.members.swap_remove(index);
        // Shrink only below a quarter, so that the amortized cost of a leave is constant.
        if self.members.len() * 4 < self.members.capacity() {
            self.members.shrink_to_fit();
            self.list.shrink();
        }
        self.members.get(index).copied()
    }

    /// Invalidates the JSON entries of the member at `index`, which is about to leave, and of the
    /// last member.
    #[cold]
    fn drop_entries(&mut self, index: usize) {
        let last = self.members.len() - 1;
        // Only extended members need the entries. They are rebuilt when another extended member
        // joins.
        if self.extended == 0 {
            self.entries = None;
            if let Some(guests) = &mut self.guests {
                guests.entries = EntryChunks::default();
            }
        } else if let Some(entries) = &mut self.entries {
            entries.changed(index);
            entries.changed(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that a formerly large room frees its memory without reallocating at each leave.
    #[test]
    fn memory_follows_members_in_few_steps() {
        let mut room = Room::new("lobby", Presence::Full);
        for number in 0..1000_u16 {
            let mut bytes = [0; 16];
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            let member = Member { conn: ConnKey::from_u64(number.into()), seat_index: 0 };
            room.push(member, &ConnId::from_random_bytes(bytes), false);
        }
        let (mut reallocations, mut before) = (0, room.capacity().0);
        for left in (1..1000).rev() {
            room.swap_remove(0, false);
            let (members, text) = room.capacity();
            assert!((left..=4 * left.max(2)).contains(&members), "{members} members for {left}");
            let least = left % 100 * 39;
            assert!((least..=8 * 39 * left.max(2)).contains(&text), "{text} bytes for {left}");
            reallocations += u32::from(members != before);
            before = members;
        }
        assert!(reallocations <= 10, "reallocated {reallocations} times");
    }
}

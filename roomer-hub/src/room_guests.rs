//! One room's guests, which are members whose connections are at other nodes, and its counts by peer.
//!
//! A room with full presence lists its guests; otherwise only their number at each peer is known. The
//! profiles of guests are in `guest_tables`.

use roomer_proto::ConnId;

use crate::keys::{GuestKey, PeerKey};
use crate::member_entries::EntryChunks;
use crate::member_list::MemberList;

/// An entry in a room's list of guests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoomGuest {
    pub(crate) guest: GuestKey,
    /// The index into the guest's seats.
    pub(crate) seat_index: u32,
}

/// A peer's members in a room: guests in a room with full presence, otherwise a count. At least one
/// of the two numbers is not 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoomPeer {
    pub(crate) peer: PeerKey,
    pub(crate) guests: u32,
    /// The number of members from the last [`Input::GuestCount`](crate::Input::GuestCount).
    pub(crate) count: u32,
}

/// The peers with members in a room, borrowed from the hub.
#[derive(Clone, Copy, Default)]
pub struct Peers<'a>(Option<&'a RoomGuests>);

impl<'a> Peers<'a> {
    /// Returns the number of peers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Returns true if no peer has members in the room.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the peers' keys in an unspecified but reproducible order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = PeerKey> + use<'a> {
        self.as_slice().iter().map(|entry| entry.peer)
    }

    pub(crate) fn as_slice(&self) -> &'a [RoomPeer] {
        self.0.map_or(&[], |guests| &guests.peers)
    }
}

impl std::fmt::Debug for Peers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// One room's guests and counts. Allocated only for rooms that have some.
#[derive(Debug, Default)]
pub(crate) struct RoomGuests {
    members: Vec<RoomGuest>,
    /// The ids in the same order as `members`: the second part of the room's snapshot.
    list: MemberList,
    /// The same list as JSON entries for extended members.
    pub(crate) entries: EntryChunks,
    peers: Vec<RoomPeer>,
}

impl RoomGuests {
    pub(crate) fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    pub(crate) fn members(&self) -> &[RoomGuest] {
        &self.members
    }

    pub(crate) fn member_mut(&mut self, index: u32) -> &mut RoomGuest {
        &mut self.members[index as usize]
    }

    pub(crate) fn peers(&self) -> Peers<'_> {
        Peers(Some(self))
    }

    pub(crate) fn list(&self) -> &MemberList {
        &self.list
    }

    /// Returns the number of members on other nodes, including those only counted.
    pub(crate) fn len(&self) -> usize {
        let counted = self.peers.iter().map(|entry| entry.count as usize);
        counted.fold(self.members.len(), usize::saturating_add)
    }

    /// Returns a peer's count of members.
    pub(crate) fn count_of(&self, peer: PeerKey) -> u32 {
        self.peers.iter().find(|entry| entry.peer == peer).map_or(0, |entry| entry.count)
    }

    /// Returns the allocated capacity: the number of guests, and the number of bytes after the
    /// list's last full chunk.
    pub(crate) fn capacity(&self) -> (usize, usize) {
        (self.members.capacity(), self.list.capacity())
    }

    /// Returns the total number of allocated bytes.
    #[cfg(test)]
    pub(crate) fn allocated(&self) -> usize {
        self.members.capacity() * size_of::<RoomGuest>()
            + self.peers.capacity() * size_of::<RoomPeer>()
            + self.list.allocated()
    }

    /// Adds a guest and returns its index.
    pub(crate) fn push(&mut self, peer: PeerKey, guest: RoomGuest, id: &ConnId) -> u32 {
        self.list.push(id, b',');
        self.members.push(guest);
        self.update(peer, |entry| entry.guests += 1);
        self.members.len() as u32 - 1
    }

    /// Removes the guest at an index, and returns the guest that has moved there, if any.
    pub(crate) fn swap_remove(&mut self, peer: PeerKey, index: u32) -> Option<RoomGuest> {
        let index = index as usize;
        // As with a room's own members, the last guest moves into the gap, so its chunk changes
        // too.
        self.entries.changed(index);
        self.entries.changed(self.members.len() - 1);
        self.list.swap_remove(index);
        self.members.swap_remove(index);
        if self.members.len() * 4 < self.members.capacity() {
            self.members.shrink_to_fit();
            self.list.shrink();
        }
        self.update(peer, |entry| entry.guests -= 1);
        self.members.get(index).copied()
    }

    /// Sets a peer's count of members.
    pub(crate) fn set_count(&mut self, peer: PeerKey, count: u32) {
        self.update(peer, |entry| entry.count = count);
    }

    /// Modifies a peer's entry, which exists as long as one of its two numbers is not 0.
    fn update(&mut self, peer: PeerKey, change: impl FnOnce(&mut RoomPeer)) {
        let known = self.peers.iter().position(|entry| entry.peer == peer);
        // A linear search is enough: a room spans few nodes, and a map would use more memory per room.
        let index = known.unwrap_or_else(|| {
            // Reserve exactly one entry, because most rooms are shared with few peers.
            self.peers.reserve_exact(1);
            self.peers.push(RoomPeer { peer, guests: 0, count: 0 });
            self.peers.len() - 1
        });
        let entry = &mut self.peers[index];
        change(entry);
        // Remove the entry immediately so that broadcasts are not sent to nodes without members.
        if entry.guests == 0 && entry.count == 0 {
            self.peers.swap_remove(index);
        }
    }
}

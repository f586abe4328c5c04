//! Storage of guests, which are members whose connections are at other nodes, by key, id and user.
//!
//! The node of a guest's connection is called the peer. A guest is stored like a connection: its seats
//! and the rooms' lists of guests (`room_guests`) refer to each other by index.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashTable;
use roomer_proto::ConnId;
use roomer_proto::extended::Profile;

use crate::hash::HashKey;
use crate::keys::{GuestKey, PeerKey};
use crate::seats::Seats;
use crate::slots::Slots;

/// The peers and their guests. Empty if there are no peers, and then costs nothing.
#[derive(Debug, Default)]
pub(crate) struct GuestTables {
    pub(crate) guests: Slots<GuestKey, Guest>,
    /// The guests, indexed by id.
    pub(crate) ids: HashTable<GuestKey>,
    /// The guests with a user, indexed by the user name's hash.
    pub(crate) users: BTreeSet<(u64, GuestKey)>,
    /// The tags of peers that are up, by peer index.
    tags: Vec<Option<[u8; 4]>>,
}

/// A connection on a peer node.
#[derive(Debug)]
pub(crate) struct Guest {
    /// The id in binary form, less than half the size of a [`ConnId`].
    id: [u8; 16],
    pub(crate) peer: PeerKey,
    /// True if the client has lost its socket but may still resume its session.
    pub(crate) is_away: bool,
    /// The info and user; `None` if there is neither.
    pub(crate) profile: Option<Arc<Profile>>,
    pub(crate) seats: Seats,
}

impl Guest {
    pub(crate) fn id(&self) -> ConnId {
        ConnId::from_bytes(self.id)
    }
}

impl GuestTables {
    /// Returns the guest with this id.
    pub(crate) fn find(&self, key: HashKey, id: &ConnId) -> Option<GuestKey> {
        // Without peers, avoid parsing and hashing the id.
        if self.ids.is_empty() {
            return None;
        }
        let id = id.to_bytes();
        self.ids.find(key.hash_one(id), |&guest| self.guests[guest].id == id).copied()
    }

    pub(crate) fn insert(
        &mut self,
        key: HashKey,
        peer: PeerKey,
        id: &ConnId,
        profile: Option<&Arc<Profile>>,
    ) -> GuestKey {
        let (id, seats) = (id.to_bytes(), Seats::default());
        let guest = self.guests.insert(Guest { id, peer, is_away: false, profile: None, seats });
        let guests = &self.guests;
        self.ids.insert_unique(key.hash_one(id), guest, |&other| key.hash_one(guests[other].id));
        // `set_profile` also adds the user to the index.
        self.set_profile(key, guest, profile.filter(|profile| !profile.is_empty()));
        guest
    }

    /// Removes a guest that has left all its rooms.
    pub(crate) fn remove(&mut self, key: HashKey, guest: GuestKey) {
        self.set_profile(key, guest, None);
        let Some(Guest { id, .. }) = self.guests.remove(guest) else { return };
        // Compare by key, because the guest has already been removed from the table, together with
        // its id.
        if let Ok(entry) = self.ids.find_entry(key.hash_one(id), |&other| other == guest) {
            entry.remove();
        }
        if self.guests.is_empty() {
            // Free the slots, which may have held thousands of guests. Starting over with new slots
            // is safe, because no guest keys are left.
            self.guests = Slots::default();
            self.ids = HashTable::new();
        }
    }

    /// Replaces a guest's profile. An empty profile must be passed as `None`.
    pub(crate) fn set_profile(
        &mut self,
        key: HashKey,
        guest: GuestKey,
        profile: Option<&Arc<Profile>>,
    ) {
        let Some(entry) = self.guests.get_mut(guest) else { return };
        let before = std::mem::replace(&mut entry.profile, profile.cloned());
        let [before, after] = [before.as_ref(), profile].map(|profile| profile?.quoted_user());
        // The index depends only on the user, not on the info.
        if before != after {
            before.map(|user| self.users.remove(&(key.hash_one(user), guest)));
            after.map(|user| self.users.insert((key.hash_one(user), guest)));
        }
    }

    /// Returns a peer's tag if the peer is up.
    pub(crate) fn tag(&self, peer: PeerKey) -> Option<[u8; 4]> {
        self.tags.get(peer.index()).copied().flatten()
    }

    /// Sets or removes a peer's tag.
    pub(crate) fn set_tag(&mut self, peer: PeerKey, tag: Option<[u8; 4]>) {
        let index = peer.index();
        if self.tags.len() <= index {
            self.tags.resize(index + 1, None);
        }
        self.tags[index] = tag;
        // Keep the list short, because `peers_of` scans it for each message to an unknown id.
        let used = self.tags.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        self.tags.truncate(used);
    }

    /// Returns the peers whose tag matches an id. This is at most one, unless two peers have drawn
    /// the same tag.
    pub(crate) fn peers_of(&self, id: &str) -> impl Iterator<Item = PeerKey> + use<'_> {
        // Avoid parsing the id if there are no peers, which is common.
        let tag = if self.tags.is_empty() { None } else { ConnId::parse(id).map(tag_of) };
        let tagged =
            self.tags.iter().enumerate().filter(move |(_, own)| tag.is_some() && **own == tag);
        tagged.map(|(index, _)| PeerKey::new(index as u16))
    }
}

/// Returns the first four bytes of an id.
pub(crate) fn tag_of(id: ConnId) -> [u8; 4] {
    let [a, b, c, d, ..] = id.to_bytes();
    [a, b, c, d]
}

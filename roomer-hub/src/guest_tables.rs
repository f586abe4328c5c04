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

use crate::hash::HashKey;
use crate::keys::{GuestKey, PeerKey};
use crate::seats::Seats;
use crate::slots::Slots;

/// The peers and their guests. Without peers it is empty, and costs a hub nothing.
#[derive(Debug, Default)]
pub(crate) struct GuestTables {
    pub(crate) guests: Slots<GuestKey, Guest>,
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

    pub(crate) fn insert(
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
            self.guests = Slots::default();
            self.ids = HashTable::new();
        }
    }

    /// Replaces the profile of a guest with another one, which is not empty.
    pub(crate) fn set_profile(
        &mut self,
        key: HashKey,
        guest: GuestKey,
        profile: Option<&Arc<Profile>>,
    ) {
        let Some(entry) = self.guests.get_mut(guest) else { return };
        let before = std::mem::replace(&mut entry.profile, profile.cloned());
        let [before, after] = [before.as_ref(), profile].map(|profile| profile?.quoted_user());
        // The index changes with the user only; a change of the info leaves it.
        if before != after {
            before.map(|user| self.users.remove(&(key.hash_one(user), guest)));
            after.map(|user| self.users.insert((key.hash_one(user), guest)));
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

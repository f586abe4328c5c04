//! The guests of each user.

use std::hash::BuildHasher;
use std::sync::Arc;

use roomer_proto::ConnId;
use roomer_proto::extended::Profile;
use slotmap::KeyData;

use crate::guest_tables::{Guest, GuestTables};
use crate::hash::HashKey;
use crate::keys::GuestKey;
use crate::tables::Tables;

impl GuestTables {
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
}

impl Tables {
    /// Returns the ids of the guests with this user. The order has no meaning, but is reproducible.
    pub fn guests_of_user(&self, user: &str) -> impl Iterator<Item = ConnId> {
        let profile = Profile::new(None, Some(user));
        let hash = self.key.hash_one(profile.quoted_user().unwrap_or_default());
        // No key is less than this one.
        let least = GuestKey::from(KeyData::from_ffi(0));
        let keys = self.guest_tables.users.range((hash, least)..);
        let keys = keys.take_while(move |(other, _)| *other == hash);
        let guests = keys.map(|(_, guest)| &self.guest_tables.guests[*guest]);
        // Names may have the same hash.
        let is_of_user = move |guest: &&Guest| {
            guest.profile.as_ref().and_then(|known| known.quoted_user()) == profile.quoted_user()
        };
        guests.filter(is_of_user).map(Guest::id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Presence;
    use crate::keys::PeerKey;

    #[test]
    fn the_guests_of_a_user_follow_their_profiles() {
        let mut tables = Tables::new(HashKey([7; 16]));
        let peer = PeerKey::new(0);
        tables.guest_tables.set_tag(peer, Some([0; 4]));
        let root = tables.insert_room("root", Presence::Full);
        for number in 0..4 {
            let mut bytes = [0; 16];
            bytes[15] = number;
            tables.join_guest(peer, None, root, &ConnId::from_random_bytes(bytes), None);
        }
        let (key, guests): (_, Vec<_>) = (tables.key, tables.guest_tables.guests.keys().collect());
        let profile = |user| Arc::new(Profile::new(None, user));
        let (ann, none) = (profile(Some("a\"nn")), profile(None));
        for guest in &guests[1..] {
            tables.guest_tables.set_profile(key, *guest, Some(&ann));
        }
        let of = |tables: &Tables, user| tables.guests_of_user(user).collect::<Vec<_>>();
        let ids = guests.iter().map(|guest| tables.guest_tables.guests[*guest].id());
        let ids: Vec<_> = ids.collect();
        assert_eq!(of(&tables, "a\"nn"), ids[1..]);
        assert!(of(&tables, "ann").is_empty());
        tables.guest_tables.set_profile(key, guests[1], Some(&none));
        tables.guest_tables.set_profile(key, guests[2], Some(&profile(Some("bob"))));
        assert_eq!((of(&tables, "a\"nn"), of(&tables, "bob")), (vec![ids[3]], vec![ids[2]]));
        tables.leave_guest(guests[3], 0);
        tables.guest_tables.remove(key, guests[3]);
        assert!(of(&tables, "a\"nn").is_empty());
        tables.guest_tables.set_profile(key, guests[1], None);
        tables.audit().unwrap();
    }
}

//! Tables of the info and users reported by a node to its peers.
//!
//! Both ends of a stream maintain a sum of the hashes of all reported profiles, so the next
//! heartbeat reveals a difference.

use std::collections::BTreeMap;
use std::sync::Arc;

use roomer_proto::ConnId;
use roomer_proto::cluster::Item;
use roomer_proto::extended::{Info, Profile};

use super::config::Config;
use super::digest::Digest;
use super::outgoing::{Outgoing, Sealing};
use super::reasons::ResetReason;
use crate::tables::Tables;

/// The nonempty profiles of one node's connections.
#[derive(Debug)]
pub(super) struct Profiles<T> {
    known: BTreeMap<[u8; 16], (u64, T)>,
    digest: u64,
}

/// The profiles of this node's connections. The value is the number of the connection's seats in
/// rooms with full presence, at least one.
pub(super) type OwnProfiles = Profiles<u32>;

/// The profiles of a peer's connections. The value is `None` if every part of a profile exceeds its
/// limit.
pub(super) type GuestProfiles = Profiles<Option<Arc<Profile>>>;

impl<T> Default for Profiles<T> {
    fn default() -> Self {
        Profiles { known: BTreeMap::new(), digest: 0 }
    }
}

impl<T> Profiles<T> {
    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn get(&self, id: &ConnId) -> Option<&T> {
        self.known.get(&id.to_bytes()).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, id: &ConnId) -> Option<&mut T> {
        self.known.get_mut(&id.to_bytes()).map(|(_, value)| value)
    }

    pub(super) fn insert(&mut self, id: &ConnId, hash: u64, value: T) {
        let before = self.known.insert(id.to_bytes(), (hash, value));
        // Subtract the hash of the profile that is replaced.
        let before = before.map_or(0, |(hash, _)| hash);
        self.digest = self.digest.wrapping_sub(before).wrapping_add(hash);
    }

    pub(super) fn remove(&mut self, id: &ConnId) {
        let before = self.known.remove(&id.to_bytes());
        self.digest = self.digest.wrapping_sub(before.map_or(0, |(hash, _)| hash));
    }
}

impl OwnProfiles {
    /// Appends all profiles, as needed at the start of a stream.
    pub(super) fn send(&self, tables: &Tables, config: &Config, out: &mut Outgoing, how: &Sealing) {
        for id in self.known.keys().map(|id| ConnId::from_bytes(*id)) {
            let profile = tables.find_conn(id.as_str()).and_then(|conn| tables.profile(conn));
            out.push(&item(id, profile, config), how);
        }
    }
}

impl GuestProfiles {
    pub(super) fn profile(&self, id: &ConnId) -> Option<Arc<Profile>> {
        self.get(id).cloned().flatten()
    }

    /// Adds a profile reported by the peer. Returns false if a part of the profile exceeds a limit
    /// and was dropped.
    pub(super) fn add<'a>(
        &mut self,
        hash: &Digest,
        config: &Config,
        (id, info, user): (ConnId, &'a str, &'a str),
    ) -> Result<bool, ResetReason> {
        if info.is_empty() && user.is_empty() {
            self.remove(&id);
            return Ok(true);
        }
        // Each profile belongs to a connection with seats, so a correct peer never has more
        // profiles than seats.
        if self.len() >= config.max_seats && self.get(&id).is_none() {
            return Ok(false);
        }
        // Check the lengths before parsing, since a frame may be megabytes long. Only a part that
        // is too long is dropped.
        let within = |text: &'a str, most| if text.len() <= most { text } else { "" };
        let (shown, named) = (within(info, config.max_info), within(user, config.max_name));
        let profile = Profile::from_json(shown, named).map_err(|_| ResetReason::Malformed)?;
        let profile = (!profile.is_empty()).then(|| Arc::new(profile));
        // Hash the profile as the peer sent it, even if a part was dropped, because the peer's
        // digest includes that part.
        self.insert(&id, hash.profile(&id, info, user), profile);
        Ok(shown.len() == info.len() && named.len() == user.len())
    }
}

/// Returns the item that reports a profile. A user name above the limit is dropped.
pub(super) fn item<'a>(id: ConnId, profile: Option<&'a Profile>, config: &Config) -> Item<'a> {
    let info = profile.and_then(Profile::info).map_or("", Info::as_str);
    let user = profile.and_then(Profile::quoted_user).unwrap_or_default();
    let user = if user.len() <= config.max_name { user } else { "" };
    Item::Profile { id, info, user }
}

//! The info and users of connections, as a node has reported them to its peers.
//!
//! Both ends of a stream keep the sum of the hashes of what was reported, so that a difference shows by
//! the next beat.

use std::collections::BTreeMap;
use std::sync::Arc;

use roomer_proto::ConnId;
use roomer_proto::cluster::{Item, NodeId};
use roomer_proto::extended::{Info, Profile};

use super::causes::{RefusedCause, ResetCause};
use super::digest::Digest;
use super::effect::{Effect, News};
use super::outgoing::{Outgoing, Sealing};
use super::{Cluster, Config};
use crate::config::Presence;
use crate::tables::Tables;

/// The profiles of the connections of one node that have one.
#[derive(Debug)]
pub(super) struct Profiles<T> {
    known: BTreeMap<[u8; 16], (u64, T)>,
    digest: u64,
}

/// The profiles of this node's connections, each with the number of the connection's seats in rooms with
/// full presence: at least one.
pub(super) type OwnProfiles = Profiles<u32>;

/// The profiles of a peer's connections; `None` if all parts of a profile exceed their bounds.
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

    fn get_mut(&mut self, id: &ConnId) -> Option<&mut T> {
        self.known.get_mut(&id.to_bytes()).map(|(_, value)| value)
    }

    fn insert(&mut self, id: &ConnId, hash: u64, value: T) {
        let before = self.known.insert(id.to_bytes(), (hash, value));
        // A profile that is replaced no longer counts.
        let before = before.map_or(0, |(hash, _)| hash);
        self.digest = self.digest.wrapping_sub(before).wrapping_add(hash);
    }

    fn remove(&mut self, id: &ConnId) {
        let before = self.known.remove(&id.to_bytes());
        self.digest = self.digest.wrapping_sub(before.map_or(0, |(hash, _)| hash));
    }
}

impl OwnProfiles {
    /// Appends all profiles to the start of a stream.
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

    /// Adds an item of the peer. Returns false if a part of it exceeds a bound, and is left out.
    pub(super) fn add<'a>(
        &mut self,
        hash: &Digest,
        config: &Config,
        (id, info, user): (ConnId, &'a str, &'a str),
    ) -> Result<bool, ResetCause> {
        if info.is_empty() && user.is_empty() {
            self.remove(&id);
            return Ok(true);
        }
        // Each profile belongs to a seat, so a correct peer does not have more of them than seats.
        if self.len() >= config.max_seats && self.get(&id).is_none() {
            return Ok(false);
        }
        // The lengths first, since a frame may have megabytes. Only the part that is too long is
        // left out.
        let within = |text: &'a str, most| if text.len() <= most { text } else { "" };
        let (shown, named) = (within(info, config.max_info), within(user, config.max_name));
        let profile = Profile::from_json(shown, named).map_err(|_| ResetCause::Malformed)?;
        let profile = (!profile.is_empty()).then(|| Arc::new(profile));
        // The hash is of what the peer sent, even if a part is left out here: its digest is
        // compared.
        self.insert(&id, hash.profile(&id, info, user), profile);
        Ok(shown.len() == info.len() && named.len() == user.len())
    }
}

impl Cluster {
    /// Counts a join of a connection to a room with full presence. Reports its profile before the first
    /// one.
    pub(super) fn report_profile_of(&mut self, tables: &Tables, id: ConnId) {
        match self.profiles.get_mut(&id) {
            Some(seats) => *seats += 1,
            None => self.report_profile(tables, id, 1),
        }
    }

    /// Counts a leave of a connection from a room with full presence. Withdraws its profile with
    /// the last one.
    pub(super) fn release_profile_of(&mut self, id: ConnId) {
        let Some(seats) = self.profiles.get_mut(&id) else { return };
        *seats -= 1;
        if *seats == 0 {
            self.profiles.remove(&id);
            self.push_to_all(&Item::Profile { id, info: "", user: "" });
        }
    }

    /// Reports a changed profile of a connection that is in a room with full presence.
    pub(super) fn profile_changed(&mut self, tables: &Tables, id: ConnId) {
        let seats = match self.profiles.get(&id) {
            // Known, so its seats are counted already.
            Some(seats) => *seats,
            None => full_seats(tables, &id),
        };
        if seats > 0 {
            self.report_profile(tables, id, seats);
        }
    }

    fn report_profile(&mut self, tables: &Tables, id: ConnId, seats: u32) {
        let profile = tables.find_conn(id.as_str()).and_then(|conn| tables.profile(conn));
        let item = item(id, profile, &self.config);
        let Item::Profile { info, user, .. } = item else { return };
        if !(info.is_empty() && user.is_empty()) {
            self.profiles.insert(&id, self.hash.profile(&id, info, user), seats);
        // The last part was removed: peers receive the empty profile once, and keep nothing.
        } else if self.profiles.get(&id).is_some() {
            self.profiles.remove(&id);
        } else {
            return;
        }
        self.push_to_all(&item);
    }

    /// Applies the profile of a peer's connection, during the transfer of the members or after it.
    pub(super) fn profile_item(
        &mut self,
        from: NodeId,
        profile: (ConnId, &str, &str),
    ) -> Result<(), ResetCause> {
        let Some(peer) = self.peers.get_mut(&from) else { return Ok(()) };
        let (incoming, key) = (&mut peer.incoming, peer.key);
        let is_transfer = incoming.transfer.is_some();
        let profiles = match &mut incoming.transfer {
            Some(transfer) => &mut transfer.profiles,
            None => &mut incoming.profiles,
        };
        let is_within = profiles.add(&self.hash, &self.config, profile)?;
        let id = profile.0;
        // During a transfer the hub still shows the members of the stream before; `finish`
        // compares.
        if let Some(peer) = key.filter(|_| !is_transfer) {
            let profile = profiles.profile(&id);
            self.effects.push(Effect::GuestProfile { peer, id, profile });
        }
        if !is_within {
            // Not a bad frame: the peer may allow a longer info than this node.
            self.news(News::Refused { why: RefusedCause::TooLarge });
        }
        Ok(())
    }
}

/// Returns the item that reports a profile. A user's name above the limit of names is left out.
fn item<'a>(id: ConnId, profile: Option<&'a Profile>, config: &Config) -> Item<'a> {
    let info = profile.and_then(Profile::info).map_or("", Info::as_str);
    let user = profile.and_then(Profile::quoted_user).unwrap_or_default();
    let user = if user.len() <= config.max_name { user } else { "" };
    Item::Profile { id, info, user }
}

/// Returns the number of a connection's rooms with full presence.
fn full_seats(tables: &Tables, id: &ConnId) -> u32 {
    let rooms = tables.find_conn(id.as_str()).map(|conn| tables.rooms_of(conn));
    let is_full = |room: &crate::RoomKey| tables.presence(*room) == Some(Presence::Full);
    rooms.into_iter().flatten().filter(is_full).count() as u32
}

//! Profile items: reporting this node's profiles to peers, and applying peers' profiles.

use roomer_proto::ConnId;
use roomer_proto::cluster::{Item, NodeId};

use super::Cluster;
use super::effect::{Effect, Event};
use super::profiles::item;
use super::reasons::{RefusedReason, ResetReason};
use crate::config::Presence;
use crate::keys::RoomKey;
use crate::tables::Tables;

impl Cluster {
    /// Counts a connection's join to a room with full presence. Reports its profile at the first
    /// join.
    pub(super) fn report_profile_of(&mut self, tables: &Tables, id: ConnId) {
        match self.profiles.get_mut(&id) {
            Some(seats) => *seats += 1,
            None => self.report_profile(tables, id, 1),
        }
    }

    /// Counts a connection's leave from a room with full presence. Withdraws its profile at the
    /// last leave.
    pub(super) fn release_profile_of(&mut self, id: ConnId) {
        let Some(seats) = self.profiles.get_mut(&id) else { return };
        *seats -= 1;
        if *seats == 0 {
            self.profiles.remove(&id);
            self.push_to_all(&Item::Profile { id, info: "", user: "" });
        }
    }

    /// Reports a changed profile, if the connection is in a room with full presence.
    pub(super) fn profile_changed(&mut self, tables: &Tables, id: ConnId) {
        let seats = match self.profiles.get(&id) {
            // The profile has been reported, so the seats have already been counted.
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
        // The profile has become empty. Peers receive the empty profile once, and then keep none.
        } else if self.profiles.get(&id).is_some() {
            self.profiles.remove(&id);
        } else {
            return;
        }
        self.push_to_all(&item);
    }

    /// Applies the profile of a peer's connection, during or after the transfer of members.
    pub(super) fn profile_item(
        &mut self,
        from: NodeId,
        profile: (ConnId, &str, &str),
    ) -> Result<(), ResetReason> {
        let Some(peer) = self.peers.get_mut(&from) else { return Ok(()) };
        let (incoming, key) = (&mut peer.incoming, peer.key);
        let is_transfer = incoming.transfer.is_some();
        let profiles = match &mut incoming.transfer {
            Some(transfer) => &mut transfer.profiles,
            None => &mut incoming.profiles,
        };
        let is_within = profiles.add(&self.hash, &self.config, profile)?;
        let id = profile.0;
        // During a transfer, the hub still shows the members from the previous stream. `finish`
        // applies the differences.
        if let Some(peer) = key.filter(|_| !is_transfer) {
            let profile = profiles.profile(&id);
            self.effects.push(Effect::GuestProfile { peer, id, profile });
        }
        if !is_within {
            // Do not count this as a bad frame, because the peer may allow longer info than this
            // node.
            self.report(Event::Refused { reason: RefusedReason::TooLarge });
        }
        Ok(())
    }
}

/// Returns the number of rooms with full presence that a connection is in.
fn full_seats(tables: &Tables, id: &ConnId) -> u32 {
    let rooms = tables.find_conn(id.as_str()).map(|conn| tables.rooms_of(conn));
    let is_full = |room: &RoomKey| tables.presence(*room) == Some(Presence::Full);
    rooms.into_iter().flatten().filter(is_full).count() as u32
}

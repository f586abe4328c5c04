//! Reports this node's changes to its peers, and detects congested peers.

use std::time::Duration;

use roomer_proto::cluster::{Item, NodeId, UserCommand};
use roomer_proto::{ConnId, is_built_in};

use super::effect::Change;
use super::outgoing::Sealing;
use super::peer::Peer;
use super::stream::{is_within, max_item_len};
use super::{Cluster, Config, Statistics};
use crate::config::Presence;
use crate::keys::PeerKey;
use crate::room_guests::Peers;
use crate::tables::Tables;

impl Cluster {
    /// Records a change made by a hub input. `tables` are the hub's tables after that input.
    ///
    /// Changes are reported in the order in which they are recorded. This method only copies bytes;
    /// [`publish`](Self::publish) forms the frames. Messages and commands above
    /// [`Config::max_packet`] or [`Config::max_name`], which peers would reject, are dropped and
    /// counted ([`Statistics::unsendable`]).
    pub fn record(&mut self, now: Duration, tables: &Tables, change: Change<'_>) {
        self.now = now;
        if !self.may_send(&change) {
            self.statistics.unsendable += 1;
            return;
        }
        match change {
            Change::Joined { id, room } => self.joined(tables, id, room),
            Change::Left { id, room } => self.left(tables, id, room),
            Change::Profile { id } => self.profile_changed(tables, id),
            Change::Away { id } => {
                let is_away = is_away(tables, &id);
                self.push_to_all(&Item::Away { id, is_away });
            }
            Change::Broadcast { peers, except, packet } => {
                for peer in peers.iter() {
                    self.push(peer, &Item::Broadcast { except, packet });
                }
            }
            Change::Direct { peer, packet } => self.push(peer, &Item::Direct { packet }),
            Change::Command { peer, id, command } => {
                self.push(peer, &Item::Command { id, command });
            }
            Change::Elsewhere { peer, id, proof } => {
                self.push(peer, &Item::Elsewhere { id, proof: proof.0 });
            }
            Change::Tunnel { to, item } => {
                self.peers.entry(to).and_modify(|peer| peer.has_tunnels = true);
                self.push_to(to, &Item::Tunnel(item));
            }
            // No table maps a user to nodes, so each peer must look up the user itself.
            Change::User { user, command } => self.push_to_all(&Item::User { user, command }),
        }
    }

    /// Returns true if the sender of a message to these peers should pause, because one of them has
    /// fallen behind by half of [`Config::backlog_bytes`].
    pub fn is_congested(&mut self, peers: Peers<'_>) -> bool {
        let (now, window) = (self.now, self.config.backlog_bytes / 2);
        let nodes = peers.iter().filter_map(|peer| self.keys.get(peer.index()).copied().flatten());
        // Do not stop at the first congested peer: each peer must record when its congestion began.
        nodes.fold(false, |is_congested, node| {
            let peer = self.peers.get_mut(&node);
            peer.is_some_and(|peer| peer.is_congested(now, window)) || is_congested
        })
    }

    /// Returns true if any peer is congested; see [`is_congested`](Self::is_congested).
    pub fn is_any_congested(&mut self) -> bool {
        let (now, window) = (self.now, self.config.backlog_bytes / 2);
        let mut peers = self.peers.values_mut();
        peers.any(|peer| peer.is_congested(now, window))
    }

    /// Returns false if a message or command exceeds the limits of peers. Clients cannot cause
    /// this, but the application can.
    fn may_send(&self, change: &Change<'_>) -> bool {
        let item = match *change {
            // The hub has already validated the names.
            Change::Joined { .. }
            | Change::Left { .. }
            | Change::Profile { .. }
            | Change::Away { .. }
            | Change::Elsewhere { .. }
            // The driver observes the limits of tunnels.
            | Change::Tunnel { .. } => return true,
            Change::Broadcast { except, packet, .. } => Item::Broadcast { except, packet },
            Change::Direct { packet, .. } => Item::Direct { packet },
            Change::Command { id, command, .. } => Item::Command { id, command },
            Change::User { user, command } => Item::User { user, command },
        };
        // A packet within its own limit always fits into an item, but a command's reason has no
        // limit of its own.
        let fits = || item.encoded_len() <= max_item_len(&self.config);
        if let Change::User { command: UserCommand::Send { packet }, .. } = change
            && is_built_in(packet.event)
        {
            return false;
        }
        let has_reason = matches!(item, Item::Command { .. } | Item::User { .. });
        is_within(&item, &self.config) && (!has_reason || fits())
    }

    fn joined(&mut self, tables: &Tables, id: ConnId, room: &str) {
        let key = tables.find_room(room);
        if key.and_then(|key| tables.presence(key)) == Some(Presence::Full) {
            // Use a wrapping sum so that the order of joins and leaves does not matter.
            self.digest = self.digest.wrapping_add(self.hash.seat(room, &id));
            self.report_profile_of(tables, id);
            self.push_to_all(&Item::Joined { id, room });
            if is_away(tables, &id) {
                // Peers may not know this connection yet.
                self.push_to_all(&Item::Away { id, is_away: true });
            }
        } else if self.counted.insert(room.into()) {
            // Report the first member immediately so that messages for that member do not wait for
            // a tick.
            self.report_count(tables, room);
        } else {
            // Report the new count at the next tick so that a large room does not cause a report
            // for each join.
            self.recount.insert(room.into());
        }
    }

    fn left(&mut self, tables: &Tables, id: ConnId, room: &str) {
        // Check how the room was reported, because the last leave removes it from the tables.
        if !self.counted.contains(room) {
            self.digest = self.digest.wrapping_sub(self.hash.seat(room, &id));
            self.push_to_all(&Item::Left { id, room });
            self.release_profile_of(id);
        // Report the count immediately so that peers stop sending messages for the room to this
        // node.
        } else if count(tables, room) == 0 {
            self.counted.remove(room);
            self.report_count(tables, room);
        } else {
            self.recount.insert(room.into());
        }
    }

    fn report_count(&mut self, tables: &Tables, room: &str) {
        // The count is reported here, so the next tick need not repeat it.
        self.recount.remove(room);
        self.push_to_all(&Item::Count { members: count(tables, room), room });
    }

    /// Reports the member counts that have changed.
    pub(super) fn report_counts(&mut self, tables: &Tables) {
        for room in std::mem::take(&mut self.recount) {
            self.push_to_all(&Item::Count { members: count(tables, &room), room: &room });
        }
    }

    /// Appends an item to every stream.
    pub(super) fn push_to_all(&mut self, item: &Item<'_>) {
        let sealing = self.sealing();
        for peer in self.peers.values_mut() {
            push(&self.config, &mut self.statistics, peer, item, &sealing);
        }
        self.is_dirty = true;
    }

    /// Appends an item to the stream to a node.
    pub(super) fn push_to(&mut self, node: NodeId, item: &Item<'_>) {
        let sealing = self.sealing();
        if let Some(peer) = self.peers.get_mut(&node) {
            push(&self.config, &mut self.statistics, peer, item, &sealing);
            self.is_dirty = true;
        }
    }

    /// Appends an item to the stream to a peer.
    fn push(&mut self, peer: PeerKey, item: &Item<'_>) {
        if let Some(node) = self.peer_node(peer) {
            self.push_to(node, item);
        }
    }
}

/// Appends an item to the stream to a peer, if the peer has requested one.
fn push(
    config: &Config,
    statistics: &mut Statistics,
    peer: &mut Peer,
    item: &Item<'_>,
    sealing: &Sealing,
) {
    // Without a stream, nothing needs to be sent: the peer's next stream starts with the current
    // members, and counts all earlier messages as missed.
    let Some(outgoing) = &mut peer.outgoing else { return };
    outgoing.push(item, sealing);
    if !outgoing.trim(sealing.now, config) {
        // The next heartbeat shows the peer that the stream has ended. The peer then requests a new
        // one.
        peer.outgoing = None;
        statistics.overflows += 1;
    }
}

fn is_away(tables: &Tables, id: &ConnId) -> bool {
    // If no room announces away members, do not search the table of ids at each join.
    !tables.away_rooms.is_empty()
        && tables.find_conn(id.as_str()).is_some_and(|conn| tables.is_away(conn))
}

/// Returns the number of a room's members on this node.
fn count(tables: &Tables, room: &str) -> u32 {
    let members = tables.find_room(room).map_or(0, |room| tables.members(room).len());
    u32::try_from(members).unwrap_or(u32::MAX)
}

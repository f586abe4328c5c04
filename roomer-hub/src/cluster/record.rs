//! Changes of this node, for its peers.

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
use crate::peers::Peers;
use crate::tables::Tables;

impl Cluster {
    /// Records a change that an input of the hub has made. `tables` are the hub's after that input.
    ///
    /// Changes are reported in the order in which they are recorded. It only copies bytes; the frames
    /// are made by [`publish`](Self::publish). Messages and commands above
    /// [`Config::max_packet`] or [`Config::max_name`], which peers would refuse, are dropped and counted
    /// ([`Statistics::unsendable`]).
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
            // No table lists the nodes of a user, so each peer looks the user up itself.
            Change::User { user, command } => self.push_to_all(&Item::User { user, command }),
        }
    }

    /// Returns true if the sender of a message to these peers should wait: one of them has not applied
    /// half of what may wait for it ([`Config::backlog_bytes`]).
    pub fn is_congested(&mut self, peers: Peers<'_>) -> bool {
        let (now, window) = (self.now, self.config.backlog_bytes / 2);
        let nodes = peers.iter().filter_map(|peer| self.keys.get(peer.index()).copied().flatten());
        // All peers are asked, even after a congested one: each records when its congestion began.
        nodes.fold(false, |is_congested, node| {
            let peer = self.peers.get_mut(&node);
            peer.is_some_and(|peer| peer.is_congested(now, window)) || is_congested
        })
    }

    /// Returns true if [`is_congested`](Self::is_congested) is true for any peer.
    pub fn is_any_congested(&mut self) -> bool {
        let (now, window) = (self.now, self.config.backlog_bytes / 2);
        let mut peers = self.peers.values_mut();
        peers.any(|peer| peer.is_congested(now, window))
    }

    /// Returns false if a message or a command exceeds what peers accept. What clients cause does not,
    /// but an application may send anything.
    fn may_send(&self, change: &Change<'_>) -> bool {
        let item = match *change {
            // The hub has checked the names.
            Change::Joined { .. }
            | Change::Left { .. }
            | Change::Profile { .. }
            | Change::Elsewhere { .. } => return true,
            Change::Broadcast { except, packet, .. } => Item::Broadcast { except, packet },
            Change::Direct { packet, .. } => Item::Direct { packet },
            Change::Command { id, command, .. } => Item::Command { id, command },
            Change::User { user, command } => Item::User { user, command },
        };
        // A packet within its limit fits into an item; the reason of a command has no limit of its own.
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
            // A wrapping sum: joins and leaves in any order give the same digest.
            self.digest = self.digest.wrapping_add(self.hash.seat(room, &id));
            self.report_profile_of(tables, id);
            self.push_to_all(&Item::Joined { id, room });
        } else if self.counted.insert(room.into()) {
            // The first member at once, so that messages for it do not wait for a tick.
            self.report_count(tables, room);
        } else {
            // With the next tick, so that a room of thousands does not cause a report for each
            // join.
            self.recount.insert(room.into());
        }
    }

    fn left(&mut self, tables: &Tables, id: ConnId, room: &str) {
        // Decided by what was reported of the room, since the last leave has removed it from the
        // tables.
        if !self.counted.contains(room) {
            self.digest = self.digest.wrapping_sub(self.hash.seat(room, &id));
            self.push_to_all(&Item::Left { id, room });
            self.release_profile_of(id);
        // At once, so that peers stop sending messages for the room here.
        } else if count(tables, room) == 0 {
            self.counted.remove(room);
            self.report_count(tables, room);
        } else {
            self.recount.insert(room.into());
        }
    }

    fn report_count(&mut self, tables: &Tables, room: &str) {
        // Reported here, so the tick need not repeat it.
        self.recount.remove(room);
        self.push_to_all(&Item::Count { members: count(tables, room), room });
    }

    /// Reports the numbers that have changed.
    pub(super) fn report_counts(&mut self, tables: &Tables) {
        for room in std::mem::take(&mut self.recount) {
            self.push_to_all(&Item::Count { members: count(tables, &room), room: &room });
        }
    }

    /// Adds an item to every stream.
    pub(super) fn push_to_all(&mut self, item: &Item<'_>) {
        let sealing = self.sealing();
        for peer in self.peers.values_mut() {
            push(&self.config, &mut self.statistics, peer, item, &sealing);
        }
        self.is_dirty = true;
    }

    /// Adds an item to the stream to a node.
    pub(super) fn push_to(&mut self, node: NodeId, item: &Item<'_>) {
        let sealing = self.sealing();
        if let Some(peer) = self.peers.get_mut(&node) {
            push(&self.config, &mut self.statistics, peer, item, &sealing);
            self.is_dirty = true;
        }
    }

    /// Adds an item to the stream to a peer.
    fn push(&mut self, peer: PeerKey, item: &Item<'_>) {
        if let Some(node) = self.peer_node(peer) {
            self.push_to(node, item);
        }
    }
}

/// Adds an item to the stream to a peer, if the peer has requested one.
fn push(
    config: &Config,
    statistics: &mut Statistics,
    peer: &mut Peer,
    item: &Item<'_>,
    sealing: &Sealing,
) {
    // The stream that the peer will request begins with the members as they are then, and counts
    // all messages before it as missed.
    let Some(outgoing) = &mut peer.outgoing else { return };
    outgoing.push(item, sealing);
    if !outgoing.trim(sealing.now, config) {
        // The peer learns from the next beat that the stream is gone, and requests a new one.
        peer.outgoing = None;
        statistics.overflows += 1;
    }
}

/// Returns the number of this node's members of a room.
fn count(tables: &Tables, room: &str) -> u32 {
    let members = tables.find_room(room).map_or(0, |room| tables.members(room).len());
    u32::try_from(members).unwrap_or(u32::MAX)
}

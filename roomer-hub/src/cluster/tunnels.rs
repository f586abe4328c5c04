//! Tunnels with peers: the peers that accept tunnels, limits on tunnel bytes, and lost tunnels.
//!
//! A tunnel's items are part of the stream to a peer. They arrive once and in order, or the stream
//! restarts. The bytes of tunnels share the stream with everything else, and must not make it
//! overflow.

use roomer_proto::cluster::{NodeId, TunnelItem};

use super::Cluster;
use super::effect::Effect;
use super::outgoing::Outgoing;
use crate::keys::PeerKey;

/// The tunnels to a peer may use [`Config::backlog_bytes`](super::Config::backlog_bytes) divided by
/// this number. Senders pause at half of the backlog, so tunnels alone do not make them pause, and
/// tunnels and other frames together leave a quarter of the backlog free.
const SHARE: usize = 4;

impl Cluster {
    /// Sets whether this node accepts tunnels, which its heartbeats report. Initially, it does not.
    pub fn accept_tunnels(&mut self, accepts: bool) {
        if self.accepts_tunnels != accepts {
            self.accepts_tunnels = accepts;
            // Report the change immediately: a node that no longer accepts tunnels must refuse each
            // one.
            self.beat_at = self.now;
        }
    }

    /// Returns the node of a peer if the peer accepts tunnels, both streams are complete, and the
    /// stream to the peer is not nearly full. A request to open a tunnel may exceed
    /// [`tunnel_room`](Self::tunnel_room): bytes of other tunnels must not prevent it.
    #[must_use]
    pub fn tunnel_to(&self, peer: PeerKey) -> Option<NodeId> {
        let node = self.peer_node(peer)?;
        let peer = self.peers.get(&node)?;
        let is_open = peer.accepts_tunnels && peer.incoming.is_live();
        let outgoing = peer.outgoing.as_ref().filter(|_| is_open)?;
        (self.room_below_limit(outgoing) > 0).then_some(node)
    }

    /// Returns the number of tunnel bytes that may be recorded for a peer without its stream
    /// overflowing. `None` if there is no stream to the peer; its tunnels are then lost.
    #[must_use]
    pub fn tunnel_room(&self, node: NodeId) -> Option<usize> {
        let outgoing = self.peers.get(&node)?.outgoing.as_ref()?;
        let share = self.config.backlog_bytes / SHARE;
        let own = share.saturating_sub(outgoing.unapplied_tunnels());
        Some(own.min(self.room_below_limit(outgoing)))
    }

    /// Returns the number of bytes that may be added to a stream before it is nearly full.
    fn room_below_limit(&self, outgoing: &Outgoing) -> usize {
        let share = self.config.backlog_bytes / SHARE;
        self.config.backlog_bytes.saturating_sub(share).saturating_sub(outgoing.unapplied())
    }

    pub(super) fn report_tunnels(&mut self, from: NodeId, accepts: bool) {
        self.peers.entry(from).and_modify(|peer| peer.accepts_tunnels = accepts);
    }

    pub(super) fn tunnel_item(&mut self, from: NodeId, item: &TunnelItem<'_>) {
        self.peers.entry(from).and_modify(|peer| peer.has_tunnels = true);
        let mut encoded = Vec::new();
        item.encode(&mut encoded);
        self.effects.push(Effect::Tunnel { from, item: encoded.into() });
    }

    /// Reports that tunnel items between this node and a peer may be missing, in either direction.
    pub(super) fn lose_tunnels(&mut self, node: NodeId) {
        let peer = self.peers.get_mut(&node);
        if peer.is_some_and(|peer| std::mem::take(&mut peer.has_tunnels)) {
            self.effects.push(Effect::TunnelsLost { peer: node });
        }
    }
}

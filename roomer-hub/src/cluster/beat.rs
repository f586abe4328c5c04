//! Sending and handling heartbeats, each node's periodic reports to all others.

use std::time::Duration;

use roomer_proto::cluster::{
    Beat, Item, NodeId, StreamEnd, StreamEnds, StreamPosition, Subject, VERSION,
};

use super::Cluster;
use super::effect::Event;
use super::peer::{Liveness, Peer};
use super::reasons::{RefusedReason, ResetReason};

/// The uptime below which a new node with the name of another one is assumed to replace it.
const RECENT_START: Duration = Duration::from_secs(60);

impl Cluster {
    pub(super) fn send_beat_if_due(&mut self) {
        if self.is_up && self.beat_at <= self.now {
            // Count the interval from now so that a node resuming from suspension does not send all
            // the heartbeats that it missed.
            self.beat_at = self.now + self.config.beat;
            self.send_beat();
        }
    }

    fn send_beat(&mut self) {
        let sealing = self.sealing();
        let mut ends = Vec::with_capacity(self.peers.len());
        for (node, peer) in &mut self.peers {
            // The digest covers all recorded changes, so their last frame is reported.
            let outgoing = peer.outgoing.as_mut();
            let outgoing = outgoing.map(|outgoing| (outgoing.stream, outgoing.report(&sealing)));
            let (stream, last) = outgoing.unwrap_or_default();
            ends.push(StreamEnd { to: *node, stream, last, applied: peer.incoming.applied() });
        }
        // Take the name out of the config so that the heartbeat can borrow it while the frame is
        // queued.
        let name = std::mem::take(&mut self.config.node);
        let beat = Beat {
            oldest_version: VERSION,
            newest_version: VERSION,
            name: &name,
            uptime_ms: self.uptime_ms(),
            connections: self.connections,
            rooms: self.rooms,
            settings: self.config.settings,
            digest: self.digest,
            streams: StreamEnds::new(&ends),
        };
        let profiles = Item::Profiles { digest: self.profiles.digest() };
        match self.accepts_tunnels {
            true => self.control(Subject::All, &[profiles, Item::Tunnels, Item::Beat(beat)]),
            false => self.control(Subject::All, &[profiles, Item::Beat(beat)]),
        }
        self.config.node = name;
    }

    /// Handles a heartbeat from a peer. `profiles` is the digest of the peer's profiles, if the
    /// heartbeat includes one.
    pub(super) fn beat(&mut self, from: NodeId, beat: &Beat<'_>, profiles: Option<u64>) {
        if !self.peers.contains_key(&from) {
            // Limit the number of peers, because each of them allocates tables: a faulty program
            // could invent any number of node ids.
            if self.peers.len() >= self.config.max_peers {
                return self.report(Event::Refused { reason: RefusedReason::TooManyPeers });
            }
            self.new_peer(from);
        }
        // The peer may be known from an earlier request, but only a heartbeat contains its name.
        if self.peers.get(&from).is_some_and(|peer| peer.name.is_empty()) {
            self.replaced_by(from, beat);
        }
        let (now, me, settings) = (self.now, self.me, self.config.settings);
        let Some(peer) = self.peers.get_mut(&from) else { return };
        peer.record_beat(now, beat);
        self.announce(from);
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let is_common = beat.oldest_version <= VERSION && VERSION <= beat.newest_version;
        if !is_common {
            let version = beat.newest_version;
            return self.foreign(from, version);
        }
        // The peer is still on probation: its frames are ignored, and nothing is requested from it.
        if !peer.is_alive() && !peer.try_readmit(now) {
            return;
        }
        if peer.incoming.is_idle() {
            // The peer is new, or was dead before.
            return self.request_stream(from);
        }
        let has_news = beat.settings != settings && !peer.has_other_settings;
        peer.has_other_settings = beat.settings != settings;
        let end = beat.streams.iter().find(|end| end.to == me);
        let end = end.unwrap_or(StreamEnd {
            to: me,
            stream: 0,
            last: 0,
            applied: StreamPosition::default(),
        });
        // A heartbeat also acknowledges frames, which frees the journal even if an `Applied` was
        // lost.
        let is_in_order = peer.incoming.reported(end.stream, end.last) == Some(true);
        self.applied(from, end.applied, is_in_order);
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let is_outdated = peer.incoming.is_waiting() || beat.uptime_ms <= peer.incoming.began_ms;
        let reset = if is_outdated {
            None // The peer sent the heartbeat before it received the request.
        } else {
            match peer.incoming.reported(end.stream, end.last) {
                None => Some(ResetReason::Stream),
                // The digests describe the same state only if exactly the reported frames have
                // been applied.
                Some(true) if peer.incoming.is_live() && peer.incoming.differs(beat, profiles) => {
                    Some(ResetReason::Divergence)
                }
                Some(_) => None,
            }
        };
        if has_news {
            self.report(Event::Settings { node: from, name: beat.name.into() });
        }
        match reset {
            Some(reason) => self.reset(from, reason),
            // The heartbeat may have revealed missing frames.
            None => self.repair(from),
        }
    }

    /// Returns this node's uptime in milliseconds.
    pub(super) fn uptime_ms(&self) -> u64 {
        self.now.saturating_sub(self.started_at).as_millis() as u64
    }

    fn new_peer(&mut self, node: NodeId) {
        self.peers.insert(node, Peer::new(self.now, self.config.dead_after));
    }

    /// Returns a live peer that has requested this node's stream. Creates the peer if
    /// necessary, since the request may arrive before the first heartbeat.
    pub(super) fn peer_for_want(&mut self, from: NodeId) -> Option<&mut Peer> {
        if !self.peers.contains_key(&from) && self.peers.len() < self.config.max_peers {
            self.new_peer(from);
            // A peer that requests a stream is alive, so this node can request its stream
            // without waiting for a heartbeat.
            self.request_stream(from);
        }
        self.peers.get_mut(&from).filter(|peer| peer.is_alive())
    }

    /// Shortens the timeout of older nodes with the same name, which a recently started node has
    /// most likely replaced.
    fn replaced_by(&mut self, new: NodeId, beat: &Beat<'_>) {
        // Two nodes may share a name by mistake. Only a recently started node is likely to be a
        // replacement.
        if Duration::from_millis(beat.uptime_ms) > RECENT_START || beat.name.is_empty() {
            return;
        }
        let others = self.peers.iter_mut().filter(|(node, _)| **node != new);
        others
            .filter(|(_, peer)| *peer.name == *beat.name)
            .for_each(|(_, peer)| peer.is_replaced());
    }

    /// Records that a peer and this node have no frame version in common.
    pub(super) fn foreign(&mut self, node: NodeId, version: u8) {
        if node == self.me {
            return; // A damaged echo from the broker.
        }
        let has_room = self.peers.len() < self.config.max_peers;
        if !self.peers.contains_key(&node) && has_room {
            self.new_peer(node);
        }
        let Some(peer) = self.peers.get_mut(&node) else { return };
        peer.version = version;
        peer.silence = Duration::ZERO;
        // A peer whose members are visible uses this node's version, so the frame is damaged or
        // forged.
        if peer.liveness != Liveness::Foreign && peer.key.is_none() {
            peer.liveness = Liveness::Foreign;
            peer.outgoing = None;
            // If a later heartbeat has a version that both nodes support, the stream starts over.
            peer.incoming.reset();
            self.report(Event::Foreign { node, version });
        }
    }
}

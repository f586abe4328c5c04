//! Handling frames from the broker: requests, acknowledgements, stream frames, and resets.

use std::time::Duration;

use bytes::Bytes;
use roomer_proto::cluster::{
    FrameError, FrameKind, Head, Item, Items, NodeId, StreamPosition, Subject,
};

use super::Cluster;
use super::effect::Event;
use super::incoming::{NextRequest, Received};
use super::outgoing::Outgoing;
use super::reasons::{GoneReason, RefusedReason, ResetReason};
use super::transfer::send_members;
use crate::tables::Tables;

impl Cluster {
    pub(super) fn frame(&mut self, tables: &Tables, frame: Bytes) {
        let (head, body) = match Head::decode(&frame) {
            Ok(decoded) => decoded,
            Err(FrameError::Version { version, cluster, from }) if cluster == self.hash.cluster => {
                return self.foreign(from, version);
            }
            Err(FrameError::Version { .. }) => {
                return self.report(Event::Refused { reason: RefusedReason::OtherCluster });
            }
            Err(error) => {
                return self.report(Event::Refused { reason: RefusedReason::Malformed(error) });
            }
        };
        // Check the cluster before recording anything about the sender, because two clusters may
        // share a broker and a prefix.
        if head.cluster != self.hash.cluster {
            return self.report(Event::Refused { reason: RefusedReason::OtherCluster });
        }
        if head.from == self.me {
            return; // An echo from the broker.
        }
        if self.ended.contains_key(&head.from) {
            return; // The node has stopped, and will not return under this id.
        }
        self.statistics.frames_in += 1;
        self.statistics.bytes_in += frame.len() as u64;
        if let Some(peer) = self.peers.get_mut(&head.from) {
            // Any frame shows that the peer is alive, even a frame that is rejected below.
            peer.silence = Duration::ZERO;
            peer.incoming.resume(self.now);
        }
        match head.kind {
            FrameKind::Control => {
                let (mut profiles, mut tunnels) = (None, false);
                for item in Items::new(body) {
                    match item {
                        // The digest belongs to the heartbeat that follows in the same frame.
                        Ok(Item::Profiles { digest }) => profiles = Some(digest),
                        Ok(Item::Tunnels) => tunnels = true,
                        Ok(Item::Beat(beat)) => {
                            self.beat(head.from, &beat, profiles.take());
                            self.report_tunnels(head.from, std::mem::take(&mut tunnels));
                        }
                        Ok(item) => self.request(tables, head.from, &item),
                        Err(error) => {
                            self.bad_frame(head.from, RefusedReason::Malformed(error));
                            break;
                        }
                    }
                }
            }
            FrameKind::Stream { stream, number, .. } => {
                self.stream_frame(tables, head.from, (stream, number), frame);
            }
        }
        // One bad frame is only dropped, but a peer that sends many is itself dropped.
        let (from, now) = (head.from, self.now);
        let peer = self.peers.get_mut(&from).filter(|peer| peer.is_alive());
        if peer.is_some_and(|peer| peer.is_banned(now)) {
            self.drop_peer(from, GoneReason::BadFrames);
        }
    }

    /// Records and reports a bad frame from a peer, or a bad item in one.
    pub(super) fn bad_frame(&mut self, from: NodeId, reason: RefusedReason) {
        let now = self.now;
        self.peers.entry(from).and_modify(|peer| peer.record_bad(now));
        self.report(Event::Refused { reason });
    }

    fn request(&mut self, tables: &Tables, from: NodeId, item: &Item<'_>) {
        match *item {
            Item::RequestStream { stream, after } => self.start_stream(tables, from, stream, after),
            Item::Resend(demand) => {
                let outgoing = self.peers.get_mut(&from).and_then(|peer| peer.outgoing.as_mut());
                let outgoing = outgoing.filter(|outgoing| outgoing.stream == demand.stream);
                match outgoing.map(|outgoing| outgoing.resend(demand)) {
                    Some(true) => self.is_dirty = true,
                    Some(false) | None => {
                        // The frames are no longer in the journal, or they belong to an earlier
                        // stream. The peer will request a new stream.
                        let (stream, number) = (demand.stream, demand.first);
                        let missing = Item::Missing { stream, number };
                        self.control(Subject::Node(from), &[missing]);
                    }
                }
            }
            Item::Missing { stream, number } => {
                let applied = self.peers.get(&from).map(|peer| peer.incoming.applied());
                // The missing frame may have arrived after the request was sent.
                let is_missing =
                    |applied: StreamPosition| applied.stream == stream && applied.number < number;
                if stream != 0 && applied.is_some_and(is_missing) {
                    self.reset(from, ResetReason::Missing);
                }
            }
            Item::Applied(applied) => self.applied(from, applied, true),
            _ => {}
        }
    }

    /// Handles an acknowledgement from a peer. `is_in_order` is true if the acknowledgement has not
    /// overtaken the peer's stream frames.
    pub(super) fn applied(&mut self, from: NodeId, applied: StreamPosition, is_in_order: bool) {
        let outgoing = self.peers.get_mut(&from).and_then(|peer| peer.outgoing.as_mut());
        let Some(outgoing) = outgoing else { return };
        let was_confirmed = outgoing.is_confirmed();
        outgoing.applied(applied);
        if is_in_order {
            outgoing.confirm();
        }
        // More frames can be published.
        self.is_dirty |= outgoing.waits_for_peer();
        if !was_confirmed && outgoing.is_confirmed() {
            self.orders.wake();
        }
    }

    /// Starts the stream that a peer has requested, with the members of this node's rooms.
    fn start_stream(&mut self, tables: &Tables, from: NodeId, stream: u32, after: StreamPosition) {
        let (sealing, uptime_ms) = (self.sealing(), self.uptime_ms());
        let Some(peer) = self.peer_for_want(from) else { return };
        // The request was delayed, or it repeats one whose stream has since been dropped. The peer
        // would mistake new frames for a continuation of that stream.
        if stream <= peer.started {
            return;
        }
        peer.started = stream;
        // The peer may have missed tunnel items of the previous stream.
        self.lose_tunnels(from);
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let before = peer.outgoing.take();
        // The previous stream determines which messages the peer has missed. Without one, any
        // message may be missing.
        let missed = before.and_then(|before| before.origins_after(after));
        let mut outgoing = Outgoing::new(stream, after, missed);
        outgoing.begin(uptime_ms, &sealing);
        self.profiles.send(tables, &self.config, &mut outgoing, &sealing);
        send_members(tables, &mut outgoing, &sealing, &self.orders);
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.outgoing = Some(outgoing);
        }
        self.is_dirty = true;
    }

    fn stream_frame(&mut self, tables: &Tables, from: NodeId, position: (u32, u64), frame: Bytes) {
        let (now, max_held) = (self.now, self.config.held_bytes);
        let Some(peer) = self.peers.get_mut(&from).filter(|peer| peer.is_alive()) else { return };
        match peer.incoming.receive(now, position, &frame, max_held) {
            Received::Stale => {}
            Received::Early => self.repair(from),
            Received::Next => self.apply_from(tables, from, frame),
        }
    }

    /// Applies a frame, and the held frames that follow it directly.
    fn apply_from(&mut self, tables: &Tables, from: NodeId, frame: Bytes) {
        let now = self.now;
        let mut next = Some(frame);
        while let Some(frame) = next {
            if let Err(reason) = self.apply(tables, from, &frame) {
                // Only malformed frames count as bad frames: other errors may result from lost
                // frames.
                let peer = self.peers.get_mut(&from).filter(|_| reason == ResetReason::Malformed);
                peer.into_iter().for_each(|peer| peer.record_bad(now));
                return self.reset(from, reason);
            }
            let Some(peer) = self.peers.get_mut(&from) else { return };
            next = peer.incoming.advance(now, frame.len());
        }
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let report = peer.incoming.report();
        if let Some(after) = peer.incoming.close_gap(now) {
            self.report(Event::Repaired { node: from, after });
        }
        if let Some(applied) = report {
            self.control(Subject::Node(from), &[Item::Applied(applied)]);
        }
        self.repair(from);
    }

    /// Sends a peer the request that is due, if there is one.
    pub(super) fn repair(&mut self, from: NodeId) {
        let (now, wait) = (self.now, self.config.repair_timeout);
        let Some(peer) = self.peers.get_mut(&from).filter(|peer| peer.is_alive()) else { return };
        match peer.incoming.due(now, wait) {
            NextRequest::Nothing => {}
            NextRequest::RequestStream => self.request_stream(from),
            NextRequest::Resend(demand) => {
                self.statistics.demands += 1;
                self.control(Subject::Node(from), &[Item::Resend(demand)]);
            }
            NextRequest::GiveUp => self.reset(from, ResetReason::Gap),
        }
    }

    /// Requests a new stream from a peer, because frames in the current one are lost.
    pub(super) fn reset(&mut self, node: NodeId, reason: ResetReason) {
        self.report(Event::Reset { node, reason });
        self.request_stream(node);
    }

    pub(super) fn request_stream(&mut self, node: NodeId) {
        let now = self.now;
        // The lost frames may have contained places for messages that were submitted to this peer.
        self.order_stream_lost(node);
        self.lose_tunnels(node);
        let Some(peer) = self.peers.get_mut(&node) else { return };
        self.streams += 1;
        let stream = self.streams;
        let after = peer.incoming.request_stream(now, stream);
        self.control(Subject::Node(node), &[Item::RequestStream { stream, after }]);
    }

    /// Declares a peer dead and removes its members.
    pub(super) fn drop_peer(&mut self, node: NodeId, reason: GoneReason) {
        let now = self.now;
        self.lose_tunnels(node);
        let Some(peer) = self.peers.get_mut(&node) else { return };
        peer.declare_dead(now);
        let (key, name) = (peer.key.take(), peer.name.clone());
        // A stopped node returns under a new id, but a silent one may return under the same id.
        if reason == GoneReason::Bye {
            self.peers.remove(&node);
            self.ended.insert(node, now);
        }
        if let Some(peer) = key {
            // The key can be reused immediately, since the hub receives `PeerGone` before any later
            // input that uses the key.
            self.keys[peer.index()] = None;
            self.effects.push(super::Effect::PeerGone { peer });
        }
        self.order_peer_gone(node, reason);
        self.report(Event::PeerGone { node, name, reason });
    }
}

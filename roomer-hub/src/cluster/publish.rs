//! Publishing queued frames to the broker, and queueing control frames.

use std::time::Duration;

use bytes::Bytes;
use roomer_proto::cluster::{FrameKind, HEAD_MAX, Head, Item, NodeId, Subject};

use super::Cluster;
use super::outgoing::Sealing;

impl Cluster {
    /// Publishes frames until `send` returns false. The frame that it rejected stays queued.
    ///
    /// Call this when the broker accepts frames again, and when
    /// [`wants_to_publish`](Self::wants_to_publish) becomes true. A later call combines more
    /// messages into one frame.
    pub fn publish(&mut self, now: Duration, mut send: impl FnMut(Subject, &Bytes) -> bool) {
        self.now = now;
        if !self.is_up {
            // Heartbeats and requests would be outdated by the time the link is up again.
            self.control.clear();
            return;
        }
        let mut send = |subject, frame: &Bytes| {
            let is_sent = send(subject, frame);
            if is_sent {
                self.statistics.frames_out += 1;
                self.statistics.bytes_out += frame.len() as u64;
            }
            is_sent
        };
        // Publish control frames before the streams: a late heartbeat looks like a dead node, and a
        // late request prolongs a gap.
        while let Some((subject, frame)) = self.control.front() {
            if !send(*subject, frame) {
                return;
            }
            self.control.pop_front();
        }
        let sealing =
            Sealing { now, cluster: self.hash.cluster, me: self.me, max_payload: self.max_payload };
        // Publish one frame per stream in turn so that a long stream does not delay the others.
        loop {
            let mut has_sent = false;
            let turn = self.turn;
            // Copy the ids, because the loop modifies the peers.
            let (first, others): (Vec<NodeId>, Vec<NodeId>) =
                self.peers.keys().partition(|node| **node >= turn);
            for node in first.into_iter().chain(others) {
                let Some(peer) = self.peers.get_mut(&node) else { continue };
                let Some(outgoing) = &mut peer.outgoing else { continue };
                let Some(frame) = outgoing.next_frame(&sealing) else { continue };
                if frame.len() > self.max_payload {
                    // The frame was sealed for a broker with a larger limit. The next heartbeat
                    // shows the peer that the stream has ended.
                    self.statistics.overflows += 1;
                    peer.outgoing = None;
                    continue;
                }
                if !send(Subject::Node(node), &frame) {
                    // The next call continues with this peer.
                    self.turn = node;
                    return;
                }
                outgoing.frame_published(now, frame.len());
                has_sent = true;
            }
            if !has_sent {
                break;
            }
        }
        // The last round had no frame to publish.
        self.is_dirty = false;
    }

    /// Returns true if there are frames to [`publish`](Self::publish).
    #[must_use]
    pub fn wants_to_publish(&self) -> bool {
        self.is_dirty && self.is_up
    }

    /// Returns the current parameters for sealing frames.
    pub(super) fn sealing(&self) -> Sealing {
        let Cluster { now, me, max_payload, .. } = *self;
        Sealing { now, cluster: self.hash.cluster, me, max_payload }
    }

    /// Queues a control frame, which has no number.
    pub(super) fn control(&mut self, to: Subject, items: &[Item<'_>]) {
        if !self.is_up {
            return;
        }
        let len: usize = items.iter().map(Item::encoded_len).sum();
        let mut frame = Vec::with_capacity(HEAD_MAX + len);
        Head { cluster: self.hash.cluster, from: self.me, kind: FrameKind::Control }
            .encode(&mut frame);
        items.iter().for_each(|item| item.encode(&mut frame));
        self.control.push_back((to, frame.into()));
        self.is_dirty = true;
    }

    /// Queues [`Item::Bye`] for all peers, after everything else. The driver publishes the queued
    /// frames; the state machine ignores all further inputs.
    pub(super) fn stop(&mut self) {
        self.push_to_all(&Item::Bye);
        self.is_stopped = true;
    }
}

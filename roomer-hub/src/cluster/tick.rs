//! Periodic work: repeated requests, peer timeouts, counts and heartbeats.

use std::time::Duration;

use roomer_proto::cluster::NodeId;

use super::peer::Peer;
use super::{Cluster, Config};
use crate::tables::Tables;

/// The interval between ticks.
const TICK: Duration = Duration::from_millis(250);

/// The maximum time that one tick adds to a peer's silence, so that a node does not declare its
/// peers dead after it was itself suspended.
const MAX_SILENCE: Duration = TICK.saturating_mul(2);

/// The time for which frames from a stopped node may still be in flight.
const ENDED_MEMORY: Duration = Duration::from_secs(60);

impl Cluster {
    /// Returns the time at which the next [`Input::Tick`](super::Input::Tick) is due. The
    /// driver must pass pending frames to the state machine first.
    #[must_use]
    pub fn wake_at(&self) -> Duration {
        let wait = self.config.repair_timeout;
        let peers = self.peers.values().filter(|peer| peer.is_alive());
        let due = peers.filter_map(|peer| peer.incoming.due_at(wait)).min();
        let tick = self.ticked_at + TICK;
        let beat = if self.is_up { self.beat_at } else { tick };
        due.unwrap_or(tick).min(tick).min(beat)
    }

    pub(super) fn tick(&mut self, tables: &Tables) {
        if self.ticked_at + TICK <= self.now {
            let passed = self.now.saturating_sub(self.ticked_at).min(MAX_SILENCE);
            self.ticked_at = self.now;
            self.age(passed);
            self.report_counts(tables);
            self.age_orders(tables, passed);
        }
        // Repair between ticks too, because `wake_at` includes the deadlines of requests.
        let nodes: Vec<NodeId> = self.peers.keys().copied().collect();
        for node in nodes {
            self.repair(node);
        }
        self.connections = tables.conn_count() as u64;
        self.rooms = tables.room_count() as u64;
        self.send_beat_if_due();
    }

    /// Advances all peers' silence, and drops those that have timed out.
    fn age(&mut self, passed: Duration) {
        let (now, config) = (self.now, &self.config);
        let mut gone = Vec::new();
        for (node, peer) in &mut self.peers {
            peer.silence += passed;
            let is_stale = peer.is_alive() && !peer.incoming.is_live();
            peer.stale = if is_stale { peer.stale + passed } else { Duration::ZERO };
            gone.extend(peer.gone_reason(config.dead_after).map(|reason| (*node, reason)));
            if peer.silence >= config.beat * 2 {
                // A dead peer has missed a heartbeat, so restart its probation. Allow two intervals
                // so that a slightly late heartbeat does not count as missed.
                peer.missed_beat();
            }
            trim(peer, now, config);
        }
        for (node, reason) in gone {
            self.drop_peer(node, reason);
        }
        self.peers.retain(|_, peer| !peer.is_forgettable(now));
        self.ended.retain(|_, ended_at| now.saturating_sub(*ended_at) < ENDED_MEMORY);
    }
}

fn trim(peer: &mut Peer, now: Duration, config: &Config) {
    let outgoing = &mut peer.outgoing;
    if outgoing.as_mut().is_some_and(|outgoing| !outgoing.trim(now, config)) {
        // The next heartbeat reports that there is no stream, and the peer then requests a new one.
        *outgoing = None;
    }
}

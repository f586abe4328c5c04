//! Records disturbances between pairs of nodes.
//!
//! If one node declares the other dead or loses its messages without a disturbance, that is a bug.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use roomer_hub::cluster::{Event, GoneReason, PeerState, ResetReason};
use roomer_proto::cluster::NodeId;

use super::marks::Mark;
use super::node::{Node, State};
use super::world::World;
use crate::fault::{Fault, ensure};

/// The time after a disturbance in which a node may still declare the other dead, or restart its
/// stream, because of it.
const AFTERMATH: Duration = Duration::from_secs(15);

/// The time after its last death in which a peer may still be kept out because it has died several
/// times.
const FLAP_MEMORY: Duration = Duration::from_secs(100);

/// The time after a disturbance in which a node may still not show the members of another node.
const RECONNECT_GRACE: Duration = Duration::from_secs(7);

/// The maximum duration of the restart of a stream.
const RESTART_GRACE: Duration = Duration::from_secs(2);

/// The number of frames that must be lost for a gap to stay open: one frame, and three requests for
/// it or their answers.
const LOSSES_FOR_GAP: usize = 4;
const GAP_WINDOW: Duration = Duration::from_secs(4);

/// The maximum delay of a frame, in milliseconds, at which three requests can be answered in time.
const QUICK: u32 = 50;

#[derive(Debug, Default)]
pub struct Pairs(BTreeMap<(usize, usize), Pair>);

#[derive(Debug, Default)]
struct Pair {
    /// The last time at which frames could not pass between the two nodes.
    trouble: Duration,
    /// The same, but without the nodes' initial start and clean stops.
    harm: Duration,
    /// For each of the two nodes, the last time at which it could not receive any frame from the
    /// other. The node's own suspensions do not count.
    silent: BTreeMap<usize, Duration>,
    lossy: Duration,
    deaths: Vec<(usize, Duration)>,
    /// The last time at which either node restarted its stream. Until the new view of the other
    /// node's rooms is complete, a node keeps the previous one.
    reset_at: Duration,
    lost: VecDeque<Duration>,
}

impl Pairs {
    fn pair(&mut self, one: usize, other: usize) -> &mut Pair {
        // One entry serves both directions: trouble in either direction affects both streams.
        self.0.entry((one.min(other), one.max(other))).or_default()
    }

    /// Records that a frame from one node to another was lost.
    pub fn lost(&mut self, now: Duration, from: usize, to: usize) {
        if from == to {
            return; // an echo
        }
        let pair = self.pair(from, to);
        pair.lost.push_back(now);
        if pair.lost.len() > LOSSES_FOR_GAP {
            pair.lost.pop_front();
        }
        pair.lossy = now;
    }

    /// Clears the recorded harm: the nodes' initial start does not count as a disturbance.
    pub fn start(&mut self) {
        self.0.values_mut().for_each(|pair| pair.harm = Duration::ZERO);
    }
}

impl World {
    /// Records the pairs of nodes between which frames cannot currently pass.
    pub fn note_trouble(&mut self) {
        let now = self.now;
        for one in 0..self.nodes.len() {
            for other in 0..one {
                let ends = [one, other].iter().all(|node| {
                    self.broker.takes(*node) && self.nodes[*node].state == State::Running
                });
                for (at, of) in [(one, other), (other, one)] {
                    let is_cut = [at, of].iter().any(|node| !self.broker.takes(*node));
                    let is_still = self.nodes[of].state != State::Running;
                    if is_cut || is_still || self.broker.is_partitioned(one, other) {
                        self.pairs.pair(one, other).silent.insert(at, now);
                    }
                }
                let is_partitioned = self.broker.is_partitioned(one, other);
                if !ends || is_partitioned {
                    self.pairs.pair(one, other).trouble = now;
                }
                let is_harmed = |node: usize| match self.nodes[node].state {
                    State::Running => !self.broker.takes(node),
                    State::Asleep => true,
                    State::Ended => !self.nodes[node].has_sent_all,
                };
                if is_partitioned || is_harmed(one) || is_harmed(other) {
                    self.pairs.pair(one, other).harm = now;
                }
            }
        }
    }

    fn index_of(&self, node: NodeId) -> Option<usize> {
        self.nodes.iter().position(|other| other.id == node)
    }

    /// If an event reports the death of a peer, a stream restart or a loss, checks that a
    /// disturbance justifies it.
    pub fn check_event(&mut self, index: usize, event: &Event) -> Result<(), Fault> {
        if matches!(event, Event::Reset { .. } | Event::Gap { .. }) {
            self.lossy_at = self.now;
        }
        match event {
            Event::PeerGone { node, reason, .. } if *reason != GoneReason::Bye => {
                // A restarted node has a new number. Events about its previous number need no
                // reason.
                let Some(peer) = self.index_of(*node) else { return Ok(()) };
                self.check_death(index, peer, *reason)
            }
            Event::Reset { node, reason } => {
                let Some(peer) = self.index_of(*node) else { return Ok(()) };
                self.check_reset(index, peer, *reason)
            }
            Event::Gap { room: Some(room), node, .. }
                if self.nodes[index].cluster.is_ordered(room) =>
            {
                self.check_ordered_gap(index, *node, room)
            }
            _ => Ok(()),
        }
    }

    fn check_death(&mut self, index: usize, peer: usize, reason: GoneReason) -> Result<(), Fault> {
        let now = self.now;
        let awake = self.nodes[index].awake_since;
        let overflows = self.overflows();
        let pair = self.pairs.pair(index, peer);
        let is_recent = |at: Duration| now.saturating_sub(at) < AFTERMATH;
        let has_died = pair.deaths.iter().any(|(_, at)| now - *at < FLAP_MEMORY);
        let was_silent = is_recent(pair.silent.get(&index).copied().unwrap_or_default());
        ensure!(
            reason != GoneReason::Silent || was_silent || is_recent(pair.lossy),
            "node {index} was suspended and declares node {peer} silent"
        );
        pair.deaths.push((index, now));
        let is_justified = is_recent(pair.trouble)
            || is_recent(pair.lossy)
            || is_recent(awake)
            || has_died
            || overflows > 0;
        ensure!(is_justified, "node {index} declares node {peer} dead: {reason:?}");
        Ok(())
    }

    fn check_reset(&mut self, index: usize, peer: usize, reason: ResetReason) -> Result<(), Fault> {
        let (now, setup) = (self.now, self.setup);
        let (has_overflow, journal) = (self.overflows() > 0, setup.journal_bytes);
        let pair = self.pairs.pair(index, peer);
        pair.reset_at = now;
        let is_recent = |at: Duration| now.saturating_sub(at) < AFTERMATH;
        let has_died = pair.deaths.iter().any(|(_, at)| now - *at < FLAP_MEMORY);
        // After a disturbance, the stream may restart for any reason.
        if is_recent(pair.trouble) || has_died || has_overflow {
            return Ok(());
        }
        ensure!(
            is_recent(pair.lossy),
            "node {index} starts over with node {peer} without need: {reason:?}"
        );
        let lost = pair.lost.iter().filter(|at| now - **at < GAP_WINDOW).count();
        // In the plans of every fifth seed, the broker accepts three frames at a time, so a request
        // may be delayed.
        let is_quick = setup.max_delay <= QUICK && !setup.seed.is_multiple_of(5);
        let is_kept = journal >= 1 << 20 && setup.journal_ms >= 2000;
        ensure!(
            reason != ResetReason::Missing || journal < 1 << 20 || setup.journal_ms < 10_000,
            "node {peer} has not kept what node {index} misses"
        );
        ensure!(
            reason != ResetReason::Gap || !is_quick || !is_kept || lost >= LOSSES_FOR_GAP,
            "node {index} cannot close a gap of node {peer} after {lost} lost frames"
        );
        Ok(())
    }

    /// Checks the loss of a message in a room with one order.
    fn check_ordered_gap(&mut self, index: usize, node: NodeId, room: &str) -> Result<(), Fault> {
        let now = self.now;
        let is_recent = |at: Duration| now.saturating_sub(at) < AFTERMATH * 2;
        let mut pairs = self.pairs.0.values();
        let has_harm = pairs.any(|pair| {
            let times = [pair.harm, pair.lossy, pair.reset_at];
            let mut deaths = pair.deaths.iter().map(|(_, at)| *at);
            times.into_iter().any(is_recent) || deaths.any(is_recent)
        });
        let mut nodes = self.nodes.iter();
        // When one node gives up on a message, the others report the loss only later.
        let is_allowed = nodes.any(|node| is_recent(node.woke_at) || is_recent(node.crowded_at));
        let has_stopped = self.left_waiting.contains(&node);
        ensure!(
            has_harm || is_allowed || has_stopped || self.overflows() > 0,
            "node {index} loses messages of {node} in {room} without need"
        );
        self.marks.mark(node == self.nodes[index].id, Mark::OwnLost);
        self.marks.mark(true, Mark::OrderLost);
        Ok(())
    }

    /// Checks that nodes show each other's members if they have been able to reach each other for
    /// some time.
    pub fn check_pairs(&self) -> Result<(), Fault> {
        // Streams restart constantly in this plan, because its limits are so small.
        if self.overflows() > 0 {
            return Ok(());
        }
        for ((one, other), pair) in &self.pairs.0 {
            let trouble = pair.trouble.max(pair.lossy);
            // While a slow broker transfers a large message, the receiving node may see a gap.
            let is_calm = self.now.saturating_sub(trouble) > RECONNECT_GRACE
                && self.now.saturating_sub(pair.reset_at) > RESTART_GRACE;
            let deaths = |of: usize| pair.deaths.iter().filter(|(at, _)| *at == of).count();
            if !is_calm || deaths(*one) > 1 || deaths(*other) > 1 {
                continue;
            }
            for (at, of) in [(*one, *other), (*other, *one)] {
                let (node, id) = (&self.nodes[at], self.nodes[of].id);
                if !node.runs() || !self.nodes[of].runs() {
                    continue;
                }
                let state = node.cluster.peers().find(|peer| peer.node == id);
                let state = state.map(|peer| peer.state);
                ensure!(
                    matches!(state, Some(PeerState::Live | PeerState::Gap)),
                    "node {at} has node {of} as {state:?} for long"
                );
            }
        }
        Ok(())
    }

    /// Checks that each client has received all messages that it must receive.
    pub fn check_received(&self) -> Result<(), Fault> {
        self.clients.values().filter(|client| client.is_open).try_for_each(|client| {
            let node = &self.nodes[client.node];
            let result = client.check_received_at_rest(|from| self.is_lost_to(node, from));
            result.map_err(|Fault(what)| Fault::new(format!("{}: {what}", client.id)))
        })
    }

    /// Returns true if the node `from` has ended and `node` has not received its goodbye. In that
    /// case, `node` may not have noticed the end.
    pub fn is_lost_to(&self, node: &Node, from: NodeId) -> bool {
        let is_there = self.index_of(from).is_some_and(|at| self.nodes[at].state != State::Ended);
        !is_there && !node.byes.contains(&from)
    }

    pub fn overflows(&self) -> u64 {
        self.nodes.iter().map(|node| node.cluster.statistics().overflows).sum()
    }
}

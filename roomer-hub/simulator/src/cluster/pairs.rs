//! Records disturbances between pairs of nodes. A death or loss without one is a bug.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use roomer_hub::cluster::{Event, GoneReason, PeerState, ResetReason};
use roomer_proto::cluster::NodeId;

use super::marks::Mark;
use super::node::{Node, State};
use super::world::World;
use crate::fault::{Fault, ensure};

/// How long after a disturbance nodes may still lose each other because of it.
const AFTERMATH: Duration = Duration::from_secs(15);

/// How long a peer that has died several times may wait for readmission.
const FLAP_MEMORY: Duration = Duration::from_secs(100);

/// How long after a disturbance a node may lack another node's members.
const REUNITED: Duration = Duration::from_secs(7);

/// The maximum duration of a stream restart.
const STARTED_OVER: Duration = Duration::from_secs(2);

/// A gap is closed unless a frame is lost and three requests or their answers are lost too.
const LOST_FOR_A_HOLE: usize = 4;
const HOLE_WINDOW: Duration = Duration::from_secs(4);

/// The maximum frame delay, in milliseconds, that allows three requests to be answered in time.
const QUICK: u32 = 50;

#[derive(Debug, Default)]
pub struct Pairs(BTreeMap<(usize, usize), Pair>);

#[derive(Debug, Default)]
struct Pair {
    /// When frames last could not pass or were lost.
    trouble: Duration,
    /// When frames last could not pass, apart from starts and clean stops.
    harm: Duration,
    /// For each of the two nodes, when it last could not receive any frame from the other. The
    /// node's own suspensions do not count.
    silent: BTreeMap<usize, Duration>,
    lossy: Duration,
    deaths: Vec<(usize, Duration)>,
    /// When either node last restarted its stream. A node keeps its previous view of the other's
    /// rooms until the new one is complete.
    reset_at: Duration,
    lost: VecDeque<Duration>,
}

impl Pairs {
    fn pair(&mut self, one: usize, other: usize) -> &mut Pair {
        // One entry serves both directions, since trouble in either affects both streams.
        self.0.entry((one.min(other), one.max(other))).or_default()
    }

    /// Records that a frame was lost.
    pub fn lost(&mut self, now: Duration, from: usize, to: usize) {
        if from == to {
            return; // an echo
        }
        let pair = self.pair(from, to);
        pair.lost.push_back(now);
        if pair.lost.len() > LOST_FOR_A_HOLE {
            pair.lost.pop_front();
        }
        pair.lossy = now;
    }

    /// Clears recorded harm, since the nodes' initial start is not a disturbance.
    pub fn start(&mut self) {
        self.0.values_mut().for_each(|pair| pair.harm = Duration::ZERO);
    }
}

impl World {
    /// Records which pairs of nodes are currently disturbed.
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
                    if is_cut || is_still || self.broker.is_parted(one, other) {
                        self.pairs.pair(one, other).silent.insert(at, now);
                    }
                }
                let is_parted = self.broker.is_parted(one, other);
                if !ends || is_parted {
                    self.pairs.pair(one, other).trouble = now;
                }
                let is_harmed = |node: usize| match self.nodes[node].state {
                    State::Running => !self.broker.takes(node),
                    State::Asleep => true,
                    State::Ended => !self.nodes[node].has_said_all,
                };
                if is_parted || is_harmed(one) || is_harmed(other) {
                    self.pairs.pair(one, other).harm = now;
                }
            }
        }
    }

    fn index_of(&self, node: NodeId) -> Option<usize> {
        self.nodes.iter().position(|other| other.id == node)
    }

    /// Checks that a node has a legitimate reason to give up a peer or its stream.
    pub fn check_event(&mut self, index: usize, event: &Event) -> Result<(), Fault> {
        let (now, setup) = (self.now, self.setup);
        match event {
            Event::PeerGone { node, reason, .. } if *reason != GoneReason::Bye => {
                // A restarted node has a new number. Events about its old one are legitimate.
                let Some(peer) = self.index_of(*node) else { return Ok(()) };
                let awake = self.nodes[index].awake_since;
                let overflows = self.overflows();
                let pair = self.pairs.pair(index, peer);
                let is_recent = |at: Duration| now.saturating_sub(at) < AFTERMATH;
                let has_died = pair.deaths.iter().any(|(_, at)| now - *at < FLAP_MEMORY);
                let was_silent = is_recent(pair.silent.get(&index).copied().unwrap_or_default());
                ensure!(
                    *reason != GoneReason::Silent || was_silent || is_recent(pair.lossy),
                    "node {index} was asleep and takes node {peer} for silent"
                );
                pair.deaths.push((index, now));
                let is_justified = is_recent(pair.trouble)
                    || is_recent(pair.lossy)
                    || is_recent(awake)
                    || has_died
                    || overflows > 0;
                ensure!(is_justified, "node {index} takes node {peer} for dead: {reason:?}");
            }
            Event::Reset { node, reason } => {
                let Some(peer) = self.index_of(*node) else { return Ok(()) };
                let (has_overflow, journal) = (self.overflows() > 0, setup.journal_bytes);
                let pair = self.pairs.pair(index, peer);
                pair.reset_at = now;
                let is_recent = |at: Duration| now.saturating_sub(at) < AFTERMATH;
                let has_died = pair.deaths.iter().any(|(_, at)| now - *at < FLAP_MEMORY);
                // After such a disturbance any cause is legitimate.
                if is_recent(pair.trouble) || has_died || has_overflow {
                    return Ok(());
                }
                ensure!(
                    is_recent(pair.lossy),
                    "node {index} starts over with node {peer} without need: {reason:?}"
                );
                let lost = pair.lost.iter().filter(|at| now - **at < HOLE_WINDOW).count();
                // In every fifth seed, links accept three frames at a time, so a request may be
                // delayed.
                let is_quick = setup.max_delay <= QUICK && !setup.seed.is_multiple_of(5);
                let is_kept = journal >= 1 << 20 && setup.journal_ms >= 2000;
                ensure!(
                    *reason != ResetReason::Missing
                        || journal < 1 << 20
                        || setup.journal_ms < 10_000,
                    "node {peer} has not kept what node {index} misses"
                );
                if *reason == ResetReason::Hole && is_quick && is_kept {
                    ensure!(
                        lost >= LOST_FOR_A_HOLE,
                        "node {index} cannot close a hole of node {peer} after {lost} lost frames"
                    );
                }
            }
            Event::Gap { room: Some(room), node, .. }
                if self.nodes[index].cluster.is_ordered(room) =>
            {
                let is_recent = |at: Duration| now.saturating_sub(at) < AFTERMATH * 2;
                let mut pairs = self.pairs.0.values();
                let has_harm = pairs.any(|pair| {
                    let times = [pair.harm, pair.lossy, pair.reset_at];
                    let mut deaths = pair.deaths.iter().map(|(_, at)| *at);
                    times.into_iter().any(is_recent) || deaths.any(is_recent)
                });
                let mut nodes = self.nodes.iter();
                let is_allowed = nodes.any(|node| {
                    // A message that one node gives up counts as lost on the others only later.
                    is_recent(node.woke_at) || is_recent(node.crowded_at)
                });
                let has_stopped = self.left_waiting.contains(node);
                ensure!(
                    has_harm || is_allowed || has_stopped || self.overflows() > 0,
                    "node {index} loses messages of {node} in {room} without need"
                );
                self.marks.mark(*node == self.nodes[index].id, Mark::OwnLost);
                self.marks.mark(true, Mark::OrderLost);
            }
            _ => {}
        }
        Ok(())
    }

    /// Checks that nodes show each other's members after they could reach each other for some time.
    pub fn check_pairs(&self) -> Result<(), Fault> {
        // The plan's limits are so small that streams restart constantly.
        if self.overflows() > 0 {
            return Ok(());
        }
        for ((one, other), pair) in &self.pairs.0 {
            let trouble = pair.trouble.max(pair.lossy);
            // With a slow broker, a large message looks like a gap for some time.
            let is_calm = self.now.saturating_sub(trouble) > REUNITED
                && self.now.saturating_sub(pair.reset_at) > STARTED_OVER;
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
                    matches!(state, Some(PeerState::Live | PeerState::Hole)),
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

    /// Returns true if `from` has ended without sending `node` a goodbye, so `node` may not have
    /// noticed.
    pub fn is_lost_to(&self, node: &Node, from: NodeId) -> bool {
        let is_there = self.index_of(from).is_some_and(|at| self.nodes[at].state != State::Ended);
        !is_there && !node.byes.contains(&from)
    }

    pub fn overflows(&self) -> u64 {
        self.nodes.iter().map(|node| node.cluster.statistics().overflows).sum()
    }
}

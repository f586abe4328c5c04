//! The nodes, the broker and the clients of a plan, and the virtual time in which they run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use roomer_hub::ConnId;
use roomer_hub::cluster::{Input, ResetReason};
use roomer_proto::cluster::{NodeId, Subject};

use super::broker::{Broker, Delivery};

use super::actions::Commanded;
use super::infos::MAX_INFO;
use super::marks::{Mark, Marks};
use super::node::{Clients, Node, State};
use super::pairs::Pairs;
use super::plan::{Op, Plan, Setup};
use crate::fault::{Fault, ensure};
use crate::trace::Trace;

/// The time for which a running node may still show the members of a node that has crashed: the
/// silence timeout and two ticks.
pub const CRASH_SEEN: Duration = Duration::from_millis(6000);

/// The number of a node that does not belong to the cluster: its frames have another cluster name
/// or version.
pub const STRANGER: NodeId = NodeId(0x7777_7777_0000_0001);

pub struct World {
    pub now: Duration,
    pub setup: Setup,
    pub nodes: Vec<Node>,
    pub incarnations: Vec<u32>,
    pub clients: Clients,
    pub broker: Broker,
    events: BTreeMap<(Duration, u64), Event>,
    serial: u64,
    /// The number of messages that each client has sent to each target.
    pub last_sent: BTreeMap<(ConnId, Target), u32>,
    /// The number of messages that each client has sent in total.
    pub order: BTreeMap<ConnId, u32>,
    /// For each node that has ended: the time, the node's clients, and the nodes that have been
    /// checked for these clients.
    pub crashed: Vec<(Duration, Vec<ConnId>, Vec<usize>)>,
    pub pairs: Pairs,
    /// The last time at which a node restarted a stream or reported a loss.
    pub lossy_at: Duration,
    /// The nodes that have shut down while their messages were waiting for a place.
    pub left_waiting: BTreeSet<NodeId>,
    /// Commands that must take effect on clients of another node.
    pub commands: Vec<Commanded>,
    /// The size of the largest message so far, in bytes.
    pub largest: usize,
    pub marks: Marks,
    pub trace: Trace,
    pub steps: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    Room(usize),
    Client(ConnId),
}

enum Event {
    Deliver(Delivery),
    Publish { node: usize, incarnation: u32 },
}

impl World {
    pub fn new(plan: &Plan) -> Self {
        // Start above zero, so that times before the start can be represented.
        let now = Duration::from_secs(100);
        let count = usize::from(plan.setup.nodes);
        let nodes = (0..count).map(|index| Node::new(&plan.setup, index, 1, now)).collect();
        World {
            now,
            setup: plan.setup,
            nodes,
            incarnations: vec![1; count],
            clients: Clients::new(),
            broker: Broker::new(plan.setup),
            events: BTreeMap::new(),
            serial: 0,
            last_sent: BTreeMap::new(),
            order: BTreeMap::new(),
            crashed: Vec::new(),
            pairs: Pairs::default(),
            lossy_at: Duration::ZERO,
            left_waiting: BTreeSet::new(),
            commands: Vec::new(),
            // Like large messages, large info may be sent in parts.
            largest: if plan.setup.has_info { MAX_INFO + 100 } else { 0 },
            marks: Marks::default(),
            trace: Trace::default(),
            steps: 0,
        }
    }

    pub fn has_restart(&self) -> bool {
        self.incarnations.iter().any(|incarnation| *incarnation > 1)
    }

    pub fn start(&mut self) -> Result<(), Fault> {
        self.note_trouble();
        self.pairs.start();
        (0..self.nodes.len()).try_for_each(|node| self.connect(node))
    }

    pub fn last_sent(&self, src: ConnId, target: Target) -> u32 {
        self.last_sent.get(&(src, target)).copied().unwrap_or_default()
    }

    fn at(&mut self, at: Duration, event: Event) {
        self.serial += 1;
        // The serial number preserves the order of events at the same time.
        self.events.insert((at, self.serial), event);
    }

    /// Passes an input to a node's state machine. If the node is suspended, queues the input until
    /// it resumes.
    pub(super) fn input(&mut self, node: usize, input: Input) -> Result<(), Fault> {
        let World { nodes, clients, now, .. } = self;
        match nodes[node].state {
            State::Running => nodes[node].handle(*now, clients, input)?,
            State::Asleep => nodes[node].backlog.push(input),
            State::Ended => {}
        }
        self.touched(node);
        for event in std::mem::take(&mut self.nodes[node].events) {
            self.check_event(node, &event)?;
        }
        Ok(())
    }

    /// Executes a step of a plan, and records the disturbances before and after it.
    pub fn step(&mut self, op: Op) -> Result<(), Fault> {
        self.note_trouble();
        self.op(op)?;
        self.note_trouble();
        Ok(())
    }

    /// If a node has pending output, schedules the task that publishes it.
    pub(super) fn touched(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if node.runs() && node.cluster.wants_to_publish() && !node.publishes {
            node.publishes = true;
            // The task runs a little later. If the node restarts before that, the incarnation
            // differs, and the task has no effect.
            let (at, incarnation) = (self.now + self.broker.jitter(3), self.incarnations[index]);
            self.at(at, Event::Publish { node: index, incarnation });
        }
    }

    pub(super) fn connect(&mut self, node: usize) -> Result<(), Fault> {
        if self.broker.is_up(node) || self.nodes[node].state == State::Ended {
            return Ok(());
        }
        self.broker.connect(self.now, node);
        self.input(node, Input::Up { max_payload: self.setup.max_payload })
    }

    pub(super) fn cut(&mut self, node: usize) -> Result<(), Fault> {
        if !self.broker.is_up(node) {
            return Ok(());
        }
        self.broker.disconnect(node);
        self.input(node, Input::Down)
    }

    /// Advances the time, and processes all events that become due in that time.
    pub fn run(&mut self, time: Duration) -> Result<(), Fault> {
        let end = self.now + time;
        loop {
            let event = self.events.first_key_value().map(|((at, _), _)| *at);
            let awake = self.nodes.iter().filter(|node| node.runs());
            let tick = awake.map(|node| node.cluster.wake_at()).min();
            let never = end + Duration::from_millis(1);
            // A node that has just resumed may have deadlines in the past, but time must not go
            // backwards.
            let next = event.into_iter().chain(tick).min().unwrap_or(never).max(self.now);
            if next > end {
                self.now = end;
                return Ok(());
            }
            self.now = next;
            if event.is_some_and(|at| at <= next) {
                if let Some((_, event)) = self.events.pop_first() {
                    self.event(event)?;
                }
                continue;
            }
            for node in 0..self.nodes.len() {
                if self.nodes[node].runs() && self.nodes[node].cluster.wake_at() <= next {
                    self.input(node, Input::Tick)?;
                    self.detect_crashed_peers(node)?;
                    // Otherwise a real node's driver would call the node in an endless loop.
                    let is_later = self.nodes[node].cluster.wake_at() > next;
                    ensure!(is_later, "node {node} wants a tick at the time of its tick");
                }
            }
        }
    }

    fn event(&mut self, event: Event) -> Result<(), Fault> {
        match event {
            Event::Publish { node, incarnation } => {
                if self.incarnations[node] == incarnation {
                    self.nodes[node].publishes = false;
                    self.publish(node)?;
                }
                Ok(())
            }
            Event::Deliver(delivery) => {
                if !self.broker.delivers(&delivery) {
                    // The loss of this frame may justify what the two nodes do next.
                    self.pairs.lost(self.now, delivery.from, delivery.to);
                    return Ok(());
                }
                self.steps += 1;
                self.trace.bytes(&delivery.frame);
                self.input(delivery.to, Input::Frame(delivery.frame))
            }
        }
    }

    /// Publishes the frames of a node, as many as the broker accepts.
    pub(super) fn publish(&mut self, index: usize) -> Result<(), Fault> {
        if !self.broker.takes(index) || !self.nodes[index].runs() {
            return Ok(());
        }
        let mut frames = Vec::new();
        // In some plans the broker accepts only a few frames at a time. The others stay queued.
        let mut room = if self.setup.seed.is_multiple_of(5) { 3 } else { usize::MAX };
        self.nodes[index].cluster.publish(self.now, |subject, frame: &Bytes| {
            if room == 0 {
                return false;
            }
            room -= 1;
            frames.push((subject, frame.clone()));
            true
        });
        for (subject, frame) in frames {
            self.marks.mark(frame.len() > 60_000, Mark::LargeFrame);
            ensure!(subject != Subject::Node(STRANGER), "node {index} sends to an unknown node");
            for to in 0..self.nodes.len() {
                let is_for_all = subject == Subject::All;
                // Some brokers send a node's messages back to the node. The node must ignore them.
                // The model does so in a third of the plans.
                let is_echo = to == index && !self.setup.seed.is_multiple_of(3);
                if is_echo || !(is_for_all || subject == Subject::Node(self.nodes[to].id)) {
                    continue;
                }
                let deliveries = self.broker.publish(self.now, index, to, is_for_all, &frame);
                if deliveries.is_empty() {
                    self.pairs.lost(self.now, index, to);
                }
                for (at, delivery) in deliveries {
                    self.at(at, Event::Deliver(delivery));
                }
            }
        }
        self.touched(index);
        Ok(())
    }

    /// Checks that a node does not show the members of a node that crashed long ago.
    pub(super) fn detect_crashed_peers(&mut self, index: usize) -> Result<(), Fault> {
        let (now, node) = (self.now, &self.nodes[index]);
        for (at, ids, checked) in &mut self.crashed {
            if now.saturating_sub(*at) < CRASH_SEEN
                // A node that was suspended until recently has not had time to detect the silence.
                || now.saturating_sub(node.awake_since) < CRASH_SEEN
                || checked.contains(&index)
            {
                continue;
            }
            checked.push(index);
            let tables = node.hub.tables();
            for (key, name) in tables.rooms() {
                let ghost = tables.guests(key).find(|id| ids.contains(id));
                ensure!(
                    ghost.is_none(),
                    "node {index} shows {ghost:?} in {name}, whose node crashed long ago"
                );
            }
        }
        Ok(())
    }

    /// Checks the invariants that must hold at any time.
    pub fn check(&self) -> Result<(), Fault> {
        for node in self.nodes.iter().filter(|node| node.state != State::Ended) {
            node.hub.tables().audit().map_err(Fault::new)?;
            for peer in node.cluster.peers() {
                let held = peer.held_bytes;
                let most = self.setup.held_bytes + self.largest + 300;
                ensure!(held <= most, "node {} holds {held} bytes", node.index);
            }
            for reason in [ResetReason::Divergence, ResetReason::Malformed] {
                let count =
                    node.cluster.statistics().resets.get(&reason).copied().unwrap_or_default();
                ensure!(count == 0, "node {} has {count} resets because of {reason:?}", node.index);
            }
        }
        self.check_pairs()
    }

    pub fn open_clients(&self) -> Vec<ConnId> {
        let open = self.clients.values().filter(|client| client.is_open);
        open.map(|client| client.id).collect()
    }
}

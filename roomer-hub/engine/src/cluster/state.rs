//! The part of the cluster under the server's lock.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use roomer_hub::cluster::{Change, Cluster, Effect, Event};
use roomer_hub::{Action, Actions, Peers};

use roomer_proto::cluster::NodeId;

use super::closing::Closing;
use super::gate::LinkGate;

/// The cluster's machine, and the events that the link's task waits for.
#[derive(Debug)]
pub(crate) struct ClusterState {
    pub(crate) machine: Cluster,
    /// The link's task, to be woken when there is something to publish.
    pub(crate) link: Option<Waker>,
    /// The gate at which senders wait while peers are behind.
    pub(crate) gate: Arc<LinkGate>,
    /// Events that the link's task reports once it has released the lock.
    pub(crate) events: Vec<Event>,
    /// The nodes that were reported to the application.
    pub(crate) shown: BTreeSet<NodeId>,
    /// Connections that may have missed messages.
    pub(crate) closing: Closing,
    /// Kept between inputs for its memory.
    pub(crate) effects: Vec<Effect>,
}

impl ClusterState {
    pub(crate) fn new(machine: Cluster) -> Self {
        ClusterState {
            machine,
            link: None,
            gate: Arc::default(),
            events: Vec::new(),
            shown: BTreeSet::new(),
            closing: Closing::default(),
            effects: Vec::new(),
        }
    }

    /// Records an action of the hub that peers have to know of. `is_own` is true unless it follows from an
    /// effect of the machine. Returns true if the action must not be carried out, since it is a message
    /// that waits for its place in its room's order; and the gate that the sender has to wait for if
    /// peers have not applied too much of what was sent before.
    pub(crate) fn record(
        &mut self,
        now: Duration,
        actions: &Actions<'_>,
        action: &Action<'_>,
        is_own: bool,
    ) -> (bool, Option<Arc<LinkGate>>) {
        if let Action::Broadcast { peers, except, except_guest, packet, .. } = *action
            && is_own
            && self.machine.is_ordered_message(&packet)
        {
            let except = except.and_then(|conn| actions.tables().conn_id(conn));
            let except = except.or(except_guest.copied());
            let is_placed = self.machine.submit(now, actions.tables(), except, packet);
            return (!is_placed, self.gate_for(peers));
        }
        (false, self.record_change(now, actions, action))
    }

    fn record_change(
        &mut self,
        now: Duration,
        actions: &Actions<'_>,
        action: &Action<'_>,
    ) -> Option<Arc<LinkGate>> {
        let change = match *action {
            Action::Joined { name: room, .. } => {
                actions.subject().map(|id| Change::Joined { id, room })
            }
            Action::Left { name: room, .. } => {
                actions.subject().map(|id| Change::Left { id, room })
            }
            Action::InfoChanged { conn } => {
                actions.tables().conn_id(conn).map(|id| Change::Profile { id })
            }
            Action::Broadcast { peers, except_guest, packet, .. } if !peers.is_empty() => {
                Some(Change::Broadcast { peers, except: except_guest.copied(), packet })
            }
            Action::Forward { peer, packet } => Some(Change::Direct { peer, packet }),
            _ => None,
        };
        self.machine.record(now, actions.tables(), change?);
        let Action::Broadcast { peers, .. } = action else { return None };
        self.gate_for(*peers)
    }

    /// Returns the gate, closed, if one of these peers has not applied too much.
    fn gate_for(&mut self, peers: Peers<'_>) -> Option<Arc<LinkGate>> {
        self.machine.is_congested(peers).then(|| {
            self.gate.close();
            self.gate.clone()
        })
    }

    /// Returns the link's task if it has something to publish, for the caller to wake once it has
    /// released the lock.
    pub(crate) fn take_link(&mut self) -> Option<Waker> {
        // Taken, since the task registers again once it has published.
        self.link.take_if(|_| self.machine.wants_to_publish())
    }
}

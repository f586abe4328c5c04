//! The cluster's state under the server's lock.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use roomer_hub::cluster::{Change, Cluster, Effect, Event};
use roomer_hub::{Action, Actions, Peers};

use roomer_proto::cluster::NodeId;

use super::close_on_loss::CloseOnLoss;
use super::gate::LinkGate;
use crate::tunnel::Tunnels;

/// The cluster's state machine, and the state that the server and the link's task share.
#[derive(Debug)]
pub(crate) struct ClusterState {
    pub(crate) machine: Cluster,
    /// The waker of the link's task, called when there is something to publish.
    pub(crate) link: Option<Waker>,
    /// The gate at which senders wait while peers lag behind.
    pub(crate) gate: Arc<LinkGate>,
    /// Events about the cluster. The link's task reports them after it has released the lock.
    pub(crate) events: Vec<Event>,
    /// The nodes whose arrival was reported to the application.
    pub(crate) shown: BTreeSet<NodeId>,
    /// Connections to close because they may have missed messages.
    pub(crate) close_on_loss: CloseOnLoss,
    /// This node's tunnels, for sockets here whose sessions are on other nodes, and for sessions
    /// here whose sockets are on other nodes.
    pub(crate) tunnels: Tunnels,
    /// A reusable list for the machine's effects. It is empty between inputs.
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
            close_on_loss: CloseOnLoss::default(),
            tunnels: Tunnels::default(),
            effects: Vec::new(),
        }
    }

    /// Records a hub action that must be reported to peers. `is_own` is false if one of the
    /// machine's effects caused the action. Returns true if the action must not be carried out yet,
    /// because it is a message waiting for its place in its room's order. Also returns the gate at
    /// which the sender must wait if peers lag behind by too many earlier messages.
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
            Action::AwayChanged { conn } => {
                actions.tables().conn_id(conn).map(|id| Change::Away { id })
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

    /// If one of these peers has too many unapplied frames, closes the gate and returns it.
    fn gate_for(&mut self, peers: Peers<'_>) -> Option<Arc<LinkGate>> {
        self.machine.is_congested(peers).then(|| {
            self.gate.close();
            self.gate.clone()
        })
    }

    /// Returns the waker of the link's task if there is something to publish. The caller must call
    /// the waker after releasing the lock.
    pub(crate) fn take_link(&mut self) -> Option<Waker> {
        // Take the waker, since the task registers it again after publishing.
        self.link.take_if(|_| self.machine.wants_to_publish())
    }
}

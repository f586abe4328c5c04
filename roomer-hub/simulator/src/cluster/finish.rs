//! The final checks of a plan: after all faults have ended, all nodes must show the same members.

use std::collections::BTreeSet;
use std::time::Duration;

use roomer_hub::ConnId;
use roomer_hub::cluster::{GoneReason, PeerState, ResetReason};

use super::client::FULL;
use super::marks::Mark;
use super::node::{Node, State};
use super::plan::ROOMS;
use super::world::{Target, World};
use crate::fault::{Fault, ensure};

/// The time within which the nodes must agree after the last fault, if no node was declared dead.
const AGREED: Duration = Duration::from_secs(4);

/// The time within which the nodes must agree after a death: the silence timeout, and 30 heartbeats
/// for a node that has died often.
const AGREED_AFTER_DEATH: Duration = Duration::from_secs(45);

/// The number of times that the wait for agreement is repeated because of a recent loss.
const LOSSES: u32 = 3;

/// The maximum duration of the delivery of a message.
const DELIVERED: Duration = Duration::from_secs(2);

impl World {
    /// Ends all faults, and checks that all nodes show the same members, and that every message
    /// arrives.
    pub fn finish(&mut self) -> Result<(), Fault> {
        self.note_trouble();
        // End all faults at the same time, since the limits below count from now.
        self.broker.lose(0);
        self.broker.heal();
        for node in 0..self.nodes.len() {
            self.wake(node)?;
            self.op(super::plan::Op::LinkUp { node: node as u8 })?;
            self.refuse(node, false);
        }
        self.note_trouble();
        self.run(AGREED)?;
        self.check()?;
        // When a node gives up on a message, it may close the receivers. These must have left
        // before views are compared.
        self.settle_orders()?;
        self.settle_losses()?;
        // Agreement may take longer only after a death, because a node that has died often is
        // readmitted late.
        if let Err(fault) = self.agree() {
            if !self.has_death() {
                return Err(fault);
            }
            self.marks.mark(true, Mark::SlowRest);
            self.run(AGREED_AFTER_DEATH)?;
            self.check()?;
            self.agree()?;
        }
        self.settle_orders()?;
        self.check_received()?;
        self.check_commands()?;
        self.probe()?;
        self.check_received()?;
        self.check_order()?;
        self.mark();
        Ok(())
    }

    /// If the nodes do not agree because messages were lost just now, waits until streams have
    /// restarted and closed members have left. Each restart may cause another loss.
    fn settle_losses(&mut self) -> Result<(), Fault> {
        for _ in 0..LOSSES {
            let is_recent = self.now.saturating_sub(self.lossy_at) < DELIVERED;
            if !is_recent || self.agree().is_ok() {
                break;
            }
            self.run(AGREED)?;
            self.check()?;
        }
        Ok(())
    }

    /// Returns true if any node was declared dead, or may have been.
    fn has_death(&self) -> bool {
        let has_ended = self.nodes.iter().any(|node| node.state == State::Ended);
        has_ended
            || self.has_restart()
            || self.nodes.iter().any(|node| {
                let gone = &node.cluster.statistics().gone;
                gone.keys().any(|reason| *reason != GoneReason::Bye)
            })
    }

    /// Returns how many times nodes have restarted their streams or declared each other dead.
    fn breaks(&self) -> u32 {
        self.nodes.iter().flat_map(|node| node.breaks.values()).sum()
    }

    /// Checks that each running node shows the members of all nodes.
    fn agree(&self) -> Result<(), Fault> {
        let running: Vec<_> = self.nodes.iter().filter(|node| node.runs()).collect();
        for (room, name) in ROOMS.iter().enumerate() {
            let members: BTreeSet<ConnId> = self
                .clients
                .values()
                .filter(|client| client.is_in(room) && self.nodes[client.node].runs())
                .map(|client| client.id)
                .collect();
            running.iter().try_for_each(|node| self.shows_members(node, room, name, &members))?;
        }
        for node in &running {
            for peer in node.cluster.peers() {
                let is_running = running.iter().any(|other| other.id == peer.node);
                ensure!(
                    !is_running || peer.state == PeerState::Live,
                    "node {} has {} as {:?}",
                    node.index,
                    peer.node,
                    peer.state
                );
            }
        }
        Ok(())
    }

    /// Checks that a node and its clients show exactly these members of a room.
    fn shows_members(
        &self,
        node: &Node,
        room: usize,
        name: &str,
        members: &BTreeSet<ConnId>,
    ) -> Result<(), Fault> {
        let tables = node.hub.tables();
        let key = tables.find_room(name);
        // The counts must agree in all rooms, and in rooms with full presence the lists must agree
        // too.
        let count = key.map_or(0, |key| tables.member_count(key));
        ensure!(
            count == members.len(),
            "node {} counts {count} members of {name}, there are {members:?}",
            node.index
        );
        let Some(key) = key.filter(|_| room < FULL) else { return Ok(()) };
        let own = tables.members(key).iter().filter_map(|conn| tables.conn_id(conn));
        let shown: BTreeSet<ConnId> = own.chain(tables.guests(key)).collect();
        ensure!(
            shown == *members,
            "node {} shows {shown:?} in {name}, there are {members:?}",
            node.index
        );
        for client in self.clients.values().filter(|client| client.node == node.index) {
            client.check_infos(room, &self.clients)?;
            let view = client.views.get(&room);
            ensure!(
                view.is_none_or(|view| view == members),
                "{} sees {view:?} in {name}, there are {members:?}",
                client.id
            );
        }
        Ok(())
    }

    /// Sends a message to each room and a direct message to each client. All of them must arrive.
    fn probe(&mut self) -> Result<(), Fault> {
        // Only the probe's messages are checked here, so compare with the counts from before the
        // probe.
        let overflows = self.overflows();
        let breaks = self.breaks();
        let mut open = self.open_clients();
        open.retain(|id| self.nodes[self.clients[id].node].runs());
        for (at, id) in open.iter().enumerate() {
            for room in 0..ROOMS.len() {
                if self.clients[id].is_in(room) {
                    self.send_message(*id, room, 3)?;
                }
            }
            self.direct(*id, open[(at + 1) % open.len()])?;
        }
        self.run(DELIVERED)?;
        if self.overflows() > overflows {
            // Because of the plan's small limits, messages were lost. `check` has verified that
            // clients notice the loss.
            self.run(AGREED)?;
            return self.agree();
        }
        if let Err(fault) = self.check_probe(&open) {
            // After a death, nodes may agree before their streams have restarted. The restart then
            // loses the probe's messages.
            if self.breaks() == breaks || !self.has_death() {
                return Err(fault);
            }
            self.run(AGREED_AFTER_DEATH)?;
            return self.probe();
        }
        if self.setup.has_order {
            // The first message in the term of a home takes several round trips, and is delivered
            // only after a heartbeat.
            self.run(DELIVERED)?;
        }
        self.check()?;
        for node in self.nodes.iter().filter(|node| node.runs()) {
            for peer in node.cluster.peers().filter(|peer| peer.state == PeerState::Live) {
                let (bytes, of) = (peer.unapplied_bytes, peer.node);
                ensure!(bytes == 0, "node {} waits for {of} to apply {bytes} bytes", node.index);
            }
        }
        self.agree()
    }

    /// Checks that each client has received the last message sent to each of its rooms, and the
    /// last direct message to it.
    fn check_probe(&self, open: &[ConnId]) -> Result<(), Fault> {
        for (at, id) in open.iter().enumerate() {
            let (to, last_sent) =
                (open[(at + 1) % open.len()], |target| self.last_sent(*id, target));
            let received = self.clients[&to].last_of(*id, None);
            let direct = last_sent(Target::Client(to));
            ensure!(
                received == direct,
                "{to} has received {received} of {direct} messages of {id} to it"
            );
            for room in (0..ROOMS.len()).filter(|room| self.clients[id].is_in(*room)) {
                let all = last_sent(Target::Room(room));
                for to in self.clients.values().filter(|to| to.is_in(room) && to.id != *id) {
                    let received = to.last_of(*id, Some(room));
                    ensure!(
                        received == all,
                        "{} has received {received} of {all} messages of {id} in {}",
                        to.id,
                        ROOMS[room]
                    );
                }
            }
        }
        Ok(())
    }

    fn mark(&mut self) {
        let mut marks = self.marks;
        for node in &self.nodes {
            let statistics = node.cluster.statistics();
            marks.mark(statistics.repaired > 0, Mark::Repaired);
            let holds_none = self.setup.held_bytes == 0;
            marks.mark(statistics.repaired > 0 && holds_none, Mark::RepairedUnheld);
            marks.mark(node.closed_lossy, Mark::Closed);
            marks.mark(statistics.overflows > 0, Mark::Overflow);
            for (reason, mark) in [
                (ResetReason::Gap, Mark::Gap),
                (ResetReason::Missing, Mark::Missing),
                (ResetReason::Stream, Mark::Stream),
            ] {
                marks.mark(statistics.resets.contains_key(&reason), mark);
            }
            for (reason, mark) in [
                (GoneReason::Bye, Mark::Bye),
                (GoneReason::Silent, Mark::Silent),
                (GoneReason::NoState, Mark::NoState),
            ] {
                marks.mark(statistics.gone.contains_key(&reason), mark);
            }
            let is_foreign = |peer: roomer_hub::cluster::PeerInfo| peer.state == PeerState::Foreign;
            marks.mark(node.cluster.peers().any(is_foreign), Mark::Foreign);
            marks.mark(node.reports.0 > 0, Mark::Returned);
        }
        let reached = |client: &super::client::Client| {
            let own = self.nodes[client.node].id.0;
            client.to_user.keys().any(|node| *node != own)
        };
        marks.mark(self.clients.values().any(reached), Mark::UserReached);
        self.marks = marks;
    }
}

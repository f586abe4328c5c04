//! Delivering ordered messages in the order of their places, and giving up lost ones.

use std::time::Duration;

use roomer_proto::ConnId;
use roomer_proto::cluster::NodeId;

use super::submit::decode;
use super::{Message, Place};
use crate::cluster::effect::{Effect, Event};
use crate::cluster::{Cluster, Loss};
use crate::tables::Tables;

impl Cluster {
    /// Drops, delivers, places and submits messages in all rooms with pending changes.
    pub(in crate::cluster) fn advance_orders(&mut self) {
        while let Some(name) = self.orders.dirty.pop_first() {
            self.bound_messages(&name);
            self.deliver_placed(&name);
            self.place_submitted(&name);
            self.submit_waiting(&name);
            // If this node is the home, it may have just placed its own messages.
            self.deliver_placed(&name);
            // `room_mut` has marked the room dirty again, but the changes have already been
            // handled.
            self.orders.dirty.remove(&name);
        }
    }

    /// Delivers a room's messages that come next in order.
    fn deliver_placed(&mut self, name: &str) {
        loop {
            let Some(room) = self.orders.rooms.get(name) else { return };
            let Some(place) = room.places.front().copied() else { return };
            if self.may_have_earlier(room, place.term, place.age) {
                return;
            }
            let has_message = room.messages.contains_key(&(place.node, place.number));
            let is_passed = room.is_passed(place.node, place.number);
            if !has_message && !is_passed && self.is_to_come(place) {
                return;
            }
            let room = self.orders.room_mut(name);
            room.places.pop_front();
            room.term = place.term;
            let message = if is_passed { None } else { room.remove(place.node, place.number) };
            // This message or a later one from its node has already been delivered or given up, so
            // it can no longer be delivered in order.
            if is_passed {
                self.lose(name, place.node, place.number);
            }
            let room = self.orders.room_mut(name);
            // A node's messages are delivered in its send order, so earlier ones are now lost.
            for number in room.numbers_of(place.node, place.number) {
                self.lose(name, place.node, number);
            }
            self.orders.room_mut(name).pass(place.node, place.number);
            if let Some(message) = message {
                self.deliver(place.node, message);
            }
        }
    }

    /// Returns true if a message that already has a place may still arrive.
    fn is_to_come(&self, place: Place) -> bool {
        let peer = self.peers.get(&place.node).filter(|peer| peer.is_alive());
        peer.is_some_and(|peer| peer.ordered < place.number) && place.age < self.config.dead_after
    }

    fn deliver(&mut self, node: NodeId, message: Message) {
        let Message { except, packet, .. } = message;
        let key = self.peers.get(&node).and_then(|peer| peer.key);
        self.effects.push(match key {
            Some(peer) => Effect::Broadcast { peer, except, packet },
            // The sender is this node itself, or a peer that has stopped since then.
            None => Effect::Ordered { except, packet },
        });
    }

    /// Drops a message and reports the loss. Does nothing if the message is unknown.
    pub(super) fn lose(&mut self, name: &str, node: NodeId, number: u64) {
        let room = self.orders.room_mut(name);
        let Some(message) = room.remove(node, number) else { return };
        room.pass(node, number);
        let name_of_node = match self.peers.get(&node) {
            Some(peer) => peer.name.clone(),
            None if node == self.me => self.config.node.as_str().into(),
            // The peer has stopped, and its name is no longer known.
            None => node.to_string().into(),
        };
        let has_ended = node != self.me && !self.peers.contains_key(&node);
        match self.config.loss {
            // The members of the stopped node have left, which already shows the loss.
            Loss::Rejoin if has_ended => {}
            Loss::Rejoin => {
                // A message without a sender is from the server. No member can leave and rejoin to
                // signal its loss.
                let src = ConnId::parse(decode(&message.packet).src);
                let room = || name.into();
                self.effects.extend(src.map(|id| Effect::Renewed { id, room: room() }));
            }
            // Close connections for stopped peers too: not every room shows who leaves, and the
            // application is not a member.
            Loss::Close => self.effects.push(Effect::Close { room: Some(name.into()) }),
            Loss::Count => {}
        }
        let room = Some(name.into());
        self.report(Event::Gap { node, name: name_of_node, room, frames: None });
    }

    /// Advances the age of messages and places. Drops messages whose place did not arrive in time,
    /// and removes the state of unused rooms.
    pub(in crate::cluster) fn age_orders(&mut self, tables: &Tables, passed: Duration) {
        let (me, dead_after) = (self.me, self.config.dead_after);
        let mut lost = Vec::new();
        let forgotten = &mut self.orders.forgotten;
        self.orders.rooms.retain(|name, room| {
            for place in &mut room.places {
                place.age += passed;
            }
            for submission in &mut room.submissions {
                submission.age += passed;
            }
            for ((node, number), message) in &mut room.messages {
                message.age += passed;
                // A placed message only waits for earlier messages, which arrive or are given up.
                if message.age >= dead_after && !message.is_placed {
                    lost.push((name.clone(), *node, *number));
                }
            }
            let is_used = !room.is_empty() || tables.find_room(name).is_some();
            room.unused = if is_used { Duration::ZERO } else { room.unused + passed };
            let is_kept = room.unused < dead_after;
            if !is_kept {
                *forgotten = room.known.epoch.max(*forgotten);
            }
            is_kept
        });
        for (name, node, number) in lost {
            self.lose(&name, node, number);
        }
        let peers = &self.peers;
        for room in self.orders.rooms.values_mut() {
            let is_known = |node: &NodeId, _: &mut u64| *node == me || peers.contains_key(node);
            // A dropped node sends nothing more, since a restarted node has a new id.
            room.delivered.retain(is_known);
            room.placed.retain(is_known);
            room.promised.retain(|node, _| peers.contains_key(node));
        }
        self.orders.wake();
    }
}

//! Handling order items from peers, and assigning places in rooms whose home is this node.

use std::time::Duration;

use bytes::Bytes;
use roomer_proto::cluster::{Item, NodeId, OrderItem};

use super::{Message, Place, Submission, Term};
use crate::cluster::slice::last_packet;
use crate::cluster::{Cluster, GoneReason, ResetReason};

impl Cluster {
    /// Applies an order item from a peer's stream. `bytes` ends with the item.
    pub(in crate::cluster) fn order_item(
        &mut self,
        from: NodeId,
        item: &OrderItem<'_>,
        bytes: &Bytes,
    ) -> Result<(), ResetReason> {
        match *item {
            OrderItem::Message { number, except, ref packet } => {
                if let Some(peer) = self.peers.get_mut(&from) {
                    peer.ordered = number;
                }
                let message = Message {
                    age: Duration::ZERO,
                    except,
                    packet: last_packet(bytes, packet),
                    is_placed: false,
                    own: None,
                };
                let room = self.orders.room_mut(packet.room);
                let is_late = room.is_passed(from, number);
                // Insert a late message too, since `lose` reports only messages that it removes.
                room.insert(from, number, message);
                if is_late {
                    self.lose(packet.room, from, number);
                }
            }
            OrderItem::Submit { room: name, number, epoch, home, is_final, to } => {
                let term = Term { epoch, home };
                self.record_term(name, from, term);
                let (to, age) = (to.iter().collect(), Duration::ZERO);
                let submission = Submission { node: from, number, term, is_final, to, age };
                self.orders.room_mut(name).submissions.push_back(submission);
            }
            OrderItem::Place { room: name, node, number, epoch } => {
                let term = Term { epoch, home: from };
                let place = Place { term, node, number, age: Duration::ZERO };
                self.record_term(name, from, term);
                if !self.enqueue(name, place) {
                    // The message will not get a place from another home, so it is lost.
                    self.lose(name, node, number);
                    self.orders.room_mut(name).pass(node, number);
                }
            }
            OrderItem::Return { room: name, number, home } => {
                let me = self.me;
                let message = self.orders.room_mut(name).messages.get_mut(&(me, number));
                let own = message.and_then(|message| message.own.as_mut());
                if let Some(own) = own.filter(|own| own.holder == Some(from)) {
                    (own.holder, own.hint) = (None, Some(home));
                }
            }
            OrderItem::Term { room: name, epoch, home } => {
                self.record_term(name, from, Term { epoch, home });
            }
            // The other kinds of items are valid only at the start of a stream.
            _ => return Err(ResetReason::Malformed),
        }
        Ok(())
    }

    /// Applies an order item at the start of a peer's stream.
    pub(in crate::cluster) fn order_state(
        &mut self,
        from: NodeId,
        item: &OrderItem<'_>,
    ) -> Result<(), ResetReason> {
        match *item {
            OrderItem::Since { number } => {
                let peer = self.peers.get_mut(&from);
                peer.into_iter().for_each(|peer| peer.ordered = peer.ordered.max(number));
            }
            OrderItem::Term { room: name, epoch, home } if name.len() <= self.config.max_name => {
                self.record_term(name, from, Term { epoch, home });
            }
            _ => return Err(ResetReason::Malformed),
        }
        Ok(())
    }

    /// Assigns places to a room's pending submissions in order, or returns them if another node
    /// should be the home.
    pub(super) fn place_submitted(&mut self, name: &str) {
        loop {
            let Some(room) = self.orders.rooms.get(name) else { return };
            let Some(first) = room.submissions.front() else { return };
            let (node, number, term) = (first.node, first.number, first.term);
            let is_placed = room.placed.get(&node).is_some_and(|placed| number <= *placed);
            // An earlier submission from the same node was returned, and the node had not received
            // it yet when it made this one.
            let is_behind = term < room.yielded;
            let successor = match is_behind {
                true => Some(room.known.home),
                false => self.successor(name).filter(|_| !first.is_final),
            };
            let is_ready = self.is_formed(self.now) && self.reaches(&first.to, first.age);
            if !is_placed && successor.is_none() && !is_ready {
                return;
            }
            let room = self.orders.room_mut(name);
            let Some(Submission { to, .. }) = room.submissions.pop_front() else { return };
            // This is a repeated request, which has already been answered.
            if is_placed {
                continue;
            }
            if let Some(home) = successor {
                let Term { home, .. } = self.yield_to(name, home, term);
                let answer = OrderItem::Return { room: name, number, home };
                self.push_to(node, &Item::Order(answer));
                continue;
            }
            let place = self.give_place(name, node, number, &to);
            if to.contains(&self.me) {
                self.enqueue(name, place);
            }
        }
    }

    /// Inserts a place in its room's order. Returns false if the place's term has ended.
    pub(super) fn enqueue(&mut self, name: &str, place: Place) -> bool {
        let room = self.orders.room_mut(name);
        if place.term < room.term {
            return false;
        }
        if let Some(message) = room.messages.get_mut(&(place.node, place.number)) {
            message.is_placed = true;
        }
        // Late places from an earlier term precede those of the term that waits for them.
        let at = room.places.partition_point(|other| other.term <= place.term);
        room.places.insert(at, place);
        true
    }

    /// Handles the restart of a peer's stream. Places in lost frames are unknown afterwards.
    pub(in crate::cluster) fn order_stream_lost(&mut self, node: NodeId) {
        let messages = self.orders.rooms.values_mut().flat_map(|room| room.messages.values_mut());
        let own = messages.filter_map(|message| message.own.as_mut());
        own.filter(|own| own.holder == Some(node)).for_each(|own| own.may_have_place = true);
    }

    /// Handles the loss of a peer after its members have left. If the peer announced its stop, its
    /// pending messages may still get places, and the submissions that it held as a home have not got
    /// any.
    pub(in crate::cluster) fn order_peer_gone(&mut self, node: NodeId, reason: GoneReason) {
        let me = self.me;
        let names: Vec<Box<str>> = self.orders.rooms.keys().cloned().collect();
        for name in names {
            let room = self.orders.room_mut(&name);
            if reason != GoneReason::Bye {
                // Do not call `lose`: the members of the dead node leave, which already shows the
                // loss.
                for number in room.numbers_of(node, u64::MAX) {
                    room.remove(node, number);
                    room.pass(node, number);
                }
                room.submissions.retain(|submission| submission.node != node);
            }
            room.promised.remove(&node);
            let mut lost = Vec::new();
            for ((_, number), message) in room.messages.range_mut((me, 0)..=(me, u64::MAX)) {
                let Some(own) = &mut message.own else { continue };
                if own.holder != Some(node) || message.is_placed {
                    continue;
                }
                match reason {
                    GoneReason::Bye if !own.may_have_place => own.holder = None,
                    _ => lost.push(*number),
                }
            }
            for number in lost {
                self.lose(&name, me, number);
            }
        }
    }
}

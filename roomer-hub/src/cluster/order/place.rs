//! Handles peers' items about ordered rooms, and places messages in rooms whose home is this node.

use std::time::Duration;

use bytes::Bytes;
use roomer_proto::cluster::{Item, NodeId, OrderItem};

use super::{Message, Place, Term};
use crate::cluster::stream::last;
use crate::cluster::{Cluster, GoneCause, ResetCause};

impl Cluster {
    /// Applies an item of a peer's stream, the last of `bytes`.
    pub(in crate::cluster) fn order_item(
        &mut self,
        from: NodeId,
        item: &OrderItem<'_>,
        bytes: &Bytes,
    ) -> Result<(), ResetCause> {
        match *item {
            OrderItem::Message { number, except, ref packet } => {
                if let Some(peer) = self.peers.get_mut(&from) {
                    peer.ordered = number;
                }
                let message = Message {
                    age: Duration::ZERO,
                    except,
                    packet: last(bytes, packet),
                    is_placed: false,
                    own: None,
                };
                let room = self.orders.room_mut(packet.room);
                let is_late = room.is_passed(from, number);
                // Also a late one, since `lose` reports what it removes.
                room.insert(from, number, message);
                if is_late {
                    self.lose(packet.room, from, number);
                }
            }
            OrderItem::Submit { room: name, number, epoch, home, is_final, to } => {
                let room = self.orders.room_mut(name);
                room.knows(Term { epoch, home });
                match self.successor(name).filter(|_| !is_final) {
                    Some(home) => {
                        let answer = OrderItem::Return { room: name, number, home };
                        self.push_to(from, &Item::Order(answer));
                    }
                    None => {
                        let room = self.orders.room_mut(name);
                        // A repeated request has its answer already.
                        if room.placed.get(&from).is_some_and(|placed| number <= *placed) {
                            return Ok(());
                        }
                        let to: Vec<NodeId> = to.iter().collect();
                        let place = self.give_place(name, from, number, &to);
                        if to.contains(&self.me) {
                            self.enqueue(name, place);
                        }
                    }
                }
            }
            OrderItem::Place { room: name, node, number, epoch } => {
                let term = Term { epoch, home: from };
                let place = Place { term, node, number, age: Duration::ZERO };
                if self.orders.room_mut(name).knows(term) {
                    // The home may have sent the place only to this node before it died.
                    self.tell_term(name, term);
                }
                if !self.enqueue(name, place) {
                    let Term { epoch, home } = self.orders.room_mut(name).term;
                    self.push_to(from, &Item::Order(OrderItem::Term { room: name, epoch, home }));
                    // No other home gives it a place.
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
                self.orders.room_mut(name).knows(Term { epoch, home });
            }
            // This item belongs to the start of a stream.
            _ => return Err(ResetCause::Malformed),
        }
        Ok(())
    }

    /// Applies an item at the start of a peer's stream.
    pub(in crate::cluster) fn order_state(
        &mut self,
        from: NodeId,
        item: &OrderItem<'_>,
    ) -> Result<(), ResetCause> {
        match *item {
            OrderItem::Since { number } => {
                let peer = self.peers.get_mut(&from);
                peer.into_iter().for_each(|peer| peer.ordered = peer.ordered.max(number));
            }
            OrderItem::Term { room: name, epoch, home } if name.len() <= self.config.max_name => {
                self.orders.room_mut(name).knows(Term { epoch, home });
            }
            _ => return Err(ResetCause::Malformed),
        }
        Ok(())
    }

    /// Gives a message the next place of its room, and sends it to the receivers and the message's
    /// node.
    pub(super) fn give_place(
        &mut self,
        name: &str,
        node: NodeId,
        number: u64,
        to: &[NodeId],
    ) -> Place {
        let (me, forgotten) = (self.me, self.orders.forgotten);
        let room = self.orders.room_mut(name);
        room.placed.insert(node, number);
        let is_new = room.known.home != me;
        if is_new {
            room.known = Term { epoch: room.known.epoch.max(forgotten) + 1, home: me };
        }
        let term = room.known;
        let place = OrderItem::Place { room: name, node, number, epoch: term.epoch };
        for node in to.iter().chain([&node]).filter(|node| **node != me) {
            self.push_to(*node, &Item::Order(place));
        }
        // After the places, from which their receivers learn the term and pass it on.
        if is_new {
            self.tell_term(name, term);
        }
        Place { term, node, number, age: Duration::ZERO }
    }

    /// Reports a term to all peers: any of them may be the next home, which has to begin a later
    /// one.
    fn tell_term(&mut self, room: &str, Term { epoch, home }: Term) {
        self.push_to_all(&Item::Order(OrderItem::Term { room, epoch, home }));
    }

    /// Adds a place to those of its room. Returns false if its term is over.
    pub(super) fn enqueue(&mut self, name: &str, place: Place) -> bool {
        let room = self.orders.room_mut(name);
        if place.term < room.term {
            return false;
        }
        if let Some(message) = room.messages.get_mut(&(place.node, place.number)) {
            message.is_placed = true;
        }
        // Late places of the previous term are inserted before those of a term that waits for them.
        let at = room.places.partition_point(|other| other.term <= place.term);
        room.places.insert(at, place);
        true
    }

    /// Handles the restart of a peer's stream: the places in the lost frames are unknown.
    pub(in crate::cluster) fn order_stream_lost(&mut self, node: NodeId) {
        let messages = self.orders.rooms.values_mut().flat_map(|room| room.messages.values_mut());
        let own = messages.filter_map(|message| message.own.as_mut());
        own.filter(|own| own.holder == Some(node)).for_each(|own| own.may_have_place = true);
    }

    /// Handles the end of a peer, whose members have left. If it announced its stop, its waiting messages
    /// may still get their places, and it has placed no message that it still held as a home.
    pub(in crate::cluster) fn order_peer_gone(&mut self, node: NodeId, why: GoneCause) {
        let me = self.me;
        let names: Vec<Box<str>> = self.orders.rooms.keys().cloned().collect();
        for name in names {
            let room = self.orders.room_mut(&name);
            if why != GoneCause::Bye {
                // Without `lose`: the members of a dead node leave, which shows the loss.
                for number in room.numbers_of(node, u64::MAX) {
                    room.remove(node, number);
                    room.pass(node, number);
                }
            }
            let mut lost = Vec::new();
            for ((_, number), message) in room.messages.range_mut((me, 0)..=(me, u64::MAX)) {
                let Some(own) = &mut message.own else { continue };
                if own.holder != Some(node) || message.is_placed {
                    continue;
                }
                match why {
                    GoneCause::Bye if !own.may_have_place => own.holder = None,
                    _ => lost.push(*number),
                }
            }
            for number in lost {
                self.lose(&name, me, number);
            }
        }
    }
}

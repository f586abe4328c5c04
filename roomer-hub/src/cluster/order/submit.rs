//! Sending this node's own ordered messages, and submitting them to a room's home.

use std::cmp::Reverse;
use std::time::Duration;

use bytes::Bytes;
use roomer_proto::cluster::{Item, NodeId, Nodes, OrderItem};
use roomer_proto::extended::MEMBERS;
use roomer_proto::{ConnId, PacketRef, is_built_in};

use super::{Message, Own, Room, Term};
use crate::cluster::Cluster;
#[cfg(doc)]
use crate::cluster::Config;
use crate::tables::Tables;

impl Cluster {
    /// Returns true if a broadcast caused by a client or the application is a message to a room
    /// with a total order, and not a notice. The driver must pass such a message to
    /// [`submit`](Self::submit) instead of sending it to the members.
    #[must_use]
    pub fn is_ordered_message(&self, packet: &PacketRef<'_>) -> bool {
        let is_notice = is_built_in(packet.event) || packet.event == MEMBERS;
        !is_notice && self.is_ordered(packet.room)
    }

    /// Returns true if a room has a total message order.
    #[must_use]
    pub fn is_ordered(&self, room: &str) -> bool {
        self.orders.includes(room)
    }

    /// Returns the number of messages waiting for a place in their room's order.
    #[must_use]
    pub fn waiting_messages(&self) -> usize {
        self.orders.rooms.values().map(|room| room.messages.len()).sum()
    }

    /// Sends one of this node's messages to a room with a total order. `tables` are the hub's
    /// tables; `except` is a connection that should not receive the message.
    ///
    /// Returns true if this node is the room's home and nothing is pending there: the driver must
    /// then send the message to this node's members immediately. Otherwise, an
    /// [`Effect::Ordered`](crate::cluster::Effect::Ordered) follows once the message has its place.
    /// A message above [`Config::max_packet`], which peers would reject, is dropped and counted
    /// ([`Statistics::unsendable`](crate::cluster::Statistics::unsendable)).
    pub fn submit(
        &mut self,
        now: Duration,
        tables: &Tables,
        except: Option<ConnId>,
        packet: PacketRef<'_>,
    ) -> bool {
        self.now = now;
        if packet.encoded_len() > self.config.max_packet + packet.src.len() {
            self.statistics.unsendable += 1;
            return false;
        }
        // All rooms share one counter, so a receiver can tell which messages in a stream it has
        // already passed.
        self.orders.number += 1;
        let number = self.orders.number;
        let name = packet.room;
        // Send the message immediately, even if it cannot be submitted yet: if it never gets a
        // place, the receivers can report the loss.
        let to = self.receivers(tables, name);
        for node in &to {
            self.push_to(*node, &Item::Order(OrderItem::Message { number, except, packet }));
        }
        if self.is_home_at_rest(name, &to) {
            let place = self.give_place(name, self.me, number, &to);
            let room = self.orders.room_mut(name);
            room.pass(place.node, number);
            room.term = place.term;
            return true;
        }
        let mut bytes = Vec::with_capacity(packet.encoded_len());
        if packet.encode(&mut bytes).is_err() {
            return false;
        }
        let message = Message {
            age: Duration::ZERO,
            except,
            packet: bytes.into(),
            is_placed: false,
            own: Some(Own { to, ..Own::default() }),
        };
        let me = self.me;
        self.orders.room_mut(name).insert(me, number, message);
        self.submit_waiting(name);
        false
    }

    /// Returns true if this node may place and deliver its own message immediately.
    fn is_home_at_rest(&self, name: &str, to: &[NodeId]) -> bool {
        let is_home = self.is_formed(self.now) && self.home(name) == self.me;
        if !is_home || self.successor(name).is_some() || !self.reaches(to, Duration::ZERO) {
            return false;
        }
        // A room without an entry has nothing pending.
        let (unused, term) = (Room::default(), self.own_term(name));
        let room = self.orders.rooms.get(name).unwrap_or(&unused);
        let has_own = room.messages.range((self.me, 0)..=(self.me, u64::MAX)).next().is_some();
        !has_own && room.places.is_empty() && !self.may_have_earlier(room, term, Duration::ZERO)
    }

    /// Returns the peers that have members in a room and receive a stream from this node.
    fn receivers(&self, tables: &Tables, name: &str) -> Vec<NodeId> {
        let peers = tables.find_room(name).map(|room| tables.peers(room));
        let nodes =
            peers.iter().flat_map(|peers| peers.iter()).filter_map(|peer| self.peer_node(peer));
        nodes
            .filter(|node| self.peers.get(node).is_some_and(|peer| peer.outgoing.is_some()))
            .collect()
    }

    /// Submits those of this node's messages to a room that no node holds, in order, as far as
    /// currently possible.
    pub(super) fn submit_waiting(&mut self, name: &str) {
        let me = self.me;
        loop {
            let Some(room) = self.orders.rooms.get(name) else { return };
            let mut own = room.messages.range((me, 0)..=(me, u64::MAX)).filter_map(
                |((_, number), message)| {
                    let own = message.own.as_ref().filter(|_| !message.is_placed)?;
                    Some((*number, own))
                },
            );
            let mut pending = Vec::new();
            let next = own.by_ref().find(|(_, own)| {
                pending.extend(own.holder.map(|holder| (holder, own.term)));
                own.holder.is_none()
            });
            let Some((number, own_message)) = next else { return };
            // The old home has not returned all the messages that it holds.
            if own.any(|(_, own)| own.holder.is_some()) {
                return;
            }
            let age =
                room.messages.get(&(me, number)).map_or(Duration::ZERO, |message| message.age);
            let hint = own_message.hint;
            // If the named home has died since then, it cannot assign a place.
            let named = hint.filter(|hint| self.has_other_home(*hint) || *hint == me);
            let target = named.unwrap_or_else(|| self.home(name));
            // If this home yields, its own messages go to the successor too.
            let successor = self.successor(name).filter(|_| hint.is_none() && target == me);
            let is_final = hint.is_some() || successor.is_some();
            let target = successor.unwrap_or(target);
            // Two homes could place one sender's messages in either order. If a home returns an
            // earlier message, it also returns this one only if both were submitted in the same
            // term.
            let submitted = (target, room.known);
            if pending.iter().any(|before| *before != submitted || successor.is_some()) {
                return;
            }
            // A receiver that has stopped needs no place. The home may not know of it, and would
            // then wait for it.
            let to = own_message.to.iter().copied();
            let to: Vec<NodeId> = to.filter(|node| !self.ended.contains_key(node)).collect();
            let is_ready = match target == me {
                // Until it is formed, this node may not have found the home yet, and could
                // contradict it.
                true => self.is_formed(self.now) && self.reaches(&to, age),
                false => !self.is_quiet(target) && self.has_confirmed(target),
            };
            if !is_ready {
                return;
            }
            if let Some(successor) = successor {
                self.yield_to(name, successor, Term::default());
            }
            let term = self.orders.known(name);
            if target == me {
                let place = self.give_place(name, me, number, &to);
                self.enqueue(name, place);
            } else {
                let nodes: Vec<[u8; 8]> = to.iter().map(|node| node.0.to_be_bytes()).collect();
                let submit = OrderItem::Submit {
                    room: name,
                    number,
                    epoch: term.epoch,
                    home: term.home,
                    is_final,
                    to: Nodes::new(&nodes),
                };
                self.push_to(target, &Item::Order(submit));
            }
            let message = self.orders.room_mut(name).messages.get_mut(&(me, number));
            let Some(own) = message.and_then(|message| message.own.as_mut()) else { return };
            *own = Own { to, holder: Some(target), term, hint: None, may_have_place: false };
        }
    }

    /// Drops a room's oldest messages if too many bytes are pending.
    pub(super) fn bound_messages(&mut self, name: &str) {
        loop {
            let most = self.config.backlog_bytes;
            let Some(room) = self.orders.rooms.get(name).filter(|room| room.bytes > most) else {
                return;
            };
            let unplaced = room.messages.iter().filter(|(_, message)| !message.is_placed);
            // Among messages of the same age, take the one with the lowest number, since dropping a
            // message also drops the earlier ones from its node.
            let oldest =
                unplaced.max_by_key(|((_, number), message)| (message.age, Reverse(*number)));
            let Some(((node, number), _)) = oldest else { return };
            self.lose(name, *node, *number);
            self.statistics.unplaced += 1;
        }
    }
}

/// Decodes a message's packet, which was validated when it arrived.
pub(super) fn decode(packet: &Bytes) -> PacketRef<'_> {
    PacketRef::decode(packet).unwrap_or_default()
}

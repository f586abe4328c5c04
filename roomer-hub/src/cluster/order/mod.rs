//! Rooms whose messages have one order on all nodes ([`Order::Room`](crate::Order::Room)).
//!
//! # Message, submission, place
//!
//! A message goes from its sender's node to each node with members of the room, as in any other room, and
//! waits there. The sender's node submits its number to the room's *home*, one of the live nodes, which
//! answers all receivers, including the sender's node, with its *place*: the next message of this room is
//! number 7 of node A. A node delivers the messages of a room in the order of the places.
//!
//! # Terms
//!
//! A home gives places in a *term*, an epoch with its own number. It starts a term with a higher epoch than
//! any that it or the submitting node knows, when another node was the room's home before. A node never
//! delivers a place of a lower term than the one before. So two nodes that both consider themselves the
//! home, as in two halves of a network, cannot give two members different orders: of two places that
//! contradict each other, each node delivers one and shows the other message as lost.
//!
//! A place below a term that its receiver knows is a loss, so the next home has to know all terms before its
//! own. The home that begins a term reports it to all nodes, as does each node to which a place is the first
//! sign of a term, and streams start with the known terms. A node that has forgotten a room, which has had no
//! members for some time, begins its next term above all that it has forgotten.
//!
//! # The home
//!
//! The home is the node with the highest hash of room and node among the live ones. Nodes learn of each
//! other at different moments, so a node that has just started does not count for its first seconds:
//! first the current home returns submissions, including those of its own node, and names the new home;
//! later, when no other node still gives places, the others submit to the new home at once. A place of
//! a new term waits for the last places of the term before, if the home of that one still lives.
//!
//! # At most one place
//!
//! A submission is with one home at a time. Its node takes it to another one if the home has returned it, or
//! has announced its stop, after which it places nothing, and none of its places was in a frame that this
//! node has not received. If a home dies, its submissions are lost: another home could give them a second,
//! contradicting place.
//!
//! # Losses
//!
//! A message is lost on a node if its place does not come within
//! [`Config::dead_after`](super::Config::dead_after), if a later message of its node is placed first, if the
//! home dies, or if its place is of a term that is over. [`Loss`](super::Loss) determines what clients see
//! of it.

mod deliver;
mod place;
mod submit;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use roomer_proto::ConnId;
use roomer_proto::cluster::{Item, NodeId, OrderItem};

use super::outgoing::{Outgoing, Sealing};
use crate::config::{Order, RoomPattern};

/// The rooms with one order, and the messages and places that wait in them.
#[derive(Debug, Default)]
pub(super) struct Orders {
    patterns: Vec<(RoomPattern, Order)>,
    /// The number of this node's last message, over all rooms.
    number: u64,
    rooms: BTreeMap<Box<str>, Room>,
    /// The highest epoch of a room that was forgotten. Others may remember it, so new terms begin above.
    forgotten: u64,
    /// The rooms in which something may be due.
    dirty: BTreeSet<Box<str>>,
}

/// The time in which a node was a room's home. Terms are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Term {
    epoch: u64,
    home: NodeId,
}

impl Default for Term {
    /// Returns the term before any other, which has no home.
    fn default() -> Self {
        Term { epoch: 0, home: NodeId(0) }
    }
}

/// One room. Kept for as long as it has members on any node, and for as long after as places may be
/// under way.
#[derive(Debug, Default)]
struct Room {
    /// The term of the last place that was delivered.
    term: Term,
    /// The highest known term.
    known: Term,
    /// The messages that were not delivered, by node and number.
    messages: BTreeMap<(NodeId, u64), Message>,
    /// The bytes of their packets.
    bytes: usize,
    /// The places that were not delivered, in order.
    places: VecDeque<Place>,
    /// The number of each node's last message that was delivered or given up.
    delivered: BTreeMap<NodeId, u64>,
    /// The number of each node's last message to which this node has given a place.
    placed: BTreeMap<NodeId, u64>,
    /// The time for which it has been without members.
    unused: Duration,
}

/// A message that waits for its place, or for messages placed before it.
#[derive(Debug)]
struct Message {
    /// The time since it arrived, counted while this node was awake.
    age: Duration,
    except: Option<ConnId>,
    packet: Bytes,
    /// True if its place has arrived, and waits as well.
    is_placed: bool,
    /// Present if it is this node's own message.
    own: Option<Own>,
}

/// The state of an own message.
#[derive(Debug)]
struct Own {
    /// The nodes that the message was sent to.
    to: Vec<NodeId>,
    /// The holder: the node that it is submitted to.
    holder: Option<NodeId>,
    /// The home that the last holder has named.
    hint: Option<NodeId>,
    /// True if the holder's stream has started over since: it may have had the message's place.
    may_have_place: bool,
}

/// A place that waits for its message, for the places before, or for the end of an earlier term.
#[derive(Clone, Copy, Debug)]
struct Place {
    term: Term,
    node: NodeId,
    number: u64,
    age: Duration,
}

impl Orders {
    pub(super) fn new(patterns: &[(String, Order)]) -> Self {
        let patterns =
            patterns.iter().map(|(pattern, order)| (RoomPattern::new(pattern), *order)).collect();
        Orders { patterns, ..Orders::default() }
    }

    /// Returns true if the messages of a room have one order on all nodes.
    fn includes(&self, room: &str) -> bool {
        let first = self.patterns.iter().find(|(pattern, _)| pattern.matches(room));
        first.is_some_and(|(_, order)| *order == Order::Room)
    }

    /// Appends to the start of a stream the number of the last message of earlier streams, and the
    /// known terms, so that the homes in two halves of a network do not contradict each other.
    pub(super) fn send_state(&self, outgoing: &mut Outgoing, sealing: &Sealing) {
        let terms = self.rooms.iter().map(|(name, room)| (name, room.known));
        for (room, Term { epoch, home }) in terms.filter(|(_, term)| term.epoch > 0) {
            outgoing.push(&Item::Order(OrderItem::Term { room, epoch, home }), sealing);
        }
        if self.number > 0 {
            let number = self.number;
            outgoing.push(&Item::Order(OrderItem::Since { number }), sealing);
        }
    }

    /// Returns a room for a change, after which something may be due in it.
    fn room_mut(&mut self, name: &str) -> &mut Room {
        if !self.dirty.contains(name) {
            self.dirty.insert(name.into());
        }
        self.rooms.entry(name.into()).or_default()
    }
}

impl Room {
    fn insert(&mut self, node: NodeId, number: u64, mut message: Message) {
        // The place may have come first: it takes another way, by the home.
        message.is_placed = self.places.iter().any(|place| place.is_of(node, number));
        self.bytes += message.packet.len();
        self.messages.insert((node, number), message);
    }

    fn remove(&mut self, node: NodeId, number: u64) -> Option<Message> {
        let message = self.messages.remove(&(node, number))?;
        self.bytes -= message.packet.len();
        Some(message)
    }

    /// Returns the numbers of the messages of a node below `below`.
    fn numbers_of(&self, node: NodeId, below: u64) -> Vec<u64> {
        // Copied, since the caller removes them one by one.
        self.messages.range((node, 0)..(node, below)).map(|((_, number), _)| *number).collect()
    }

    /// Records that no more messages of a node up to this number will be delivered.
    fn pass(&mut self, node: NodeId, number: u64) {
        // The number must never go back, in whatever order messages are given up.
        let passed = self.delivered.entry(node).or_default();
        *passed = number.max(*passed);
    }

    fn is_passed(&self, node: NodeId, number: u64) -> bool {
        self.delivered.get(&node).is_some_and(|passed| number <= *passed)
    }

    /// Records a term. Returns true if it is later than all known ones.
    fn knows(&mut self, term: Term) -> bool {
        let is_new = self.known < term;
        self.known = self.known.max(term);
        is_new
    }
}

impl Place {
    fn is_of(&self, node: NodeId, number: u64) -> bool {
        self.node == node && self.number == number
    }
}

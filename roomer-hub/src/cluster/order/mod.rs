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
//! A home gives places in a *term*: an epoch, and its own number. Terms are ordered. It begins a term with a
//! higher epoch than any that it knows when another node was the room's home before. Each node delivers places in
//! the order of their terms, and within a term in the order in which its home has given them. So two nodes that
//! both consider themselves the home, as in two halves of a network, cannot give two members different orders:
//! a place of a lower term than the last one is refused, and its message is shown as lost.
//!
//! That must not happen without a fault, however the homes change. So each node announces to all others
//! each term that it learns of. An announcement is a promise: the node gives no place in an earlier term.
//! It follows all its earlier places in its stream. Before a node delivers the first place of a term, it
//! waits until each live node has promised that. Then no place of an earlier term can arrive, whichever
//! nodes considered themselves the home, and however long frames take. The wait has a bound, for nodes that
//! hang.
//!
//! Streams start with the known terms. A node that has forgotten a room, which has had no members for some
//! time, begins its next term above all that it has forgotten.
//!
//! # The home
//!
//! The home is that of the highest known term while it lives. Otherwise, it is the node with the highest
//! hash of room and node among the live ones that are not too young. A home that finds that another node
//! should be the home *yields*: it begins a term for that node, announces it, and returns submissions.
//!
//! # At most one place
//!
//! A submission is with one node at a time. Its node takes it to another one if the first one has returned it, or
//! has announced its stop, after which it places nothing, and none of its places was in a frame that this
//! node has not received. If a home dies, its submissions are lost: another home could give them a second,
//! contradicting place.
//!
//! Messages of one node are placed in its order. So a node that returns a submission also returns all later ones
//! that were made before their node knew of it, which shows in the term of the submission. That node submits
//! nothing again while a later message of it is with the old home, and nothing new in another term than its
//! messages that wait for an answer.
//!
//! A place reaches a node only in a stream whose start the node has confirmed. So a home gives no place before it
//! has confirmed streams to all receivers.
//!
//! # Losses
//!
//! A message is lost on a node if its place does not come within
//! [`Config::dead_after`](super::Config::dead_after), if a later message of its node is placed first, if the
//! home dies, or if its place is of a term that is over. [`Loss`](super::Loss) determines what clients see
//! of it.

mod deliver;
mod home;
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
    /// The term with which this node last returned a submission.
    yielded: Term,
    /// The highest term that each peer has announced.
    promised: BTreeMap<NodeId, Term>,
    /// The submissions of peers to this node that wait for a place.
    submissions: VecDeque<Submission>,
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
#[derive(Debug, Default)]
struct Own {
    /// The nodes that the message was sent to.
    to: Vec<NodeId>,
    /// The holder: the node that it is submitted to.
    holder: Option<NodeId>,
    /// The highest known term when it was submitted.
    term: Term,
    /// The home that the last holder has named.
    hint: Option<NodeId>,
    /// True if the holder's stream has started over since: it may have had the message's place.
    may_have_place: bool,
}

/// A peer's request for a place.
#[derive(Clone, Debug)]
struct Submission {
    node: NodeId,
    number: u64,
    /// The highest term that the peer knew.
    term: Term,
    /// True if another node has named this one as the home.
    is_final: bool,
    to: Vec<NodeId>,
    age: Duration,
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

    /// Returns the highest known term of a room.
    fn known(&self, room: &str) -> Term {
        self.rooms.get(room).map(|room| room.known).unwrap_or_default()
    }

    /// Returns the first term of a node after another term.
    fn term_after(&self, known: Term, home: NodeId) -> Term {
        Term { epoch: known.epoch.max(self.forgotten) + 1, home }
    }

    /// Records that something may be due in any room in which something waits.
    pub(super) fn wake(&mut self) {
        let waiting = self.rooms.iter().filter(|(_, room)| !room.is_empty());
        self.dirty.extend(waiting.map(|(name, _)| name.clone()));
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

    /// Returns true if nothing waits.
    fn is_empty(&self) -> bool {
        self.places.is_empty() && self.messages.is_empty() && self.submissions.is_empty()
    }
}

impl Place {
    fn is_of(&self, node: NodeId, number: u64) -> bool {
        self.node == node && self.number == number
    }
}

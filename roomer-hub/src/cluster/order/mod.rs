//! Rooms with a total message order across all nodes ([`Order::Room`]).
//!
//! # Message, submission, place
//!
//! As in any other room, a message travels from its sender's node to each node with members in the
//! room, where it is held. The sender's node submits the message's number to the room's *home*, one
//! of the live nodes. The home answers all receivers, including the sender's node, with the
//! message's *place*: "the next message of this room is number 7 of node A". Each node delivers a
//! room's messages in the order of their places.
//!
//! # Terms
//!
//! A home assigns places in a *term*, which consists of an epoch and the home's id. Terms are totally
//! ordered. When a node takes over from another home, it starts a term with a higher epoch than any
//! known to it. Each node delivers places in the order of their terms, and within a term in the order
//! in which the home assigned them. If two nodes both consider themselves the home, as in the halves
//! of a partitioned network, they cannot deliver conflicting orders to two members: a place from a
//! lower term than the last delivered one is rejected, and its message is reported as lost.
//!
//! Without a fault, this rejection must never occur, however the homes change. Each node therefore
//! announces every term that it learns of to all others. The announcement is a promise to assign no
//! more places in earlier terms, and in the node's stream it follows all such places. Before
//! delivering the first place of a term, a node waits until every live node has made this promise.
//! After that, no place of an earlier term can arrive, whichever nodes considered themselves the
//! home, and however long frames take. The wait is bounded, in case a node hangs.
//!
//! A stream starts with the terms that the sender knows. If a node has discarded the state of a
//! room that had no members for some time, it starts its next term above all epochs that it has
//! discarded.
//!
//! # The home
//!
//! The home in the highest known term stays the home while it is alive. Otherwise, the home is the
//! node with the highest hash of room and node among the live nodes that are old enough. If a home
//! finds that another node should be the home, it *yields*: it starts a term for that node,
//! announces the term, and returns submissions.
//!
//! # At most one place
//!
//! A submission is held by one node at a time. The sender's node submits the message elsewhere only
//! if the holder has returned it, or if the holder has announced its stop (after which it assigns
//! no places) and no frame that might contain the place is missing. If a home dies, its submissions
//! are lost, since another home could assign them a second, conflicting place.
//!
//! One node's messages are placed in its send order. A node that returns a submission therefore
//! also returns all later ones that the sender's node made before it knew of the return, which
//! their terms show. The sender's node does not resubmit a message while the old home holds a later
//! one. While messages of one term wait for an answer, it submits no new message in another term.
//!
//! A place reaches a node only within a stream whose start that node has acknowledged. Therefore, a
//! home assigns a place only once all receivers have acknowledged their streams. A submission does not
//! name receivers that have announced their stop, since a later home may never have known them.
//!
//! # Losses
//!
//! A message is lost on a node if its place does not arrive within
//! [`Config::dead_after`](super::Config::dead_after), if a later message from the same node is
//! placed first, if the home dies, or if its place belongs to a term that has ended.
//! [`Loss`](super::Loss) determines how the loss is signalled to clients.

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

/// All rooms with a total order, with their pending messages and places.
#[derive(Debug, Default)]
pub(super) struct Orders {
    patterns: Vec<(RoomPattern, Order)>,
    /// The number of this node's last message, counted over all rooms.
    number: u64,
    rooms: BTreeMap<Box<str>, Room>,
    /// The highest epoch among rooms whose state was discarded. Other nodes may still use it, so
    /// this node starts new terms above it.
    forgotten: u64,
    /// The rooms that may have work to do.
    dirty: BTreeSet<Box<str>>,
}

/// A period in which one node is a room's home. Terms are totally ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Term {
    epoch: u64,
    home: NodeId,
}

impl Default for Term {
    /// Returns the lowest term, which has no home.
    fn default() -> Self {
        Term { epoch: 0, home: NodeId(0) }
    }
}

/// The state of one room, kept while the room has members on any node, and then until no places can
/// be in flight.
#[derive(Debug, Default)]
struct Room {
    /// The last delivered place's term.
    term: Term,
    /// The highest known term.
    known: Term,
    /// The term in which this node last returned a submission.
    yielded: Term,
    /// The highest term announced by each peer.
    promised: BTreeMap<NodeId, Term>,
    /// Submissions from peers that do not have a place yet.
    submissions: VecDeque<Submission>,
    /// Messages not delivered yet, by node and number.
    messages: BTreeMap<(NodeId, u64), Message>,
    /// The total size of the packets in `messages`.
    bytes: usize,
    /// Places not delivered yet, in order.
    places: VecDeque<Place>,
    /// For each node, the number of its last message delivered or given up.
    delivered: BTreeMap<NodeId, u64>,
    /// For each node, the number of its last message placed by this node.
    placed: BTreeMap<NodeId, u64>,
    /// The time for which the room has been without members.
    unused: Duration,
}

/// A message that waits for its place, or for messages placed before it.
#[derive(Debug)]
struct Message {
    /// The time since the message arrived, not counting suspensions of this node.
    age: Duration,
    except: Option<ConnId>,
    packet: Bytes,
    /// True if the message's place is known.
    is_placed: bool,
    /// The additional state of a message from this node; `None` for a message from a peer.
    own: Option<Own>,
}

/// The state of one of this node's own messages.
#[derive(Debug, Default)]
struct Own {
    /// The nodes that the message was sent to.
    to: Vec<NodeId>,
    /// The node that currently holds the submission.
    holder: Option<NodeId>,
    /// The highest known term when the message was submitted.
    term: Term,
    /// The home named by the last holder when that holder returned the submission.
    hint: Option<NodeId>,
    /// True if the holder's stream has restarted since the submission. The message may then have a
    /// place that this node has not received.
    may_have_place: bool,
}

/// A peer's request for a place.
#[derive(Clone, Debug)]
struct Submission {
    node: NodeId,
    number: u64,
    /// The highest term known to the peer.
    term: Term,
    /// True if another node has named this one as the home.
    is_final: bool,
    to: Vec<NodeId>,
    age: Duration,
}

/// A place that waits for its message, for earlier places, or for the end of an earlier term.
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

    /// Returns true if a room has a total message order.
    fn includes(&self, room: &str) -> bool {
        let first = self.patterns.iter().find(|(pattern, _)| pattern.matches(room));
        first.is_some_and(|(_, order)| *order == Order::Room)
    }

    /// Appends the state for the start of a stream: the known terms, and the last message number in
    /// earlier streams. The terms keep homes in two halves of a partitioned network from
    /// contradicting each other.
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

    /// Returns a room's highest known term.
    fn known(&self, room: &str) -> Term {
        self.rooms.get(room).map(|room| room.known).unwrap_or_default()
    }

    /// Returns the first term of `home` after `known`.
    fn term_after(&self, known: Term, home: NodeId) -> Term {
        Term { epoch: known.epoch.max(self.forgotten) + 1, home }
    }

    /// Marks all rooms with pending messages, places or submissions as dirty.
    pub(super) fn wake(&mut self) {
        let waiting = self.rooms.iter().filter(|(_, room)| !room.is_empty());
        self.dirty.extend(waiting.map(|(name, _)| name.clone()));
    }

    /// Returns a room for modification, and marks it dirty.
    fn room_mut(&mut self, name: &str) -> &mut Room {
        if !self.dirty.contains(name) {
            self.dirty.insert(name.into());
        }
        self.rooms.entry(name.into()).or_default()
    }
}

impl Room {
    fn insert(&mut self, node: NodeId, number: u64, mut message: Message) {
        // The place may have arrived first, since it takes a different path (through the home).
        message.is_placed = self.places.iter().any(|place| place.is_of(node, number));
        self.bytes += message.packet.len();
        self.messages.insert((node, number), message);
    }

    fn remove(&mut self, node: NodeId, number: u64) -> Option<Message> {
        let message = self.messages.remove(&(node, number))?;
        self.bytes -= message.packet.len();
        Some(message)
    }

    /// Returns the numbers of a node's pending messages below `below`.
    fn numbers_of(&self, node: NodeId, below: u64) -> Vec<u64> {
        // Copy the numbers, because the caller removes the messages.
        self.messages.range((node, 0)..(node, below)).map(|((_, number), _)| *number).collect()
    }

    /// Records that a node's messages up to this number will no longer be delivered.
    fn pass(&mut self, node: NodeId, number: u64) {
        // Never decrease the number, because messages may be dropped in any order.
        let passed = self.delivered.entry(node).or_default();
        *passed = number.max(*passed);
    }

    fn is_passed(&self, node: NodeId, number: u64) -> bool {
        self.delivered.get(&node).is_some_and(|passed| number <= *passed)
    }

    /// Returns true if no places, messages or submissions are pending.
    fn is_empty(&self) -> bool {
        self.places.is_empty() && self.messages.is_empty() && self.submissions.is_empty()
    }
}

impl Place {
    fn is_of(&self, node: NodeId, number: u64) -> bool {
        self.node == node && self.number == number
    }
}

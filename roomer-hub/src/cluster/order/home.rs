//! Choosing a room's home, yielding to another home, and deciding when a term has ended.

use std::time::Duration;

use roomer_proto::cluster::{Item, NodeId, OrderItem};

use super::{Place, Room, Term};
use crate::cluster::Cluster;
use crate::cluster::outgoing::Outgoing;

/// The conditions under which a node may become a home.
#[derive(Clone, Copy)]
struct Maturity {
    /// The minimum age in heartbeats.
    age: u32,
    /// Nodes whose age is within this many heartbeats of the oldest node's may become a home from
    /// their start.
    founders: u32,
}

/// For a room without a known home: the conditions under which a node that acts as the home yields
/// to another one. The difference between the ages here and in [`CHOSEN`] exceeds the typical error
/// in estimating another node's age, so usually only one node starts the first term.
const YIELDED: Maturity = Maturity { age: 2, founders: 2 };
/// For a room without a known home: the conditions under which other nodes submit to a node.
const CHOSEN: Maturity = Maturity { age: 4, founders: 1 };

/// The time for which a home may be silent, in heartbeats. After that, a node submits nothing to it
/// until another frame arrives from it.
const QUIET_BEATS: u32 = 2;

impl Cluster {
    /// Returns true if `home` is another node that is alive and whose members are visible.
    pub(super) fn has_other_home(&self, home: NodeId) -> bool {
        let peer = self.peers.get(&home).filter(|_| home != self.me);
        peer.is_some_and(|peer| peer.is_alive() && peer.key.is_some())
    }

    /// Returns the node to which a room's messages are submitted.
    pub(super) fn home(&self, name: &str) -> NodeId {
        let home = self.orders.known(name).home;
        let is_there = home == self.me || self.has_other_home(home);
        if is_there { home } else { self.preferred(name, CHOSEN) }
    }

    /// Returns the other node that should assign places in a room instead of this one, if there is
    /// one.
    pub(super) fn successor(&self, name: &str) -> Option<NodeId> {
        let home = self.orders.known(name).home;
        if self.has_other_home(home) {
            return Some(home);
        }
        let preferred = self.preferred(name, YIELDED);
        (preferred != self.me && !self.is_quiet(preferred)).then_some(preferred)
    }

    /// Returns the node with the highest hash among the nodes that are old enough.
    fn preferred(&self, room: &str, maturity: Maturity) -> NodeId {
        let (beat, now) = (self.config.beat, self.now);
        let others = self.peers.iter().filter(|(_, peer)| peer.is_alive() && peer.key.is_some());
        let others = others.map(|(node, peer)| (*node, peer.uptime(now)));
        let own = now.saturating_sub(self.started_at);
        let nodes = || others.clone().chain([(self.me, own)]);
        let oldest = nodes().map(|(_, uptime)| uptime).max().unwrap_or_default();
        let Maturity { age, founders } = maturity;
        let is_mature =
            |uptime: Duration| uptime >= beat * age || oldest < uptime + beat * founders;
        let mature = nodes().filter(|(_, uptime)| is_mature(*uptime)).map(|(node, _)| node);
        mature.max_by_key(|node| (self.hash.home(room, *node), *node)).unwrap_or(self.me)
    }

    /// Returns true if no frame has arrived from a peer for [`QUIET_BEATS`] heartbeats.
    pub(super) fn is_quiet(&self, node: NodeId) -> bool {
        let quiet = self.config.beat * QUIET_BEATS;
        self.peers.get(&node).is_none_or(|peer| peer.silence >= quiet)
    }

    /// Returns true if a peer has acknowledged the start of this node's stream to it.
    pub(super) fn has_confirmed(&self, node: NodeId) -> bool {
        let outgoing = self.peers.get(&node).and_then(|peer| peer.outgoing.as_ref());
        outgoing.is_some_and(Outgoing::is_confirmed)
    }

    /// Returns true if a place would reach all these nodes. A place sent before the start of a
    /// stream would be lost. `age` is the message's age, which bounds the wait.
    pub(super) fn reaches(&self, nodes: &[NodeId], age: Duration) -> bool {
        let mut others = nodes.iter().filter(|node| **node != self.me);
        others.all(|node| match self.peers.get(node) {
            // The peer may be so new that this node does not know it yet.
            None => self.ended.contains_key(node) || age >= self.config.beat,
            Some(peer) if !peer.is_alive() || self.is_quiet(*node) => true,
            Some(peer) => {
                let is_shown = peer.key.is_some();
                (is_shown && self.has_confirmed(*node)) || age >= self.config.dead_after
            }
        })
    }

    /// Records a term that a peer has announced. If the term is new, announces it to all peers,
    /// which promises that this node will assign no more places in earlier terms.
    pub(super) fn record_term(&mut self, name: &str, from: NodeId, term: Term) {
        let room = self.orders.room_mut(name);
        let promised = room.promised.entry(from).or_default();
        *promised = term.max(*promised);
        if room.known < term {
            room.known = term;
            self.send_term(name, term);
        }
    }

    /// Returns the term in which this node would assign the next place in a room.
    pub(super) fn own_term(&self, name: &str) -> Term {
        let known = self.orders.known(name);
        match known.home == self.me {
            true => known,
            false => self.orders.term_after(known, self.me),
        }
    }

    /// Makes another node the home, in a term after `submitted`, the term of a submission to this
    /// node. Returns the new term.
    pub(super) fn yield_to(&mut self, name: &str, home: NodeId, submitted: Term) -> Term {
        let known = self.orders.known(name);
        let is_new = known.home != home || known <= submitted;
        let term = if is_new { self.orders.term_after(known, home) } else { known };
        let room = self.orders.room_mut(name);
        (room.known, room.yielded) = (term, term);
        if is_new {
            self.send_term(name, term);
        }
        term
    }

    /// Assigns the next place in a room to a message, and sends the place to the receivers and
    /// the message's node.
    pub(super) fn give_place(
        &mut self,
        name: &str,
        node: NodeId,
        number: u64,
        to: &[NodeId],
    ) -> Place {
        let (me, term) = (self.me, self.own_term(name));
        let room = self.orders.room_mut(name);
        room.placed.insert(node, number);
        if room.known != term {
            room.known = term;
            self.send_term(name, term);
        }
        let place = OrderItem::Place { room: name, node, number, epoch: term.epoch };
        for node in to.iter().chain([&node]).filter(|node| **node != me) {
            self.push_to(*node, &Item::Order(place));
        }
        Place { term, node, number, age: Duration::ZERO }
    }

    fn send_term(&mut self, room: &str, Term { epoch, home }: Term) {
        self.push_to_all(&Item::Order(OrderItem::Term { room, epoch, home }));
    }

    /// Returns true if places of a term before `term` may still be in flight to this node, because
    /// a peer that could have assigned them has not announced `term` or a later term. `age` is the
    /// time for which a place of `term` has waited.
    pub(super) fn may_have_earlier(&self, room: &Room, term: Term, age: Duration) -> bool {
        if term == room.term {
            return false;
        }
        self.peers.iter().any(|(node, peer)| {
            let promised = room.promised.get(node).copied().unwrap_or_default();
            let may_give = *node != term.home && self.has_other_home(*node) && promised < term;
            // A node that was not the home most likely assigned no places, so wait for it less
            // long.
            let is_likely = *node == room.term.home || peer.incoming.has_gap();
            let wait = if is_likely { self.config.dead_after } else { self.config.beat };
            may_give && !self.is_quiet(*node) && age < wait
        })
    }
}

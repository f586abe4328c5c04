//! A client, and those checks of its packets that need only its own view.

use std::collections::{BTreeMap, BTreeSet};

use roomer_hub::ConnId;
use roomer_hub::cluster::Loss;
use roomer_proto::cluster::NodeId;

use super::expected::{Expected, Sender};
use super::infos::Infos;
use super::plan::{ROOMS, Setup};
use crate::fault::{Fault, ensure};

/// The number of rooms with full presence. Clients receive the member lists of these rooms.
pub const FULL: usize = 3;

/// A client, its view of the rooms, and the state needed to check the packets that it receives.
#[derive(Debug)]
pub struct Client {
    pub id: ConnId,
    pub node: usize,
    pub is_open: bool,
    /// The client's serial number among all clients of the plan.
    pub number: usize,
    pub is_extended: bool,
    /// The number of the client's current info.
    pub info: u32,
    /// True if the client has lost its socket. The model still passes it all packets, as the real
    /// server would on its next socket.
    pub is_away: bool,
    /// If this client is extended, the info of the other members of its rooms.
    pub infos: Infos,
    /// For each room, the members that this client shows as away, if it is extended.
    pub away: BTreeMap<usize, BTreeSet<ConnId>>,
    /// The plan's setup, which determines how nodes report losses and which rooms are ordered.
    setup: Setup,
    /// The messages received in ordered rooms. Each membership of a room has its own list.
    pub sequences: Vec<(usize, Vec<(Sender, u32)>)>,
    /// True if the sender of the message being received may have left the room already.
    pub may_receive_from_former: bool,
    /// The rooms that the client is in, with the members according to snapshots and notices.
    pub views: BTreeMap<usize, BTreeSet<ConnId>>,
    /// For each sender and room, the number of the last message received; the room is `None` for
    /// direct messages.
    last_received: BTreeMap<(ConnId, Option<usize>), u32>,
    pub expected: Expected,
    /// The number of times that the client has left each room.
    leaves: BTreeMap<usize, u32>,
    /// For each sender, the number of the last message received, which counts all messages of that
    /// sender.
    order: BTreeMap<ConnId, u32>,
    /// For each node and room, the number of the last message that the node's application sent to
    /// the room.
    servers: BTreeMap<(u64, usize), u32>,
    /// For each node, the number of the last message that the node's application sent to this
    /// client's user.
    pub to_user: BTreeMap<u64, u32>,
    /// True once the client has used its token to reconnect to another node.
    pub has_returned: bool,
    /// The messages from nodes' applications that must not reach this client.
    excluded: BTreeSet<(u64, usize, u32)>,
}

/// The numbers in a message's payload. The sender counts its messages per room and in total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    pub in_room: u32,
    pub total: u32,
    /// The id of the node, if its application sent the message; otherwise 0.
    pub node: u64,
    /// The number of the info that the sender had when it sent the message.
    pub info: u32,
}

impl Client {
    pub fn new(id: ConnId, node: usize, number: usize, setup: Setup) -> Self {
        Client {
            id,
            node,
            is_open: true,
            number,
            is_extended: setup.has_info && !number.is_multiple_of(3),
            info: if setup.has_info { number as u32 } else { 0 },
            is_away: false,
            infos: Infos::new(),
            away: BTreeMap::new(),
            setup,
            sequences: Vec::new(),
            may_receive_from_former: false,
            views: BTreeMap::new(),
            last_received: BTreeMap::new(),
            expected: Expected::default(),
            leaves: BTreeMap::new(),
            order: BTreeMap::new(),
            servers: BTreeMap::new(),
            to_user: BTreeMap::new(),
            has_returned: false,
            excluded: BTreeSet::new(),
        }
    }

    /// Returns true if all nodes deliver a room's messages in the same order.
    pub fn orders(&self, room: usize) -> bool {
        self.setup.orders(room)
    }

    /// Returns true if the rooms of this plan announce which members are away.
    pub fn shows_away(&self) -> bool {
        self.setup.has_away
    }

    pub fn is_in(&self, room: usize) -> bool {
        self.is_open && self.views.contains_key(&room)
    }

    pub fn acknowledged(&mut self, room: usize, members: Vec<ConnId>) -> Result<(), Fault> {
        let view: BTreeSet<ConnId> = members.iter().copied().collect();
        let name = ROOMS[room];
        ensure!(
            view.len() == members.len(),
            "join_ack of {name} names a member twice: {members:?}"
        );
        ensure!(room >= FULL || view.contains(&self.id), "join_ack of {name} without its receiver");
        // The client must not receive the messages sent between its leave and this join.
        self.expected.forget(room);
        members.iter().for_each(|id| self.expected.loss_is_shown(*id, room));
        if self.orders(room) && !self.views.contains_key(&room) {
            self.sequences.push((room, Vec::new()));
        }
        self.views.insert(room, view);
        Ok(())
    }

    pub fn left(&mut self, room: usize) {
        self.views.remove(&room);
        self.infos.remove(&room);
        self.away.remove(&room);
        self.expected.forget(room);
        *self.leaves.entry(room).or_default() += 1;
    }

    pub fn new_member(&mut self, room: usize, id: ConnId) -> Result<(), Fault> {
        let view = self.view(room)?;
        ensure!(view.insert(id), "new_member {id} of {}, who is there already", ROOMS[room]);
        self.expected.loss_is_shown(id, room);
        Ok(())
    }

    pub fn member_left(&mut self, room: usize, id: ConnId) -> Result<(), Fault> {
        let view = self.view(room)?;
        ensure!(view.remove(&id), "member_left {id} of {}, who is not there", ROOMS[room]);
        self.expected.loss_is_shown(id, room);
        Ok(())
    }

    fn view(&mut self, room: usize) -> Result<&mut BTreeSet<ConnId>, Fault> {
        let id = self.id;
        let view = self.views.get_mut(&room);
        view.ok_or_else(|| {
            Fault::new(format!("{id} gets a notice of {}, not its room", ROOMS[room]))
        })
    }

    /// Checks a message received in a room.
    pub fn message(
        &mut self,
        room: usize,
        src: Option<ConnId>,
        numbers: Numbers,
    ) -> Result<(), Fault> {
        let name = ROOMS[room];
        if self.orders(room) {
            let sender = src.map_or(Sender::Server(numbers.node), Sender::Client);
            // The room's last list belongs to the current membership.
            let sequence = self.sequences.iter_mut().rfind(|(of, _)| *of == room);
            sequence.into_iter().for_each(|(_, received)| received.push((sender, numbers.in_room)));
        }
        ensure!(self.is_in(room), "{} gets a message of {name}, which it is not in", self.id);
        let Some(src) = src else {
            let last = self.servers.entry((numbers.node, room)).or_default();
            ensure!(numbers.in_room > *last, "a server's {numbers:?} in {name} after {last}");
            *last = numbers.in_room;
            let from = Sender::Server(numbers.node);
            let hides_loss = self.hiding(from, Some(room));
            self.expected.take(from, Some(room), numbers.in_room, hides_loss)?;
            let is_excluded = self.excluded.contains(&(numbers.node, room, numbers.in_room));
            ensure!(!is_excluded, "{} gets {numbers:?} in {name}, not for it", self.id);
            return Ok(());
        };
        let is_shown = self.views[&room].contains(&src);
        let may_speak = is_shown || self.may_receive_from_former;
        ensure!(may_speak || room >= FULL, "{src} sends to {name} and is not a member");
        self.in_order(src, Some(room), numbers)
    }

    /// Checks a direct message that was received.
    pub fn direct(&mut self, src: ConnId, numbers: Numbers) -> Result<(), Fault> {
        self.in_order(src, None, numbers)
    }

    fn in_order(
        &mut self,
        src: ConnId,
        room: Option<usize>,
        numbers: Numbers,
    ) -> Result<(), Fault> {
        // In ordered rooms, a message may be delivered later than messages that its sender sent
        // after it elsewhere.
        if !room.is_some_and(|room| self.orders(room)) {
            let order = self.order.entry(src).or_default();
            ensure!(
                numbers.total > *order,
                "{}: message {} of {src} after its message {order}",
                self.id,
                numbers.total
            );
            *order = numbers.total;
        }
        let hides_loss = self.hiding(Sender::Client(src), room);
        let last = self.last_received.entry((src, room)).or_default();
        ensure!(
            numbers.in_room > *last,
            "{} gets {numbers:?} of {src} in {room:?} after {last}",
            self.id
        );
        *last = numbers.in_room;
        self.expected.take(Sender::Client(src), room, numbers.in_room, hides_loss)
    }

    /// Returns a predicate that is true if the loss of a message cannot be noticed by this client.
    /// The predicate's argument is true if the sender's node was declared dead.
    pub fn hiding(&self, from: Sender, room: Option<usize>) -> impl Fn(bool) -> bool + use<> {
        let is_shown = match (from, room) {
            (Sender::Server(_), _) => false,
            (Sender::Client(_), Some(room)) => room < FULL,
            (Sender::Client(src), None) => self.shows(src),
        };
        // If a direct message is lost and the client does not see its sender, the client is not
        // closed.
        let is_closed = self.setup.loss == Loss::Close && room.is_some();
        let is_counted = self.setup.loss == Loss::Count;
        move |by_death| is_counted || !(is_shown || (is_closed && !by_death))
    }

    /// Returns true if this client and a member share a room with full presence.
    pub fn shows(&self, id: ConnId) -> bool {
        self.views.iter().any(|(room, view)| *room < FULL && view.contains(&id))
    }

    /// Records that another node has sent a message that must reach this client, unless
    /// `may_be_lost`.
    pub fn expect_message(
        &mut self,
        from: Sender,
        room: Option<usize>,
        node: NodeId,
        number: u32,
        may_be_lost: bool,
    ) {
        self.expected.add(from, room, node, number, may_be_lost);
    }

    /// Records that this client's node restarts its stream with another node, or declares it dead.
    /// `has_waiting` is true if messages on this client's node are still waiting for their place in
    /// an order.
    pub fn allow_loss(&mut self, node: NodeId, is_dead: bool, has_waiting: bool) {
        self.expected.allow_loss(node, is_dead);
        // In this client's view, a member may have left. If it has rejoined since and sent
        // messages, their loss stays invisible. In an ordered room, those messages may still be
        // waiting, unless their node is dead.
        let is_over = |room: usize| is_dead || !has_waiting || !self.setup.orders(room);
        let rooms = self.views.iter().filter(|(room, _)| is_over(**room));
        for (room, view) in rooms.filter(|(room, _)| **room < FULL) {
            self.expected.loss_is_shown_except(view, *room);
        }
    }

    /// Records that this client's node reports messages from a node in a room as lost.
    pub fn allow_loss_in(&mut self, node: NodeId, room: usize) {
        self.expected.allow_loss_in(node, room);
        // If a member has already left, its departure is the only sign that its last messages were
        // lost.
        let Some(view) = self.views.get(&room).filter(|_| room < FULL) else { return };
        self.expected.loss_is_shown_except(view, room);
    }

    /// Records that a node has shut down cleanly while messages were waiting for their place: its
    /// messages need not arrive.
    pub fn expect_no_more(&mut self, node: NodeId, room: usize) {
        self.expected.expect_no_more(node, room);
    }

    /// Once nothing is in flight, checks that only messages from lost nodes are missing.
    pub fn check_received_at_rest(&self, is_lost: impl Fn(NodeId) -> bool) -> Result<(), Fault> {
        self.expected.at_rest(is_lost, |from, room, by_death| self.hiding(from, room)(by_death))
    }

    /// Records that a message from a node's application to a room must not reach this client.
    pub fn must_not_receive(&mut self, node: u64, room: usize, number: u32) {
        self.excluded.insert((node, room, number));
    }

    pub fn leaves_of(&self, room: usize) -> u32 {
        self.leaves.get(&room).copied().unwrap_or_default()
    }

    /// Returns the number of the last message received from a sender.
    pub fn last_of(&self, src: ConnId, room: Option<usize>) -> u32 {
        self.last_received.get(&(src, room)).copied().unwrap_or_default()
    }

    pub fn has_received(&self, from: Sender, room: usize, number: u32) -> bool {
        let last = match from {
            Sender::Client(src) => self.last_of(src, Some(room)),
            Sender::Server(node) => self.last_of_server(node, room),
        };
        last >= number
    }

    pub fn last_of_server(&self, node: u64, room: usize) -> u32 {
        self.servers.get(&(node, room)).copied().unwrap_or_default()
    }
}

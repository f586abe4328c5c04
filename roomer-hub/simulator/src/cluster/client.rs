//! Checks of received packets that one client can make by itself.

use std::collections::{BTreeMap, BTreeSet};

use roomer_hub::ConnId;
use roomer_hub::cluster::Loss;
use roomer_proto::cluster::NodeId;

use super::expected::{Expected, Sender};
use super::infos::Infos;
use super::plan::{ROOMS, Setup};
use crate::fault::{Fault, ensure};

/// The rooms whose members a client sees.
pub const FULL: usize = 3;

/// A client: its view of the rooms, and what it can check by that of what it receives.
#[derive(Debug)]
pub struct Client {
    pub id: ConnId,
    pub node: usize,
    pub is_open: bool,
    /// The number of the client, in the order of opening.
    pub number: usize,
    pub is_extended: bool,
    /// The number of its own info.
    pub info: u32,
    /// The info of members, of an extended client.
    pub infos: Infos,
    /// The way in which its node shows losses, and which rooms have one order.
    setup: Setup,
    /// The messages in rooms with one order, by membership.
    pub sequences: Vec<(usize, Vec<(Sender, u32)>)>,
    /// True if the sender of the present message may have left.
    pub may_hear_former: bool,
    /// The rooms that it is in, and the members that it was notified of.
    pub views: BTreeMap<usize, BTreeSet<ConnId>>,
    /// The last message of each sender in each room, or to this client alone (`None`).
    heard: BTreeMap<(ConnId, Option<usize>), u32>,
    pub expected: Expected,
    /// The number of times that it has left each room.
    leaves: BTreeMap<usize, u32>,
    /// The last number of each sender over all its messages.
    order: BTreeMap<ConnId, u32>,
    /// The last number of each node's own messages in each room.
    servers: BTreeMap<(u64, usize), u32>,
    /// The last number of each node's messages to its user.
    pub to_user: BTreeMap<u64, u32>,
    /// True once it has returned to another node, which has its token.
    pub has_returned: bool,
    /// The nodes' messages that are not for this client.
    excluded: BTreeSet<(u64, usize, u32)>,
}

/// The numbers in a message: of its sender in this room, and over all its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    pub in_room: u32,
    pub over_all: u32,
    /// The incarnation of the node for messages without a sender.
    pub node: u64,
    /// The number of the sender's info.
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
            infos: Infos::new(),
            setup,
            sequences: Vec::new(),
            may_hear_former: false,
            views: BTreeMap::new(),
            heard: BTreeMap::new(),
            expected: Expected::default(),
            leaves: BTreeMap::new(),
            order: BTreeMap::new(),
            servers: BTreeMap::new(),
            to_user: BTreeMap::new(),
            has_returned: false,
            excluded: BTreeSet::new(),
        }
    }

    /// Returns true if a room has one order on all nodes.
    pub fn orders(&self, room: usize) -> bool {
        self.setup.orders(room)
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
        // Messages between its leave and this join are not for this client.
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

    /// Checks a message in a room.
    pub fn message(
        &mut self,
        room: usize,
        src: Option<ConnId>,
        numbers: Numbers,
    ) -> Result<(), Fault> {
        let name = ROOMS[room];
        if self.orders(room) {
            let sender = src.map_or(Sender::Server(numbers.node), Sender::Client);
            // The last one, which belongs to the present membership.
            let sequence = self.sequences.iter_mut().rfind(|(of, _)| *of == room);
            sequence.into_iter().for_each(|(_, heard)| heard.push((sender, numbers.in_room)));
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
        let may_speak = is_shown || self.may_hear_former;
        ensure!(may_speak || room >= FULL, "{src} speaks in {name} and is not a member");
        self.in_order(src, Some(room), numbers)
    }

    /// Checks a message to this client alone.
    pub fn direct(&mut self, src: ConnId, numbers: Numbers) -> Result<(), Fault> {
        self.in_order(src, None, numbers)
    }

    fn in_order(
        &mut self,
        src: ConnId,
        room: Option<usize>,
        numbers: Numbers,
    ) -> Result<(), Fault> {
        // A room with one order has none with other messages of a sender.
        if !room.is_some_and(|room| self.orders(room)) {
            let order = self.order.entry(src).or_default();
            ensure!(
                numbers.over_all > *order,
                "{}: message {} of {src} after its message {order}",
                self.id,
                numbers.over_all
            );
            *order = numbers.over_all;
        }
        let hides_loss = self.hiding(Sender::Client(src), room);
        let heard = self.heard.entry((src, room)).or_default();
        ensure!(
            numbers.in_room > *heard,
            "{} gets {numbers:?} of {src} in {room:?} after {heard}",
            self.id
        );
        *heard = numbers.in_room;
        self.expected.take(Sender::Client(src), room, numbers.in_room, hides_loss)
    }

    /// Returns how this client may miss messages without seeing it: by a death or not.
    pub fn hiding(&self, from: Sender, room: Option<usize>) -> impl Fn(bool) -> bool + use<> {
        let is_shown = match (from, room) {
            (Sender::Server(_), _) => false,
            (Sender::Client(_), Some(room)) => room < FULL,
            (Sender::Client(src), None) => self.shows(src),
        };
        // A client that does not see a sender of direct messages is not closed either.
        let is_closed = self.setup.loss == Loss::Close && room.is_some();
        let is_counted = self.setup.loss == Loss::Count;
        move |by_death| is_counted || !(is_shown || (is_closed && !by_death))
    }

    /// Returns true if a member is in a room whose members this client sees.
    pub fn shows(&self, id: ConnId) -> bool {
        self.views.iter().any(|(room, view)| *room < FULL && view.contains(&id))
    }

    /// Records that a message for this client is sent on another node that knows of it.
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

    /// Records that this client's node starts over with another one. `has_waiting` is true if messages wait
    /// for their place there.
    pub fn allow_loss(&mut self, node: NodeId, is_dead: bool, has_waiting: bool) {
        self.expected.allow_loss(node, is_dead);
        // A member that this client has seen leave may have joined again and spoken, which nothing would show.
        // In a room with one order its earlier messages may be those that wait, but go with a dead node.
        let is_over = |room: usize| is_dead || !has_waiting || !self.setup.orders(room);
        let rooms = self.views.iter().filter(|(room, _)| is_over(**room));
        for (room, view) in rooms.filter(|(room, _)| **room < FULL) {
            self.expected.loss_is_shown_except(view, *room);
        }
    }

    /// Records that this client's node reports messages of a node in a room as lost.
    pub fn allow_loss_in(&mut self, node: NodeId, room: usize) {
        self.expected.allow_loss_in(node, room);
        // Of a member that has left, the leave is all that shows the loss of its last messages.
        let Some(view) = self.views.get(&room).filter(|_| room < FULL) else { return };
        self.expected.loss_is_shown_except(view, room);
    }

    /// Records that a node has stopped in an orderly way while messages of it waited.
    pub fn expect_no_more(&mut self, node: NodeId, room: usize) {
        self.expected.expect_no_more(node, room);
    }

    /// Checks that no messages are missing, except those of nodes that are lost.
    pub fn check_received_at_rest(&self, is_lost: impl Fn(NodeId) -> bool) -> Result<(), Fault> {
        self.expected.at_rest(is_lost, |from, room, by_death| self.hiding(from, room)(by_death))
    }

    /// Records that a message of a node is for everyone in a room but this client.
    pub fn must_not_hear(&mut self, node: u64, room: usize, number: u32) {
        self.excluded.insert((node, room, number));
    }

    pub fn leaves_of(&self, room: usize) -> u32 {
        self.leaves.get(&room).copied().unwrap_or_default()
    }

    /// Returns the number of the last message of a sender.
    pub fn last_of(&self, src: ConnId, room: Option<usize>) -> u32 {
        self.heard.get(&(src, room)).copied().unwrap_or_default()
    }

    pub fn has_heard(&self, from: Sender, room: usize, number: u32) -> bool {
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

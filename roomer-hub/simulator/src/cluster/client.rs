//! What a client can check of what it receives, without knowing anything else.

use std::collections::{BTreeMap, BTreeSet};

use roomer_hub::ConnId;

use super::plan::ROOMS;
use crate::fault::{Fault, ensure};

/// The rooms whose members a client sees.
pub const FULL: usize = 3;

/// A client, as far as it can check its server.
#[derive(Debug)]
pub struct Client {
    pub id: ConnId,
    pub node: usize,
    pub is_open: bool,
    /// The rooms that it is in, and the members that it was told of.
    pub views: BTreeMap<usize, BTreeSet<ConnId>>,
    /// The last message of each sender in each room, or to this client alone (`None`).
    heard: BTreeMap<(ConnId, Option<usize>), Heard>,
    /// The first message of each sender in each room since its node has known that this client is a
    /// member. What it sent before may or may not arrive.
    entitled: BTreeMap<(ConnId, usize), u32>,
    /// The last number of each sender over all its messages.
    order: BTreeMap<ConnId, u32>,
    /// The last number of each node's own messages in each room.
    servers: BTreeMap<(u64, usize), u32>,
    /// The messages of nodes that are not for this client.
    excluded: BTreeSet<(u64, usize, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    last: u32,
    /// True while no message may be missing between this one and the next.
    is_run: bool,
}

/// The numbers in a message: of its sender in this room, and over all its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    pub in_room: u32,
    pub over_all: u32,
    /// The incarnation of the node for messages without a sender.
    pub node: u64,
}

impl Client {
    pub fn new(id: ConnId, node: usize) -> Self {
        Client {
            id,
            node,
            is_open: true,
            views: BTreeMap::new(),
            heard: BTreeMap::new(),
            entitled: BTreeMap::new(),
            order: BTreeMap::new(),
            servers: BTreeMap::new(),
            excluded: BTreeSet::new(),
        }
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
        self.entitled.retain(|(_, own), _| *own != room);
        for ((_, own), heard) in &mut self.heard {
            heard.is_run &= *own != Some(room);
        }
        self.views.insert(room, view);
        Ok(())
    }

    pub fn left(&mut self, room: usize) {
        self.views.remove(&room);
        // Without a common room, it does not see that direct messages of a member are missing.
        for ((src, room), heard) in &mut self.heard {
            let is_shown = self.views.values().any(|view| view.contains(src));
            heard.is_run &= room.is_some() || is_shown;
        }
    }

    pub fn new_member(&mut self, room: usize, id: ConnId) -> Result<(), Fault> {
        let view = self.view(room)?;
        ensure!(view.insert(id), "new_member {id} of {}, who is there already", ROOMS[room]);
        self.break_runs(id, room);
        Ok(())
    }

    pub fn member_left(&mut self, room: usize, id: ConnId) -> Result<(), Fault> {
        let view = self.view(room)?;
        ensure!(view.remove(&id), "member_left {id} of {}, who is not there", ROOMS[room]);
        self.break_runs(id, room);
        Ok(())
    }

    /// After a leave, messages of that member in this room and direct ones may be missing.
    fn break_runs(&mut self, id: ConnId, room: usize) {
        for key in [(id, Some(room)), (id, None)] {
            if let Some(heard) = self.heard.get_mut(&key) {
                heard.is_run = false;
            }
        }
    }

    fn view(&mut self, room: usize) -> Result<&mut BTreeSet<ConnId>, Fault> {
        let id = self.id;
        let view = self.views.get_mut(&room);
        view.ok_or_else(|| {
            Fault::new(format!("{id} gets a notice of {}, not its room", ROOMS[room]))
        })
    }

    /// A message in a room came.
    pub fn message(
        &mut self,
        room: usize,
        src: Option<ConnId>,
        numbers: Numbers,
    ) -> Result<(), Fault> {
        let name = ROOMS[room];
        ensure!(self.is_in(room), "{} gets a message of {name}, which it is not in", self.id);
        let Some(src) = src else {
            let last = self.servers.entry((numbers.node, room)).or_default();
            ensure!(numbers.in_room > *last, "a server's {numbers:?} in {name} after {last}");
            *last = numbers.in_room;
            let is_excluded = self.excluded.contains(&(numbers.node, room, numbers.in_room));
            ensure!(!is_excluded, "{} gets {numbers:?} in {name}, not for it", self.id);
            return Ok(());
        };
        let is_shown = self.views[&room].contains(&src);
        ensure!(is_shown || room >= FULL, "{src} speaks in {name} and is not a member");
        self.in_order(src, Some(room), numbers, room < FULL)
    }

    /// A message to this client alone came.
    pub fn direct(&mut self, src: ConnId, numbers: Numbers) -> Result<(), Fault> {
        let is_shown = self.views.iter().any(|(room, view)| *room < FULL && view.contains(&src));
        self.in_order(src, None, numbers, is_shown)
    }

    fn in_order(
        &mut self,
        src: ConnId,
        room: Option<usize>,
        numbers: Numbers,
        is_shown: bool,
    ) -> Result<(), Fault> {
        let order = self.order.entry(src).or_default();
        ensure!(
            numbers.over_all > *order,
            "{}: message {} of {src} after its message {order}",
            self.id,
            numbers.over_all
        );
        *order = numbers.over_all;
        let heard = self.heard.entry((src, room)).or_insert(Heard { last: 0, is_run: false });
        ensure!(
            numbers.in_room > heard.last,
            "{} gets {numbers:?} of {src} in {room:?} after {}",
            self.id,
            heard.last
        );
        let entitled = match room {
            Some(room) => self.entitled.get(&(src, room)).copied().unwrap_or(u32::MAX),
            None => 0,
        };
        ensure!(
            !heard.is_run || numbers.in_room <= entitled.max(heard.last + 1),
            "{} misses messages {} to {} of {src} in {room:?}",
            self.id,
            heard.last + 1,
            numbers.in_room - 1
        );
        *heard = Heard { last: numbers.in_room, is_run: is_shown };
        Ok(())
    }

    /// A member of a room sends a message, and its node knows that this client is there, or not.
    pub fn is_sent(&mut self, src: ConnId, room: usize, number: u32, is_known: bool) {
        if is_known {
            self.entitled.entry((src, room)).or_insert(number);
        } else {
            self.entitled.remove(&(src, room));
        }
    }

    /// A message of a node is for everyone in a room but this client.
    pub fn must_not_hear(&mut self, node: u64, room: usize, number: u32) {
        self.excluded.insert((node, room, number));
    }

    /// Returns the number of the last message of a sender.
    pub fn last_of(&self, src: ConnId, room: Option<usize>) -> u32 {
        self.heard.get(&(src, room)).map_or(0, |heard| heard.last)
    }

    pub fn last_of_server(&self, node: u64, room: usize) -> u32 {
        self.servers.get(&(node, room)).copied().unwrap_or_default()
    }
}

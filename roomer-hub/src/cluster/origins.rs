//! The rooms and senders of a frame's messages, so that a peer that misses the frame can show whose
//! messages may be missing.

use roomer_proto::ConnId;
use roomer_proto::cluster::{Item, OrderItem};

/// The maximum number of rooms and senders that are listed; above it a frame counts as having any.
const MAX: usize = 64;

/// The rooms with messages, and the senders of direct messages, in some frames.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins {
    rooms: Vec<Box<str>>,
    senders: Vec<ConnId>,
    is_any: bool,
}

impl Origins {
    pub(super) fn add(&mut self, item: &Item<'_>) {
        match item {
            Item::Broadcast { packet, .. } | Item::Order(OrderItem::Message { packet, .. }) => {
                self.add_room(packet.room)
            }
            // Without a sender a message is the server's own, and no member shows its loss.
            Item::Direct { packet } => {
                ConnId::parse(packet.src).iter().for_each(|id| self.add_sender(*id))
            }
            _ => {}
        }
    }

    fn add_room(&mut self, room: &str) {
        if !self.is_any && !self.rooms.iter().any(|known| **known == *room) {
            self.rooms.push(room.into());
            self.bound();
        }
    }

    fn add_sender(&mut self, id: ConnId) {
        if !self.is_any && !self.senders.contains(&id) {
            self.senders.push(id);
            self.bound();
        }
    }

    fn bound(&mut self) {
        // The lists are searched for each message, so they have to stay short.
        if self.rooms.len() + self.senders.len() > MAX {
            *self = Origins { is_any: true, ..Origins::default() };
        }
    }

    pub(super) fn merge(&mut self, other: &Origins) {
        other.rooms.iter().for_each(|room| self.add_room(room));
        other.senders.iter().for_each(|id| self.add_sender(*id));
        self.is_any |= other.is_any;
    }

    /// Returns the rooms and senders, or `None` if any of them may be affected.
    pub(super) fn listed(&self) -> Option<(&[Box<str>], &[ConnId])> {
        (!self.is_any).then_some((&self.rooms, &self.senders))
    }
}

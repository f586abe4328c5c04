//! Origins: the rooms and senders of a frame's messages, reported if a peer misses the frame.

use roomer_proto::ConnId;
use roomer_proto::cluster::{Item, OrderItem};

/// The maximum number of rooms and senders in a list. A longer list is replaced by "any".
const MAX: usize = 64;

/// The rooms with messages, and the senders of direct messages, in a set of frames.
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
            // A message without a sender is from the server, so no member can show its loss.
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
        // Keep the lists short, because they are searched linearly for each message.
        if self.rooms.len() + self.senders.len() > MAX {
            *self = Origins { is_any: true, ..Origins::default() };
        }
    }

    pub(super) fn merge(&mut self, other: &Origins) {
        other.rooms.iter().for_each(|room| self.add_room(room));
        other.senders.iter().for_each(|id| self.add_sender(*id));
        self.is_any |= other.is_any;
    }

    /// Returns the rooms and senders, or `None` if any room or sender may be affected.
    pub(super) fn listed(&self) -> Option<(&[Box<str>], &[ConnId])> {
        (!self.is_any).then_some((&self.rooms, &self.senders))
    }
}

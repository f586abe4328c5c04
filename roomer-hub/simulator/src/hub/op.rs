//! The hub's inputs and effects, with numbers in place of keys.

use std::fmt;

use roomer_hub::{Permission, Presence};
use roomer_proto::PacketRef;

use super::guests::op::{PeerOp, PeerSet};
use crate::alphabet::{ALL_IDS, identity};

/// An input for the hub, complete with its arguments. Clients are numbered in the order in which
/// they open.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    Open {
        id: u16,
    },
    Packet {
        client: u16,
        packet: PacketRef<'static>,
    },
    /// The application's decision on a packet.
    Allowed {
        client: u16,
        packet: PacketRef<'static>,
    },
    Denied {
        client: u16,
        packet: PacketRef<'static>,
    },
    Gone {
        client: u16,
    },
    Broadcast {
        from: Option<u16>,
        except: Option<u16>,
        /// A guest to which the broadcast is not sent.
        except_guest: Option<u16>,
        room: &'static str,
        event: &'static str,
        payload: &'static [u8],
    },
    Send {
        from: Option<u16>,
        dst: &'static str,
        event: &'static str,
        payload: &'static [u8],
    },
    Join {
        client: u16,
        room: &'static str,
    },
    Leave {
        client: u16,
        room: &'static str,
    },
    Close {
        client: u16,
        code: u16,
        reason: &'static str,
    },
    /// An input that concerns a peer.
    Peer {
        peer: u8,
        op: PeerOp,
    },
}

/// An effect that an input must have. Rooms are numbered in the order of creation, and receivers
/// are sets of ids.
#[derive(Clone, Copy, Debug)]
pub enum Effect {
    Opened {
        client: u16,
    },
    Rejected,
    Joined {
        client: u16,
        room: u32,
        name: &'static str,
    },
    Left {
        client: u16,
        room: u32,
        name: &'static str,
    },
    RoomClosed {
        room: u32,
    },
    JoinAck {
        to: u16,
        room: &'static str,
        presence: Presence,
        members: IdSet,
        count: u64,
    },
    Send {
        to: u16,
        packet: PacketRef<'static>,
    },
    Broadcast {
        room: u32,
        to: IdSet,
        packet: PacketRef<'static>,
        peers: PeerSet,
        except_guest: Option<u16>,
    },
    Forward {
        peer: u8,
        packet: PacketRef<'static>,
    },
    Call {
        client: u16,
        handler: usize,
        packet: PacketRef<'static>,
    },
    Authorize {
        client: u16,
        permission: Permission,
        packet: PacketRef<'static>,
    },
    Close {
        client: u16,
        code: u16,
        reason: &'static str,
    },
}

impl Effect {
    /// Returns the effect's room, if the effect may be reordered with effects in other rooms.
    pub fn room(&self) -> Option<u32> {
        match *self {
            Effect::Left { room, .. }
            | Effect::RoomClosed { room }
            | Effect::Broadcast { room, .. } => Some(room),
            _ => None,
        }
    }
}

/// A set of ids, by number.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct IdSet([u64; ALL_IDS / 64]);

impl IdSet {
    /// Adds an id. Returns false if it was already in the set.
    pub fn insert(&mut self, id: u16) -> bool {
        let (word, bit) = (&mut self.0[usize::from(id) / 64], 1 << (id % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// Removes an id. Returns false if it was not in the set.
    pub fn remove(&mut self, id: u16) -> bool {
        let was_in = self.contains(id);
        self.0[usize::from(id) / 64] &= !(1 << (id % 64));
        was_in
    }

    #[must_use]
    pub fn union(mut self, other: IdSet) -> IdSet {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word |= other);
        self
    }

    /// Removes the ids that are in another set.
    pub fn subtract(&mut self, other: IdSet) {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word &= !other);
    }

    pub fn contains(&self, id: u16) -> bool {
        self.0[usize::from(id) / 64] & 1 << (id % 64) != 0
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }
}

impl FromIterator<u16> for IdSet {
    fn from_iter<I: IntoIterator<Item = u16>>(ids: I) -> Self {
        let mut set = IdSet::default();
        for id in ids {
            set.insert(id);
        }
        set
    }
}

impl fmt::Debug for IdSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = (0..ALL_IDS as u16).filter(|&id| self.contains(id));
        f.debug_set().entries(ids.map(|id| identity(id).id)).finish()
    }
}

//! What happens to the hub and what is to come of it, with clients and rooms by number instead of
//! by key.

use std::fmt;

use roomer_hub::{Permission, Presence};
use roomer_proto::PacketRef;

use crate::alphabet::{IDS, identity};

/// One input, complete. Clients are numbered in order of opening.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    Open {
        id: u16,
    },
    Packet {
        client: u16,
        packet: PacketRef<'static>,
    },
    /// The application's word on a packet that it was asked about.
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
}

/// What is to be done because of it. Rooms are numbered in order of making; receivers are named
/// by id.
#[derive(Clone, Copy, Debug)]
pub enum Effect {
    Opened { client: u16 },
    Refused,
    Joined { client: u16, room: u32, name: &'static str },
    Left { client: u16, room: u32, name: &'static str },
    RoomClosed { room: u32 },
    JoinAck { to: u16, room: &'static str, shows: Presence, members: Set },
    Send { to: u16, packet: PacketRef<'static> },
    Broadcast { room: u32, to: Set, packet: PacketRef<'static> },
    Call { client: u16, handler: usize, packet: PacketRef<'static> },
    Ask { client: u16, about: Permission, packet: PacketRef<'static> },
    Close { client: u16, code: u16, reason: &'static str },
}

impl Effect {
    /// The room that it is about, where that matters to the order.
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
pub struct Set([u64; IDS / 64]);

impl Set {
    /// False when it was in already.
    pub fn insert(&mut self, id: u16) -> bool {
        let (word, bit) = (&mut self.0[usize::from(id) / 64], 1 << (id % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// False when it was not in.
    pub fn remove(&mut self, id: u16) -> bool {
        let was_in = self.contains(id);
        self.0[usize::from(id) / 64] &= !(1 << (id % 64));
        was_in
    }

    pub fn contains(&self, id: u16) -> bool {
        self.0[usize::from(id) / 64] & 1 << (id % 64) != 0
    }

    pub fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }
}

impl FromIterator<u16> for Set {
    fn from_iter<I: IntoIterator<Item = u16>>(ids: I) -> Self {
        let mut set = Set::default();
        for id in ids {
            set.insert(id);
        }
        set
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = (0..IDS as u16).filter(|&id| self.contains(id));
        f.debug_set().entries(ids.map(|id| identity(id).id)).finish()
    }
}

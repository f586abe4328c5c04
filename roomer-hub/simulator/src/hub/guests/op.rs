//! The inputs about peers. They contain numbers in place of keys and ids.

use std::fmt;

use roomer_hub::{ConnId, Input, PeerKey};
use roomer_proto::PacketRef;

use crate::alphabet::{identity, tag};

/// The number of peers in a plan.
pub const PEERS: usize = 4;

/// For each peer by number, the index in its key. Indices need not be adjacent.
const KEYS: [u16; PEERS] = [0, 1, 5, 2];

/// Returns a peer's key.
pub fn key(peer: u8) -> PeerKey {
    PeerKey::new(KEYS[usize::from(peer)])
}

/// Returns the number of the peer with this key, or `None` if there is no such peer.
pub fn number(key: PeerKey) -> Option<u8> {
    KEYS.iter().position(|known| usize::from(*known) == key.index()).map(|at| at as u8)
}

/// An input about a peer. A guest is represented by the number of its id.
#[derive(Clone, Copy, Debug)]
pub enum PeerOp {
    Up { tag: u8 },
    Gone,
    Joined { room: &'static str, guest: u16 },
    Left { room: &'static str, guest: u16 },
    Count { room: &'static str, members: u32 },
    Broadcast { except: Option<u16>, packet: PacketRef<'static> },
    Direct { packet: PacketRef<'static> },
}

impl PeerOp {
    /// Returns the input for the hub.
    pub fn input(self, peer: u8) -> Input<'static> {
        let (peer, id) = (key(peer), |number: u16| -> ConnId { identity(number).id });
        match self {
            PeerOp::Up { tag: number } => Input::PeerUp { peer, tag: tag(number) },
            PeerOp::Gone => Input::PeerGone { peer },
            PeerOp::Joined { room, guest } => {
                Input::GuestJoined { peer, room, id: id(guest), profile: None }
            }
            PeerOp::Left { room, guest } => Input::GuestLeft { peer, room, id: id(guest) },
            PeerOp::Count { room, members } => Input::GuestCount { peer, room, members },
            PeerOp::Broadcast { except, packet } => {
                Input::PeerBroadcast { peer, except: except.map(id), packet }
            }
            PeerOp::Direct { packet } => Input::PeerDirect { peer, packet },
        }
    }
}

/// A set of peers, by number.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct PeerSet(u8);

impl PeerSet {
    /// Adds a peer. Returns false if it was already in the set.
    pub fn insert(&mut self, peer: u8) -> bool {
        let is_new = self.0 & 1 << peer == 0;
        self.0 |= 1 << peer;
        is_new
    }

    pub fn contains(self, peer: u8) -> bool {
        self.0 & 1 << peer != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Returns the set as bits, one per peer.
    pub fn bits(self) -> u8 {
        self.0
    }
}

impl FromIterator<u8> for PeerSet {
    fn from_iter<I: IntoIterator<Item = u8>>(peers: I) -> Self {
        let mut set = PeerSet::default();
        for peer in peers {
            set.insert(peer);
        }
        set
    }
}

impl fmt::Debug for PeerSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries((0..PEERS as u8).filter(|&peer| self.contains(peer))).finish()
    }
}

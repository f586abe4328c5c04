//! Transfer of a node's members at the start of a stream: sending, and merging into the hub.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use bytestring::ByteString;
use roomer_proto::ConnId;
use roomer_proto::cluster::{Ids, Item, Lost};

use super::digest::Digest;
use super::effect::Effect;
use super::order::Orders;
use super::outgoing::{Outgoing, Sealing};
use super::profiles::GuestProfiles;
use crate::config::Presence;
use crate::keys::PeerKey;
use crate::tables::Tables;

/// The maximum number of ids per item.
const IDS_PER_ITEM: usize = 2048;

/// Appends the members of this node's rooms to a stream, and ends the stream's initial state.
pub(super) fn send_members(
    tables: &Tables,
    outgoing: &mut Outgoing,
    sealing: &Sealing,
    orders: &Orders,
) {
    let mut ids = Vec::new();
    for (key, room) in tables.rooms() {
        let members = tables.members(key);
        if members.is_empty() {
            continue; // The room has only guests.
        }
        // In a room without full presence, members are not notified of each other, so only send
        // their number.
        if tables.presence(key) != Some(Presence::Full) {
            let members = u32::try_from(members.len()).unwrap_or(u32::MAX);
            outgoing.push(&Item::Count { members, room }, sealing);
            continue;
        }
        let mut conns = members.iter().filter_map(|conn| tables.conn_id(conn));
        loop {
            ids.clear();
            ids.extend(conns.by_ref().take(IDS_PER_ITEM).map(|id| id.to_bytes()));
            if ids.is_empty() {
                break;
            }
            outgoing.push(&Item::Members { room, ids: Ids::new(&ids) }, sealing);
        }
    }
    for id in tables.away() {
        outgoing.push(&Item::Away { id, is_away: true }, sealing);
    }
    orders.send_state(outgoing, sealing);
    outgoing.end_state(sealing);
}

/// A peer's members, collected while they arrive.
#[derive(Debug)]
pub(super) struct Transfer {
    /// The messages that may be missing since the previous stream; `None` if any message may be
    /// missing.
    lost: Option<Missed>,
    seats: Vec<(ByteString, [u8; 16])>,
    counts: Vec<(ByteString, u32)>,
    pub(super) profiles: GuestProfiles,
    /// The connections that are away.
    away: BTreeSet<[u8; 16]>,
}

/// The origins of messages missed before a stream.
#[derive(Debug)]
struct Missed {
    rooms: BTreeSet<Box<str>>,
    /// The senders of direct messages.
    senders: BTreeSet<[u8; 16]>,
}

impl Transfer {
    pub(super) fn new(lost: &Lost<'_>) -> Self {
        let lost = match lost {
            Lost::All => None,
            Lost::Some { rooms, senders } => Some(Missed {
                rooms: rooms.iter().map(Box::from).collect(),
                senders: senders.iter().map(|id| id.to_bytes()).collect(),
            }),
        };
        let (seats, counts, profiles) = (Vec::new(), Vec::new(), GuestProfiles::default());
        Transfer { lost, seats, counts, profiles, away: BTreeSet::new() }
    }

    /// Returns the number of entries for rooms. Connections that are away are counted separately,
    /// since they already have a seat.
    pub(super) fn len(&self) -> usize {
        self.seats.len() + self.counts.len()
    }

    pub(super) fn away_len(&self) -> usize {
        self.away.len()
    }

    pub(super) fn add_members(&mut self, room: &ByteString, ids: Ids<'_>) {
        self.seats.extend(ids.iter().map(|id| (room.clone(), id.to_bytes())));
    }

    pub(super) fn add_count(&mut self, room: ByteString, members: u32) {
        self.counts.push((room, members));
    }

    pub(super) fn add_away(&mut self, id: ConnId) {
        self.away.insert(id.to_bytes());
    }

    fn is_lost(&self, room: &str, id: &[u8; 16]) -> bool {
        let is_missed =
            |missed: &Missed| missed.rooms.contains(room) || missed.senders.contains(id);
        self.lost.as_ref().is_none_or(is_missed)
    }

    /// Returns the affected rooms that have members on this node; `None` stands for direct
    /// messages, or for any message.
    pub(super) fn gaps(&self, tables: &Tables) -> Vec<Option<Box<str>>> {
        let Some(missed) = &self.lost else { return vec![None] };
        let has_members = |room: &str| {
            tables.find_room(room).is_some_and(|room| !tables.members(room).is_empty())
        };
        let mut gaps: Vec<_> =
            missed.rooms.iter().filter(|room| has_members(room)).cloned().map(Some).collect();
        gaps.extend((!missed.senders.is_empty()).then_some(None));
        gaps
    }

    /// Appends the effects that close connections that may have missed messages.
    pub(super) fn close(&self, tables: &Tables, peer: PeerKey, effects: &mut Vec<Effect>) {
        let Some(missed) = &self.lost else {
            return effects.push(Effect::Close { room: None });
        };
        let senders =
            tables.guests_of(peer).filter(|(_, id)| missed.senders.contains(&id.to_bytes()));
        let mut rooms: BTreeSet<&str> = senders.map(|(room, _)| room).collect();
        rooms.extend(missed.rooms.iter().map(|room| &**room));
        effects.extend(rooms.into_iter().map(|room| Effect::Close { room: Some(room.into()) }));
    }

    /// Compares the members with the guests that are visible in the hub, and appends effects that
    /// remove the differences. With `rejoin`, guests whose messages may be missing leave and
    /// rejoin. Returns the digest of the seats, and the profiles.
    pub(super) fn finish(
        mut self,
        tables: &Tables,
        peer: PeerKey,
        hash: &Digest,
        rejoin: bool,
        effects: &mut Vec<Effect>,
    ) -> (u64, GuestProfiles) {
        let mut shown: Vec<(&str, [u8; 16])> =
            tables.guests_of(peer).map(|(room, id)| (room, id.to_bytes())).collect();
        // The hub returns guests in no particular order.
        shown.sort_unstable();
        self.seats.sort_unstable();
        // A repeated entry is an error by the peer, and would cause a second join.
        self.seats.dedup();
        let digest = self.seats.iter().fold(0_u64, |sum, (room, id)| {
            sum.wrapping_add(hash.seat(room, &ConnId::from_bytes(*id)))
        });

        // Both lists are sorted, so a single merge finds the differences. All leaves precede all joins.
        let mut joins = Vec::new();
        let mut leave = |room: &str, id: &[u8; 16]| {
            let (room, id) = (ByteString::from(room), ConnId::from_bytes(*id));
            effects.push(Effect::GuestLeft { peer, room, id });
        };
        let (mut old, mut new) = (shown.iter().peekable(), self.seats.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((room, id)), Some((new_room, new_id))) => {
                    (*room, id).cmp(&(&**new_room, new_id))
                }
            };
            // If the entries are equal, both lists advance.
            let was = if order.is_le() { old.next() } else { None };
            let is = if order.is_ge() { new.next() } else { None };
            let is_unharmed =
                was.is_some() && is.is_some_and(|(room, id)| !(rejoin && self.is_lost(room, id)));
            if is_unharmed {
                continue;
            }
            was.iter().for_each(|(room, id)| leave(room, id));
            joins.extend(is);
        }
        // The hub ignores profiles of guests that have just left.
        for (id, before) in tables.profiles_of(peer) {
            let profile = self.profiles.profile(&id);
            if profile.as_deref() != before {
                effects.push(Effect::GuestProfile { peer, id, profile });
            }
        }
        effects.extend(joins.into_iter().map(|(room, id)| {
            let id = ConnId::from_bytes(*id);
            let profile = self.profiles.profile(&id);
            Effect::GuestJoined { peer, room: room.clone(), id, profile }
        }));
        // Append these after the joins, since a guest must be in a room. The hub ignores states
        // that it already has.
        let is_back = |id: &ConnId| !self.away.contains(&id.to_bytes());
        let back = tables.guests_away(peer).filter(is_back).map(|id| (id, false));
        let away = self.away.iter().map(|id| (ConnId::from_bytes(*id), true));
        let changes = back.chain(away);
        effects.extend(changes.map(|(id, is_away)| Effect::GuestAway { peer, id, is_away }));

        let counted: BTreeSet<&str> = self.counts.iter().map(|(room, _)| &**room).collect();
        for (room, _) in tables.counts_of(peer).filter(|(room, _)| !counted.contains(room)) {
            effects.push(Effect::GuestCount { peer, room: room.into(), members: 0 });
        }
        // End the borrow of the counts, which are moved below.
        drop(counted);
        let counts = self.counts.into_iter();
        effects.extend(counts.map(|(room, members)| Effect::GuestCount { peer, room, members }));
        (digest, self.profiles)
    }
}

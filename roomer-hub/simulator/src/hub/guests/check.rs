//! Compares the hub's tables of guests, and the hub's actions concerning guests, with the model.

use roomer_hub::{ConnId, Peers, RoomKey, Tables};

use super::op::{PEERS, PeerSet, key, number};
use crate::alphabet::{ALL_IDS, id_number, identity, tagged};
use crate::fault::{Fault, ensure};
use crate::hub::checker::{CheckedHub, Checker};
use crate::hub::model::Room;
use crate::hub::op::IdSet;

impl Checker {
    /// If the input has created a room without a client's join, records the room's key.
    pub(crate) fn learn_rooms(&mut self, tables: &Tables) -> Result<(), Fault> {
        if self.rooms.len() >= self.model.rooms_made as usize || !self.model.peers.are_used {
            return Ok(());
        }
        let number = self.rooms.len() as u32;
        let Some(room) = self.model.rooms.iter().find(|room| room.number == number) else {
            return Ok(());
        };
        // If a client's join has created the room, the action for the join reports the key.
        if room.members.is_empty() {
            let key = tables.find_room(room.name);
            ensure!(key.is_some(), "no room {:?} for a guest", room.name);
            let key = key.unwrap_or_default();
            ensure!(!self.rooms.contains(&key), "a room's key is used again");
            self.rooms.push(key);
        }
        Ok(())
    }

    /// Returns true if a broadcast is sent to the expected peers, and excludes the expected guest.
    pub(crate) fn sent_abroad(
        &mut self,
        peers: Peers<'_>,
        left_out: Option<&ConnId>,
        expected: PeerSet,
        except_guest: Option<u16>,
    ) -> Result<bool, Fault> {
        let named = peer_set(peers)?;
        if !named.is_empty() {
            self.trace.number(named.bits().into());
        }
        let except_guest = except_guest.map(|guest| identity(guest).id);
        Ok(named == expected && left_out == except_guest.as_ref())
    }
}

/// Collects the peers of an action. They must be known and unique.
fn peer_set(peers: Peers<'_>) -> Result<PeerSet, Fault> {
    let mut named = PeerSet::default();
    for key in peers.iter() {
        let is_new = number(key).is_some_and(|peer| named.insert(peer));
        ensure!(is_new, "{peers:?} contains an unknown peer, or one twice");
    }
    let is_empty = peers.is_empty() == named.is_empty() && peers.len() == named.len() as usize;
    ensure!(is_empty, "{} peers in {peers:?}", peers.len());
    Ok(named)
}

impl CheckedHub {
    /// Compares the guests and counts of a room with the model.
    pub(crate) fn audit_guests(&self, room: &Room, key: RoomKey) -> Result<(), Fault> {
        let (tables, name, abroad) = (self.hub.tables(), room.name, &room.abroad);
        let mut guests = IdSet::default();
        for guest in tables.guests(key) {
            let id = id_number(guest.as_str().as_bytes());
            ensure!(id.is_some_and(|id| guests.insert(id)), "{guest} is a guest of {name:?}");
        }
        ensure!(guests == abroad.ids(), "the guests of {name:?} are {guests:?}");
        let (count, members) = (tables.member_count(key), room.members.len() as u64 + abroad.len());
        ensure!(count as u64 == members, "{count} members of {name:?} instead of {members}");
        let peers = peer_set(tables.peers(key))?;
        ensure!(peers == abroad.peers(), "the peers of {name:?} are {peers:?}");
        Ok(())
    }

    /// For each peer, compares its entries in the tables with the model.
    pub(crate) fn audit_peers(&self) -> Result<(), Fault> {
        let (tables, model) = (self.hub.tables(), &self.checker.model);
        if !model.peers.are_used {
            return Ok(());
        }
        let mut all = IdSet::default();
        for peer in 0..PEERS as u8 {
            let guests = tables.guests_of(key(peer)).map(|(room, id)| (room, id.to_string()));
            let mut guests: Vec<(&str, String)> = guests.collect();
            let of_room = |room: &Room| {
                let own = room.abroad.guests.iter().filter(|guest| guest.0 == peer);
                own.map(|guest| (room.name, identity(guest.1).text.clone())).collect::<Vec<_>>()
            };
            let mut expected: Vec<(&str, String)> = model.rooms.iter().flat_map(of_room).collect();
            guests.sort();
            expected.sort();
            ensure!(guests == expected, "the guests of {peer}: {guests:?}, not {expected:?}");
            let mut counts: Vec<(&str, u32)> = tables.counts_of(key(peer)).collect();
            let count = |room: &Room| (room.name, room.abroad.counts[usize::from(peer)]);
            let expected = model.rooms.iter().map(count).filter(|(_, count)| *count > 0);
            let mut expected: Vec<(&str, u32)> = expected.collect();
            counts.sort();
            expected.sort();
            ensure!(counts == expected, "the counts of {peer}: {counts:?}, not {expected:?}");
        }
        model
            .rooms
            .iter()
            .flat_map(|room| &room.abroad.guests)
            .for_each(|guest| _ = all.insert(guest.1));
        let count = tables.guest_count();
        ensure!(count == all.len() as usize, "{count} guests instead of {}", all.len());
        // Check only a sample: looking up every id in each audit would be slow.
        for id in (usize::from(tagged(0))..ALL_IDS).step_by(31) {
            let text = &identity(id as u16).text;
            let (peer, expected) = (tables.peer_of(text), model.peers_of(text));
            let fits = match peer.map(number) {
                None => expected.is_empty(),
                Some(peer) => peer.is_some_and(|peer| expected.contains(peer)),
            };
            ensure!(fits, "{text} is of the peer {peer:?}, not of {expected:?}");
        }
        Ok(())
    }
}

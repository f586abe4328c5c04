//! Members that are away: their clients have lost their sockets, but may resume their sessions.
//!
//! Only rooms that match a pattern announce this, and only to extended members.

use roomer_proto::{ConnId, PacketRef};

use crate::config::{Presence, RoomPattern};
use crate::hub::Hub;
use crate::keys::{ConnKey, PeerKey, RoomKey};
use crate::record::{Context, NoticeKind, RareRecord, Record};
use crate::room::Room;
use crate::room_guests::RoomGuests;
use crate::tables::Tables;

impl Hub {
    /// For rooms created from now on that match `pattern`, notifies extended members when other
    /// members go away or come back ([`Input::Away`](crate::Input::Away)). `pattern` is a room's
    /// name, or a prefix followed by `*`. Has no effect on rooms without [full
    /// presence](Presence::Full), which do not show other members.
    pub fn announce_away(&mut self, pattern: &str) {
        self.tables.away_rooms.push(RoomPattern::new(pattern));
    }

    /// Returns true if [`announce_away`](Self::announce_away) was called. Otherwise,
    /// [`Input::Away`](crate::Input::Away) has no effect.
    #[must_use]
    pub fn announces_away(&self) -> bool {
        !self.tables.away_rooms.is_empty()
    }

    /// Records whether a connection is away. In its rooms that announce this, notifies the other
    /// extended members.
    pub(crate) fn set_away<'a>(&mut self, conn: ConnKey, is_away: bool) -> Context<'a> {
        let context = Context::of(conn, PacketRef::default());
        if !self.announces_away() {
            return context;
        }
        let Tables { conns, rooms, .. } = &mut self.tables;
        let Some(entry) = conns.get_mut(conn).filter(|entry| entry.is_away != is_away) else {
            return context;
        };
        entry.is_away = is_away;
        self.output.records.push(Record::Rare(RareRecord::AwayChanged(conn)));
        let mut text = None;
        for seat in entry.seats.iter() {
            let room = &rooms[seat.room];
            let others = room.extended_members() - usize::from(entry.extended);
            if !room.announces_away || others == 0 {
                continue;
            }
            // Share one text between all rooms, of which there may be a thousand.
            let text = *text.get_or_insert_with(|| {
                self.output.add_text(|out| write_change(is_away, &entry.id, out))
            });
            // The connection itself is not notified, as with its joins and leaves.
            let kind = NoticeKind::Membership;
            let record = RareRecord::Members { room: seat.room, text, kind };
            self.output.records.push(Record::Rare(record));
        }
        context
    }

    /// Records whether a guest is away. In its rooms that announce this, notifies the extended
    /// members.
    pub(crate) fn set_guest_away(&mut self, peer: PeerKey, id: ConnId, is_away: bool) {
        if self.tables.guest_tables.tag(peer).is_none() {
            self.rejected_peer_inputs.wrong_peer += 1;
            return;
        }
        let Some(key) = self.tables.find_guest(&id) else { return };
        let Tables { guest_tables, rooms, .. } = &mut self.tables;
        let guest = &mut guest_tables.guests[key];
        if guest.peer != peer || guest.is_away == is_away {
            return;
        }
        guest.is_away = is_away;
        let mut text = None;
        for seat in guest.seats.iter() {
            let room = &rooms[seat.room];
            if !room.announces_away || room.extended_members() == 0 {
                continue;
            }
            // Share one text between all rooms, as for a connection.
            let text = *text
                .get_or_insert_with(|| self.output.add_text(|out| write_change(is_away, &id, out)));
            let kind = NoticeKind::Membership;
            let record = RareRecord::Members { room: seat.room, text, kind };
            self.output.records.push(Record::Rare(record));
        }
    }

    /// Completes an extended client's `join_ack` in a room that announces which members are away.
    #[cold]
    #[inline(never)]
    pub(crate) fn write_ack_end(&mut self, conn: ConnKey, key: RoomKey) {
        let (tables, end) = (&self.tables, &mut self.output.ack_end);
        end.clear();
        end.push(b']');
        tables.write_away(conn, &tables.rooms[key], end);
        let histories = tables.histories.as_ref().filter(|_| tables.rooms[key].has_history);
        // The bracket was already written before the ids.
        let position = histories.and_then(|histories| histories.ack_end.strip_prefix(']'));
        end.extend_from_slice(position.unwrap_or("}").as_bytes());
    }
}

impl Tables {
    /// Returns true if a connection has lost its socket ([`Input::Away`](crate::Input::Away));
    /// false if it was removed.
    #[must_use]
    pub fn is_away(&self, conn: ConnKey) -> bool {
        self.conns.get(conn).is_some_and(|conn| conn.is_away)
    }

    /// Returns the ids of the connections that are away, in an unspecified but reproducible order.
    pub(crate) fn away(&self) -> impl Iterator<Item = ConnId> {
        // If no rooms announce it, no connection is marked as away, so skip the scan.
        let conns = (!self.away_rooms.is_empty()).then(|| self.conns.values());
        conns.into_iter().flatten().filter(|conn| conn.is_away).map(|conn| conn.id)
    }

    /// Returns the ids of a peer's guests that are away, in an unspecified but reproducible order.
    pub(crate) fn guests_away(&self, peer: PeerKey) -> impl Iterator<Item = ConnId> {
        let guests = self.guest_tables.guests.values();
        guests.filter(move |guest| guest.peer == peer && guest.is_away).map(|guest| guest.id())
    }

    /// Returns true if a room with this name and presence announces which members are away.
    pub(crate) fn has_away(&self, name: &str, presence: Presence) -> bool {
        presence == Presence::Full && self.away_rooms.iter().any(|pattern| pattern.matches(name))
    }

    /// Appends the part of a `join_ack` that lists the members that are away. Omits the receiver,
    /// which is back once it reads this.
    fn write_away(&self, receiver: ConnKey, room: &Room, out: &mut Vec<u8>) {
        let conns = room.members().iter().filter(|conn| *conn != receiver);
        let conns = conns.map(|conn| &self.conns[conn]).filter(|conn| conn.is_away);
        let guests = room.guests().map_or(&[][..], RoomGuests::members).iter();
        let guests = guests.map(|entry| &self.guest_tables.guests[entry.guest]);
        let guests = guests.filter(|guest| guest.is_away).map(|guest| guest.id());
        // The join visits all members anyway to notify them, so visiting each of them here is
        // acceptable.
        let mut begin = &b",\"away\":[\""[..];
        for id in conns.map(|conn| conn.id).chain(guests) {
            out.extend_from_slice(begin);
            out.extend_from_slice(id.as_ref());
            begin = b"\",\"";
        }
        if begin == b"\",\"" {
            out.extend_from_slice(b"\"]");
        }
    }
}

/// Completes a join notice after the new member's entry, and marks the member if it is away.
pub(crate) fn end_joined(room: &Room, id: &ConnId, is_away: bool, out: &mut Vec<u8>) {
    out.push(b']');
    if is_away && room.announces_away {
        out.extend_from_slice(b",\"away\":[\"");
        out.extend_from_slice(id.as_ref());
        out.extend_from_slice(b"\"]");
    }
    out.push(b'}');
}

fn write_change(is_away: bool, id: &ConnId, out: &mut Vec<u8>) {
    out.extend_from_slice(if is_away { b"{\"away\":[\"" } else { b"{\"back\":[\"" });
    out.extend_from_slice(id.as_ref());
    out.extend_from_slice(b"\"]}");
}

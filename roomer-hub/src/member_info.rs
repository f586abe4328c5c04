//! Member info, and notices about members for extended clients.
//!
//! Plain members in the same room receive the plain protocol's notices. In a room with both kinds
//! of members, each change therefore causes two notices.

use std::sync::Arc;
use std::time::Duration;

use roomer_proto::extended::{ERROR, INFO, Info, MEMBERS, Profile, REPLY, write_member};
use roomer_proto::{ConnId, PacketRef};

use crate::action::{Action, Actions};
use crate::away::end_joined;
use crate::config::Presence;
use crate::hub::Hub;
use crate::keys::{ConnKey, GuestKey, PeerKey, RoomKey};
use crate::limits::RejectReason;
use crate::member_entries::EntryChunks;
use crate::member_list::{MemberList, Snapshot};
use crate::permission::{Authorization, Permission};
use crate::record::{NoticeKind, RareRecord, Record};
use crate::room::Room;
use crate::room_guests::{Peers, RoomGuests};
use crate::tables::Tables;

impl Hub {
    /// In a room with extended members, acknowledges the subject's join and notifies the other
    /// members.
    #[cold]
    #[inline(never)]
    pub(crate) fn acknowledge_in_mixed_room(
        &mut self,
        conn: ConnKey,
        room: RoomKey,
        announce: bool,
    ) {
        let is_extended = self.tables.conns[conn].extended;
        if is_extended {
            self.output.records.push(Record::MembersAck(room));
            self.write_extended_payload(conn, room);
        } else {
            self.output.records.push(Record::JoinAck(room));
            self.output.write_plain_payload(&self.tables.rooms[room]);
        }
        if !announce {
            return;
        }
        let entry = &self.tables.rooms[room];
        // The joining connection is already a member, but must not count among the other members.
        let extended_others = entry.extended_members() - usize::from(is_extended);
        let plain_others = entry.members().len() - 1 - extended_others;
        if plain_others > 0 && entry.has_full_presence() {
            self.output.records.push(Record::NewMember(room));
        }
        if extended_others > 0 {
            let kind = match entry.presence {
                Presence::Full => NoticeKind::Membership,
                Presence::Count => return self.announce_count(room),
                Presence::Off => return,
            };
            self.output.notify(room, kind, |out| {
                out.extend_from_slice(b"{\"joined\":[");
                write_conn(&self.tables, conn, out);
                let Tables { conns, rooms, .. } = &self.tables;
                end_joined(&rooms[room], &conns[conn].id, conns[conn].is_away, out);
            });
        }
    }

    /// Notifies the members of a room with extended members that the subject has left.
    #[cold]
    #[inline(never)]
    pub(crate) fn announce_leave(&mut self, room: RoomKey) {
        let entry = &self.tables.rooms[room];
        match entry.presence {
            Presence::Full => {
                if entry.has_plain_members() {
                    self.output.records.push(Record::MemberLeft(room));
                }
                if let Some(subject) = self.output.subject {
                    self.announce_guest(room, false, &subject);
                }
            }
            Presence::Count => self.announce_count(room),
            Presence::Off => {}
        }
    }

    /// In a room with full presence, notifies the extended members that a guest has joined, or
    /// that a connection or guest has left.
    #[cold]
    #[inline(never)]
    pub(crate) fn announce_guest(&mut self, room: RoomKey, has_joined: bool, id: &ConnId) {
        if self.tables.rooms[room].extended_members() == 0 {
            return;
        }
        self.output.notify(room, NoticeKind::Membership, |out| match has_joined {
            true => {
                out.extend_from_slice(b"{\"joined\":[");
                let guest = self.tables.find_guest(id);
                guest.into_iter().for_each(|guest| write_guest(&self.tables, guest, out));
                let guests = &self.tables.guest_tables.guests;
                let is_away = guest.is_some_and(|guest| guests[guest].is_away);
                end_joined(&self.tables.rooms[room], id, is_away, out);
            }
            false => {
                out.extend_from_slice(b"{\"left\":[\"");
                out.extend_from_slice(id.as_ref());
                out.extend_from_slice(b"\"]}");
            }
        });
    }

    /// Sends the member count to the extended members of a room with counted presence.
    #[cold]
    #[inline(never)]
    pub(crate) fn announce_count(&mut self, room: RoomKey) {
        let entry = &self.tables.rooms[room];
        if entry.presence != Presence::Count || entry.extended_members() == 0 {
            return;
        }
        self.output.notify(room, NoticeKind::Count, |out| write_count(entry, out));
    }

    /// Replaces the subject's info, and notifies the extended members of its rooms.
    #[cold]
    #[inline(never)]
    pub(crate) fn set_info(&mut self, conn: ConnKey, info: Option<Info>) {
        let entry = &mut self.tables.conns[conn];
        let profile = entry.profile.get_or_insert_default();
        let has_changed = profile.set_info(info);
        // An empty profile is stored as `None` so that comparisons have one fewer case.
        if profile.is_empty() {
            entry.profile = None;
        }
        if !has_changed {
            return;
        }
        self.output.records.push(Record::Rare(RareRecord::InfoChanged(conn)));
        let mut text = None;
        let Tables { conns, rooms, .. } = &mut self.tables;
        for seat in conns[conn].seats.iter() {
            let room = &mut rooms[seat.room];
            if let Some(entries) = &mut room.entries {
                // Do this even if no members are notified, because a later `join_ack` includes the
                // entry.
                entries.changed(seat.member_index as usize);
            }
            let kind = match room.presence {
                Presence::Full if room.extended_members() > 0 => NoticeKind::Info,
                Presence::Off if conns[conn].extended => NoticeKind::Own,
                _ => continue,
            };
            // Share one text between all rooms, of which there may be a thousand.
            let text = *text.get_or_insert_with(|| {
                self.output.add_text(|out| {
                    out.extend_from_slice(b"{\"changed\":[");
                    let entry = &conns[conn];
                    write_member(entry.id.as_str(), entry.profile.as_deref(), out);
                    out.extend_from_slice(b"]}");
                })
            });
            let record = RareRecord::Members { room: seat.room, text, kind };
            self.output.records.push(Record::Rare(record));
        }
    }

    /// Replaces a guest's info and user, and notifies the extended members of its rooms.
    pub(crate) fn guest_profile(
        &mut self,
        peer: PeerKey,
        id: ConnId,
        profile: Option<&Arc<Profile>>,
    ) {
        if self.tables.guest_tables.tag(peer).is_none() {
            self.rejected_peer_inputs.wrong_peer += 1;
            return;
        }
        let Some(key) = self.tables.find_guest(&id) else { return };
        let guest = &self.tables.guest_tables.guests[key];
        let profile = profile.filter(|profile| !profile.is_empty());
        if guest.peer != peer || guest.profile.as_ref() == profile {
            return;
        }
        self.tables.guest_tables.set_profile(self.tables.key, key, profile);
        let mut text = None;
        let Tables { guest_tables, rooms, .. } = &mut self.tables;
        for seat in guest_tables.guests[key].seats.iter() {
            let room = &mut rooms[seat.room];
            // Do this even if no members are notified, because a later `join_ack` includes the
            // entry.
            room.guests_mut().entries.changed(seat.member_index as usize);
            if room.presence != Presence::Full || room.extended_members() == 0 {
                continue;
            }
            // Share one text between all rooms, as in `set_info`.
            let text = *text.get_or_insert_with(|| {
                self.output.add_text(|out| {
                    out.extend_from_slice(b"{\"changed\":[");
                    write_member(id.as_str(), profile.map(|profile| &**profile), out);
                    out.extend_from_slice(b"]}");
                })
            });
            let record = RareRecord::Members { room: seat.room, text, kind: NoticeKind::Info };
            self.output.records.push(Record::Rare(record));
        }
    }

    /// Handles a client's packet whose event belongs to the extended protocol.
    #[cold]
    #[inline(never)]
    pub(crate) fn extended_event(
        &mut self,
        now: Duration,
        conn: ConnKey,
        packet: &PacketRef<'_>,
        authorization: Authorization,
    ) -> Result<(), RejectReason> {
        match packet.event {
            INFO if self.tables.is_extended(conn) => {
                self.info_packet(now, conn, packet, authorization)
            }
            REPLY | ERROR if self.tables.is_extended(conn) => self.answer(conn, packet),
            // The client is plain, the event was added by a later version, or only a server may
            // send it. The engine handles events about the session itself.
            _ => Err(RejectReason::Reserved),
        }
    }

    /// Handles the info that an extended client sets for itself.
    fn info_packet(
        &mut self,
        now: Duration,
        conn: ConnKey,
        packet: &PacketRef<'_>,
        authorization: Authorization,
    ) -> Result<(), RejectReason> {
        if !self.config.authorize_info {
            return Err(RejectReason::InfoNotAllowed);
        }
        // Check the length before parsing, because a message may be megabytes long.
        if packet.payload.len() > self.config.max_info {
            return Err(RejectReason::InvalidInfo);
        }
        let info = Info::from_payload(packet.payload).map_err(|_| RejectReason::InvalidInfo)?;
        if authorization == Authorization::Granted {
            self.set_info(conn, Some(info));
            return Ok(());
        }
        if let Some(rate) = self.config.info_rate
            && !self.tables.buckets_mut(conn).take_info(rate, now)
        {
            return Err(RejectReason::InfoRate);
        }
        self.output.records.push(Record::Authorize(Permission::Info));
        Ok(())
    }

    /// Writes an extended client's `join_ack` payload.
    fn write_extended_payload(&mut self, conn: ConnKey, room: RoomKey) {
        let (own, abroad) = (&mut self.output.own_payload, &mut self.output.guest_list);
        own.clear();
        // Clear the previous list, which would otherwise be sent again.
        abroad.replace(&[], Vec::new());
        match self.tables.rooms[room].presence {
            Presence::Count => write_count(&self.tables.rooms[room], own),
            Presence::Off => {
                own.extend_from_slice(b"{\"members\":[");
                write_conn(&self.tables, conn, own);
                own.extend_from_slice(b"]}");
            }
            Presence::Full => self.tables.refresh_entries(room, own, abroad),
        }
        if self.tables.rooms[room].has_history {
            self.answer_recall(conn, room);
        }
        if self.tables.rooms[room].announces_away {
            self.write_ack_end(conn, room);
        }
    }
}

impl<'a> Actions<'a> {
    /// Returns the action that sends a notice to the extended members of a room.
    pub(crate) fn members_action(&self, key: RoomKey, text: u32, kind: NoticeKind) -> Action<'a> {
        let room = &self.tables.rooms[key];
        let audience = room.extended_audience();
        let (payload, name) = (self.output.texts.get(text), &*room.name);
        let packet = PacketRef { room: name, event: MEMBERS, dst: "", src: "", payload };
        let (members, except) = (room.members(), self.context.except);
        match kind {
            NoticeKind::Membership => self.local_broadcast(key, audience, packet),
            // Set `dst` so that the notice does not overtake earlier messages to the room.
            NoticeKind::Own => {
                Action::Send { to: self.context.conn, packet: PacketRef { dst: self.id, ..packet } }
            }
            NoticeKind::Count => Action::Count { room: key, members, except, audience, packet },
            NoticeKind::Info => {
                let (peers, except_guest) = (Peers::default(), None);
                let except = None;
                Action::Broadcast {
                    room: key,
                    members,
                    except,
                    audience,
                    packet,
                    peers,
                    except_guest,
                }
            }
        }
    }

    /// Returns the action that sends an extended client a room's members, with their info.
    #[cold]
    #[inline(never)]
    pub(crate) fn members_ack(&self, room: RoomKey) -> Action<'a> {
        let (room, output) = (&self.tables.rooms[room], self.output);
        let own = &*output.own_payload;
        let snapshot = match room.has_full_presence() {
            true => {
                let chunks = room.entries.as_ref().map_or(&[][..], |entries| entries.chunks());
                let end = self.tables.histories.as_ref().filter(|_| room.has_history);
                let end = match room.announces_away {
                    true => &output.ack_end,
                    false => end.map_or(&b"]}"[..], |histories| histories.ack_end.as_bytes()),
                };
                Snapshot::with_info(chunks, own, &output.guest_list, end)
            }
            false => Snapshot::plain(own),
        };
        Action::JoinAck { to: self.context.conn, id: self.id, room: &room.name, snapshot }
    }
}

impl Tables {
    /// Updates the cached chunks of a room's members and guests, and writes the entries after the
    /// last full chunk.
    fn refresh_entries(&mut self, key: RoomKey, own: &mut Vec<u8>, abroad: &mut MemberList) {
        // Move the chunks out, because building entries borrows the tables. A small room has no
        // full chunks.
        let mut kept = self.rooms[key].entries.take();
        let mut new = EntryChunks::default();
        let entries = kept.as_deref_mut().unwrap_or(&mut new);
        let count = self.members(key).len();
        entries.refresh(count, |index, out| self.write_entry(key, index, out), own);
        let has_new = !new.chunks().is_empty();
        self.rooms[key].entries = kept.or_else(|| has_new.then(|| Box::new(new)));
        if self.rooms[key].guests().is_some() {
            let mut entries = std::mem::take(&mut self.rooms[key].guests_mut().entries);
            let count = self.guests(key).len();
            let mut tail = Vec::new();
            entries.refresh(count, |index, out| self.write_guest_entry(key, index, out), &mut tail);
            abroad.replace(entries.chunks(), tail);
            self.rooms[key].guests_mut().entries = entries;
        }
    }

    /// Appends the entry for a room's member, including its separator.
    pub(crate) fn write_entry(&self, room: RoomKey, index: usize, out: &mut Vec<u8>) {
        let begin: &[u8] = if index == 0 { b"{\"members\":[" } else { b"," };
        out.extend_from_slice(begin);
        write_conn(self, self.rooms[room].members().0[index].conn, out);
    }

    /// Appends the entry for a room's guest, which always follows another entry.
    pub(crate) fn write_guest_entry(&self, room: RoomKey, index: usize, out: &mut Vec<u8>) {
        let guests = self.rooms[room].guests().map_or(&[][..], RoomGuests::members);
        out.push(b',');
        write_guest(self, guests[index].guest, out);
    }
}

/// Appends a connection's JSON entry.
pub(crate) fn write_conn(tables: &Tables, conn: ConnKey, out: &mut Vec<u8>) {
    let entry = &tables.conns[conn];
    write_member(entry.id.as_str(), entry.profile.as_deref(), out);
}

/// Appends a guest's JSON entry.
fn write_guest(tables: &Tables, guest: GuestKey, out: &mut Vec<u8>) {
    let guest = &tables.guest_tables.guests[guest];
    write_member(guest.id().as_str(), guest.profile.as_deref(), out);
}

fn write_count(room: &Room, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"count\":");
    out.extend_from_slice(room.member_count().to_string().as_bytes());
    out.push(b'}');
}

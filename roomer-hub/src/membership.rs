//! Opening connections, joining and leaving rooms, and removing connections, with the resulting records.

use std::time::Duration;

use roomer_proto::extended::Profile;
use roomer_proto::{ConnId, PacketRef, ROOT};

use crate::config::Presence;
use crate::hub::Hub;
use crate::keys::{ConnKey, RoomKey};
use crate::limits::RejectReason;
use crate::permission::{Authorization, Permission};
use crate::record::{Context, Record};

impl Hub {
    /// Opens a connection and adds it to `root`.
    pub(crate) fn open<'a>(&mut self, now: Duration, id: ConnId, extended: bool) -> Context<'a> {
        // Under `Config::compat`, every client is plain, because extended protocol events could be
        // application events.
        let conn = self.tables.insert(id, now, extended && self.config.extended);
        self.opened(id, conn)
    }

    /// Opens a connection that has info or a user.
    #[cold]
    #[inline(never)]
    pub(crate) fn open_with_profile<'a>(
        &mut self,
        now: Duration,
        id: ConnId,
        extended: bool,
        profile: &Profile,
    ) -> Context<'a> {
        let conn = self.tables.insert(id, now, extended && self.config.extended);
        // Set the profile before joining `root`, because that join announces it.
        if let Some(conn) = conn.filter(|_| !profile.is_empty()) {
            self.tables.conns[conn].profile = Some(Box::new(profile.clone()));
        }
        self.opened(id, conn)
    }

    fn opened<'a>(&mut self, id: ConnId, conn: Option<ConnKey>) -> Context<'a> {
        let packet = PacketRef { room: ROOT, ..PacketRef::default() };
        let Some(conn) = conn else {
            // Ids are random, so a duplicate is the caller's fault. A second connection with the
            // same id could receive direct messages meant for the first one.
            self.output.records.push(Record::Rejected);
            return Context::of(ConnKey::default(), packet);
        };
        self.output.subject = Some(id);
        self.output.records.push(Record::Opened);
        self.join_as_server(conn, ROOT);
        Context::of(conn, packet)
    }

    /// Adds a connection to a room on behalf of the server. A rejection is counted, but is not a
    /// violation.
    pub(crate) fn join_as_server(&mut self, conn: ConnKey, name: &str) {
        if let Err(reason) = self.join(conn, name, Authorization::Granted) {
            self.rejected.count(reason);
        }
    }

    /// Adds a connection to a room, creating the room if necessary. Answers a rejected join with
    /// `leave_ack`. The caller must have set the subject.
    pub(crate) fn join(
        &mut self,
        conn: ConnKey,
        name: &str,
        authorization: Authorization,
    ) -> Result<(), RejectReason> {
        let existing = self.tables.find_room(name);
        // Check for a repeated join before the limits, because it needs no seat and the Go original
        // answers every join.
        if let Some(room) = existing.filter(|&room| self.tables.is_member(conn, room)) {
            self.acknowledge(conn, room, self.config.announce_rejoin);
            return Ok(());
        }
        // If both limits are exceeded, the name's length is reported.
        let is_long = name.len() > self.config.max_name;
        if is_long || self.tables.rooms_of(conn).len() >= self.config.max_rooms {
            self.output.records.push(Record::LeaveAck);
            return Err(if is_long { RejectReason::LongName } else { RejectReason::TooManyRooms });
        }
        if self.config.authorize_join && authorization == Authorization::Required {
            self.output.records.push(Record::Authorize(Permission::Join));
            return Ok(());
        }
        let room = match existing {
            Some(room) => room,
            // Create the room after all checks so that a rejected join does not leave an empty
            // room behind.
            None => self.tables.insert_room(name, self.presence_of(name)),
        };
        self.tables.join(conn, room);
        // Record the join after it is done so that the number of members includes the new one.
        self.output.records.push(Record::Joined(room));
        self.acknowledge(conn, room, self.tables.members(room).len() > 1);
        Ok(())
    }

    /// Sends `join_ack` to the subject. With `announce`, notifies the other members if the room
    /// has full presence.
    pub(crate) fn acknowledge(&mut self, conn: ConnKey, room: RoomKey, announce: bool) {
        let room_entry = &self.tables.rooms[room];
        if room_entry.extended_members() > 0 {
            return self.acknowledge_in_mixed_room(conn, room, announce);
        }
        self.output.records.push(Record::JoinAck(room));
        if announce && room_entry.presence == Presence::Full {
            self.output.records.push(Record::NewMember(room));
        }
        self.output.write_plain_payload(room_entry);
    }

    /// Removes a connection from a room. Sends `leave_ack` even if the connection is not a member.
    /// The caller must have set the subject.
    pub(crate) fn leave(&mut self, conn: ConnKey, name: &str) {
        let seat = self
            .tables
            .find_room(name)
            .and_then(|room| Some((room, self.tables.seat_index(conn, room)?)));
        let Some((room, seat_index)) = seat else {
            // A leave is always answered: plain clients use the answer as confirmation that the
            // server has handled their earlier packets.
            return self.output.records.push(Record::LeaveAck);
        };
        // Record the leave before the `leave_ack` so that the driver first flushes the room's
        // pending messages to the connection.
        self.output.records.push(Record::Left(room));
        self.output.records.push(Record::LeaveAck);
        self.leave_seat(conn, seat_index);
    }

    /// Removes a connection from all rooms and from the tables, and makes it the subject. Returns
    /// false if the connection was already removed.
    pub(crate) fn remove(&mut self, conn: ConnKey) -> bool {
        if !self.set_subject(conn) {
            return false;
        }
        // Start with the last seat so that no other seat moves.
        while let Some(seat) = self.tables.conns[conn].seats.last() {
            self.output.records.push(Record::Left(seat.room));
            self.leave_seat(conn, self.tables.conns[conn].seats.len() - 1);
        }
        if self.tables.has_exchanges()
            && let Some(id) = self.output.subject
        {
            self.end_exchange(conn, id);
        }
        self.tables.remove(conn);
        true
    }

    /// Removes one of a connection's seats. Notifies the other members, or reports that the room was
    /// closed.
    fn leave_seat(&mut self, conn: ConnKey, seat_index: usize) {
        let (room, closed) = self.tables.leave(conn, seat_index);
        if let Some(name) = closed {
            // Keep the name, because the records refer to the room by its key, which is now stale.
            self.output.closed_rooms.push((room, name));
            self.output.records.push(Record::RoomClosed(room));
            return;
        }
        let room_entry = &self.tables.rooms[room];
        if room_entry.extended_members() > 0 {
            return self.announce_leave(room);
        }
        // All remaining members may be guests.
        if room_entry.has_full_presence() && !room_entry.members().is_empty() {
            self.output.records.push(Record::MemberLeft(room));
        }
    }
}

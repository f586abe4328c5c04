//! Joining and leaving rooms, renewing tokens and setting the info.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use bytestring::ByteString;

use super::error::{JoinError, SendError};
use super::event::{Event, LostReason};
use super::item::{Kind, item};
use super::lifecycle::{Client, State};
use super::members::Members;
use super::own_info::OwnInfo;
use super::request::ServerError;
use super::room::{Pending, Room};
use super::transmit::PROBE_PACKET;
use crate::extended::{ErrorCode, INFO, Info, TOKEN};
use crate::{JOIN, LEAVE, PacketRef, ROOT};

impl Client {
    /// Joins a room now and after each reconnect. Does nothing if the client is already in the room
    /// or joining it. The result is reported as [`Event::Joined`] or [`Event::Refused`].
    ///
    /// # Errors
    ///
    /// Returns [`JoinError::Closed`] if the client is closed.
    pub fn join(&mut self, now: Duration, room: &str) -> Result<(), JoinError> {
        if matches!(self.state, State::Closing | State::Closed) {
            return Err(JoinError::Closed);
        }
        let (_, entry) = self.rooms.get_or_insert(room);
        if !core::mem::replace(&mut entry.is_wanted, true) {
            // Cancel a leave that has not been sent yet.
            entry.was_in &= entry.is_in && entry.pending.is_none();
            self.request_room(now, room);
            self.pump(now);
        }
        Ok(())
    }

    /// Leaves a room. Messages queued for it are discarded and reported as lost. The result is
    /// reported as [`Event::Left`].
    pub fn leave(&mut self, now: Duration, room: &str) {
        let Some(entry) = self.rooms.get_mut(room).filter(|room| room.is_wanted) else { return };
        entry.is_wanted = false;
        self.discard(LostReason::Unsent, |item| item.room() == room);
        self.request_room(now, room);
        self.pump(now);
        // If the client is not in the room and no request is pending, no `leave_ack` will follow.
        let entry = self.rooms.get(room);
        if entry.is_some_and(|entry| !entry.is_in && entry.pending.is_none()) {
            self.events.push_back(Event::Left { room: room.into() });
            self.forget(room);
        }
    }

    /// Returns the members of a room, including the client. Without a connection, returns the last
    /// known members. `None` if the client has not joined the room.
    #[must_use]
    pub fn members(&self, room: &str) -> Option<&Members> {
        self.rooms.get(room).filter(|room| room.was_in && room.is_wanted).map(|room| &room.members)
    }

    /// Returns true if the client is in a room on the current connection.
    #[must_use]
    pub fn is_joined(&self, room: &str) -> bool {
        self.state == State::Open && self.rooms.get(room).is_some_and(|room| room.is_joined())
    }

    /// Returns the names of the rooms that the application has joined, sorted.
    pub fn rooms(&self) -> impl Iterator<Item = &str> {
        let wanted = self.rooms.iter().filter(|(_, room)| room.is_wanted);
        wanted.map(|(name, _)| &**name)
    }

    /// Answers an [`Event::Expiring`] with a new token. The server accepts one token for each
    /// event.
    ///
    /// # Errors
    ///
    /// Returns [`SendError::Closed`] if the client is not connected to an extended server.
    pub fn renew(&mut self, now: Duration, token: &str) -> Result<(), SendError> {
        if self.state != State::Open || self.session.is_none() {
            return Err(SendError::Closed);
        }
        let payload = token.as_bytes();
        let packet = PacketRef { room: ROOT, event: TOKEN, payload, ..PacketRef::default() };
        self.outbox.request(item(&packet, Kind::Token));
        self.pump(now);
        Ok(())
    }

    /// Sets the client's info, which the server sends to the members of its rooms; `None` removes
    /// the info. This may be called as often as needed: above the server's rate, the client sends
    /// only the newest info, as soon as the server accepts it. The client sends it again in each
    /// new session. Plain servers ignore it. If the server rejects the info for a reason other than
    /// the rate, the client reports [`Event::Error`].
    pub fn set_info(&mut self, now: Duration, info: Option<Info>) {
        match &mut self.info {
            Some(own) => own.set(info),
            None => self.info = Some(Box::new(OwnInfo::new(info))),
        }
        self.send_info(now);
        self.pump(now);
    }

    /// Sends the client's info if it is due and the server's rate permits it.
    pub(super) fn send_info(&mut self, now: Duration) {
        let is_extended = self.state == State::Open && self.session.is_some();
        let own = self.info.as_mut().filter(|_| is_extended);
        let Some(info) = own.and_then(|own| own.take(now)) else { return };
        let payload = info.as_bytes();
        let packet = PacketRef { room: ROOT, event: INFO, payload, ..PacketRef::default() };
        self.outbox.request(item(&packet, Kind::Info));
    }

    /// Schedules the info to be sent again if an error reports that it exceeded the server's rate,
    /// or may stand for such a rejection. Returns true if the error reports nothing else, so that
    /// the application need not see it.
    pub(super) fn repeats_info(&mut self, now: Duration, error: &ServerError) -> bool {
        let is_rate = error.event == INFO && error.code == ErrorCode::Busy.as_str();
        let Some(own) = &mut self.info else { return false };
        // While the info is unacknowledged, it may be one of the rejected packets for which the
        // server sent no error.
        if error.more > 0 && self.outbox.has_unconfirmed_info() {
            own.maybe_rejected(now);
        }
        if is_rate {
            own.too_fast(now);
        }
        is_rate && error.more == 0
    }

    /// Queues a join or leave that the application has requested and the server has not yet
    /// handled, unless another request for this room is pending.
    pub(super) fn request_room(&mut self, now: Duration, name: &str) {
        let is_open = self.state == State::Open;
        // Send only one request per room at a time: the server's acknowledgements do not name the
        // request, so two of them could not be told apart.
        let room = self.rooms.get(name).filter(|room| is_open && room.pending.is_none());
        let Some(room) = room else { return };
        let (request, event, kind) = match (room.is_wanted, room.is_in) {
            (true, false) => (Pending::Join, JOIN, Kind::Join),
            (false, true) => (Pending::Leave, LEAVE, Kind::Leave),
            _ => return,
        };
        let cursor = room.cursor.as_ref().filter(|_| request == Pending::Join);
        // Plain servers ignore the payload of a join.
        let payload = cursor.map(|cursor| cursor.join_payload()).unwrap_or_default();
        if !payload.is_empty() && !self.may_request_history(now, name) {
            return;
        }
        // The server's answer to the leave request looks like a removal by the server, after which
        // unconfirmed messages to the room are reported as lost. The answer to a probe ahead of the
        // leave request confirms them first. An extended server needs no probe, since it reports
        // each message that it rejects.
        if request == Pending::Leave && self.session.is_none() && self.outbox.has_unconfirmed(name)
        {
            self.outbox.request(item(&PROBE_PACKET, Kind::Probe));
        }
        // The number is assigned in `pump`, when the request gets its place in the send order.
        if let Some(room) = self.rooms.get_mut(name) {
            (room.pending, room.number, room.is_doubtful) = (Some(request), None, false);
        }
        let packet = PacketRef { room: name, event, payload: &payload, ..PacketRef::default() };
        self.outbox.request(item(&packet, kind));
    }

    /// Queues the joins and leaves that are still outstanding on a new connection.
    ///
    /// The server itself puts the client into the root room, unless the session is resumed.
    pub(super) fn request_rooms(&mut self, now: Duration, is_resumed: bool) {
        let names = self.rooms.iter().map(|(name, _)| name);
        let names = names.filter(|name| is_resumed || *name != ROOT).cloned();
        // Collect the names first, because `request_room` borrows the whole client.
        let names: Vec<ByteString> = names.collect();
        names.iter().for_each(|name| self.request_room(now, name));
    }

    /// Removes a room if no state needs to be kept for it.
    pub(super) fn forget(&mut self, name: &str) {
        if self.rooms.get(name).is_some_and(|room| room.is_over()) {
            self.rooms.remove(name);
        }
    }

    /// Handles the answer to a probe: the server has handled all packets sent before it.
    pub(super) fn probed(&mut self, now: Duration) {
        let Some(number) = self.outbox.finish_probe() else { return };
        if self.session.is_none() {
            self.outbox.confirm(now, number);
        }
        // An accepted join would have cleared `is_doubtful`, since its `join_ack` precedes the
        // probe's answer. The `leave_ack` was therefore the rejection of the join.
        let is_decided = |room: &Room| room.is_doubtful && room.number.is_some_and(|n| n < number);
        let rooms = self.rooms.iter().filter(|(_, room)| is_decided(room));
        let refused: Vec<ByteString> = rooms.map(|(name, _)| name.clone()).collect();
        for name in refused {
            self.removed(now, &name);
        }
    }

    /// Handles a rejected join, or a removal from a room by the server.
    pub(super) fn removed(&mut self, now: Duration, name: &str) {
        self.recall_answered(now, name, true);
        let Some((room, entry)) = self.rooms.remove(name) else { return };
        self.events.push_back(match (entry.pending, entry.is_wanted) {
            (Some(_), false) => Event::Left { room },
            (None, _) if entry.was_in => Event::Removed { room },
            _ => Event::Refused { room },
        });
        self.give_up(name);
        self.discard(LostReason::Unsent, |item| item.room() == name);
    }

    /// Reports the unconfirmed messages to a room as lost.
    pub(super) fn give_up(&mut self, name: &str) {
        for item in self.outbox.give_up(name) {
            self.report(item, LostReason::Unconfirmed);
        }
    }
}

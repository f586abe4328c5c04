//! Rooms: joining, leaving, and the requests to the server that follow.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use bytestring::ByteString;

use super::error::{JoinError, SendError};
use super::event::{Event, LostReason};
use super::lifecycle::{Client, State};
use super::members::Members;
use super::outbox::{Kind, item};
use super::room::{Pending, Room};
use crate::extended::{INFO, Info, TOKEN};
use crate::{JOIN, LEAVE, PacketRef, ROOT};

impl Client {
    /// Joins a room, now and after each reconnect. Does nothing if the client is in the room or
    /// already joining it. The result is an event: `Joined`, or `Refused`.
    ///
    /// # Errors
    ///
    /// [`JoinError::Closed`] if the client is closed.
    pub fn join(&mut self, now: Duration, room: &str) -> Result<(), JoinError> {
        if matches!(self.state, State::Closing | State::Closed) {
            return Err(JoinError::Closed);
        }
        // Not `entry`, which would copy the name for each call about a room that is known.
        if !self.rooms.contains_key(room) {
            self.rooms.insert(room.into(), Box::default());
        }
        if let Some(entry) = self.rooms.get_mut(room)
            && !core::mem::replace(&mut entry.is_wanted, true)
        {
            // A leave that was not sent is undone.
            entry.was_in &= entry.is_in && entry.pending.is_none();
            self.request_room(room);
            self.pump(now);
        }
        Ok(())
    }

    /// Leaves a room. Messages that wait for it are discarded and reported as lost. The result is the
    /// event `Left`.
    pub fn leave(&mut self, now: Duration, room: &str) {
        let Some(entry) = self.rooms.get_mut(room).filter(|room| room.is_wanted) else { return };
        entry.is_wanted = false;
        for item in self.outbox.discard(room) {
            self.report(item, LostReason::Unsent);
        }
        self.request_room(room);
        self.pump(now);
        // Without a membership or a request there is nothing to wait for.
        let entry = self.rooms.get(room);
        if entry.is_some_and(|entry| !entry.is_in && entry.pending.is_none()) {
            self.events.push_back(Event::Left { room: room.into() });
            self.forget(room);
        }
    }

    /// Returns the members of a room, including the client: the last known ones, while there is no
    /// connection. `None` if the client has not joined the room.
    #[must_use]
    pub fn members(&self, room: &str) -> Option<&Members> {
        self.rooms.get(room).filter(|room| room.was_in && room.is_wanted).map(|room| &room.members)
    }

    /// Returns true if the client is in a room on the current connection.
    #[must_use]
    pub fn is_in(&self, room: &str) -> bool {
        self.state == State::Open
            && self.rooms.get(room).is_some_and(|room| room.is_in && room.is_wanted)
    }

    /// Returns the names of the rooms that the application has joined, sorted.
    pub fn rooms(&self) -> impl Iterator<Item = &str> {
        let wanted = self.rooms.iter().filter(|(_, room)| room.is_wanted);
        wanted.map(|(name, _)| &**name)
    }

    /// Answers an [`Event::Expiring`] with a new token. The server accepts one for each event.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] if there is no connection to an extended server.
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

    /// Changes the client's info, which members of its rooms get; `None` removes it. It is sent again in
    /// each new session, and ignored by plain servers. If the server does not permit it, the result is
    /// [`Event::Error`].
    pub fn set_info(&mut self, now: Duration, info: Option<Info>) {
        // Kept, since a new session begins without it; a resumed one has it already.
        self.info = Some(Box::new(info));
        self.send_info();
        self.pump(now);
    }

    /// Sends the info that the application has set.
    pub(super) fn send_info(&mut self) {
        let is_extended = self.state == State::Open && self.session.is_some();
        let Some(info) = self.info.as_deref().filter(|_| is_extended) else { return };
        // `null` is the form of "no info" on the wire: an empty payload is not JSON.
        let payload = info.as_ref().map_or("null", Info::as_str).as_bytes();
        let packet = PacketRef { room: ROOT, event: INFO, payload, ..PacketRef::default() };
        self.outbox.request(item(&packet, Kind::Info));
    }

    /// Queues the request that brings a room closer to what the application wants, if no other is
    /// pending.
    pub(super) fn request_room(&mut self, name: &str) {
        let is_open = self.state == State::Open;
        // One request at a time for each room: the server's answers do not name the request, so
        // those to two of them could not be distinguished.
        let Some(room) = self.rooms.get_mut(name).filter(|room| is_open && room.pending.is_none())
        else {
            return;
        };
        let (request, event, kind) = match (room.is_wanted, room.is_in) {
            (true, false) => (Pending::Join, JOIN, Kind::Join),
            (false, true) => (Pending::Leave, LEAVE, Kind::Leave),
            _ => return,
        };
        // Without a number until the request has its place in the order of sending: see `pump`.
        (room.pending, room.number, room.is_doubtful) = (Some(request), None, false);
        let memory = room.memory.as_ref().filter(|_| request == Pending::Join);
        // Plain servers ignore the payload of a join.
        let payload = memory.map(|memory| memory.recall()).unwrap_or_default();
        let packet = PacketRef { room: name, event, payload: &payload, ..PacketRef::default() };
        self.outbox.request(item(&packet, kind));
    }

    /// Requests the joins and leaves that are missing on a new connection.
    ///
    /// The server puts the client into root by itself, unless the session continues.
    pub(super) fn request_rooms(&mut self, is_resumed: bool) {
        let names = self.rooms.keys().filter(|name| is_resumed || *name != ROOT).cloned();
        // Collected, since `request_room` needs the whole client.
        let names: Vec<ByteString> = names.collect();
        names.iter().for_each(|name| self.request_room(name));
    }

    /// Removes a room of which nothing has to be remembered.
    pub(super) fn forget(&mut self, name: &str) {
        if self.rooms.get(name).is_some_and(|room| room.is_over()) {
            self.rooms.remove(name);
        }
    }

    /// Handles the answer to the probe with this number, which shows that the server has answered
    /// all requests before it.
    pub(super) fn probe_answered(&mut self, number: u64) {
        // An accepted join would have cleared `is_doubtful`, as its `join_ack` precedes the probe's
        // answer. So the `leave_ack` was its rejection.
        let is_decided = |room: &Room| room.is_doubtful && room.number.is_some_and(|n| n < number);
        let rooms = self.rooms.iter().filter(|(_, room)| is_decided(room));
        let refused: Vec<ByteString> = rooms.map(|(name, _)| name.clone()).collect();
        for name in refused {
            self.removed(&name);
        }
    }
}

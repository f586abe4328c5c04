//! Messages to rooms and to single clients.

use core::time::Duration;

use super::control::item;
use super::event::{SendError, Sent};
use super::life::{Client, State};
use super::outbox::Kind;
use super::room::Room;
use crate::extended::is_extended;
use crate::{PacketRef, is_built_in};

impl Client {
    /// Sends a message to a room that the client has joined or is joining: to all other members or,
    /// with `to`, to the client with that id alone.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the message is not accepted. An accepted message arrives, or is reported by
    /// [`Event::Lost`](super::Event::Lost).
    pub fn send(
        &mut self,
        now: Duration,
        room: &str,
        event: &str,
        to: Option<&str>,
        payload: &[u8],
    ) -> Result<Sent, SendError> {
        if matches!(self.state, State::Closing | State::Closed) {
            return Err(SendError::Closed);
        }
        // An empty receiver would make a private message public.
        if is_built_in(event) || is_extended(event) || to == Some("") {
            return Err(SendError::Reserved);
        }
        let Some(entry) = self.rooms.get(room).filter(|room| room.is_wanted) else {
            return Err(SendError::NotJoined);
        };
        let packet = PacketRef { room, event, dst: to.unwrap_or_default(), src: "", payload };
        let length = packet.encoded_len();
        let limits = self.limits();
        let most = self.session.as_ref().map_or(usize::MAX, |session| session.max_message);
        if length > most.min(limits.bytes).min(u32::MAX as usize) {
            return Err(SendError::TooLarge);
        }
        let is_open = self.state == State::Open && entry.is_open(now >= self.grace_end);
        if is_open && self.outbox.is_free(limits) {
            let item = item(&packet, Kind::Message);
            self.outbox.commit(now, item);
            return Ok(Sent::Sent);
        }
        if !self.outbox.accepts(length, limits) {
            return Err(SendError::Full);
        }
        self.outbox.queue(item(&packet, Kind::Message));
        self.pump(now);
        Ok(Sent::Queued)
    }

    /// Moves what may be sent now from the queue into the order of sending.
    pub(super) fn pump(&mut self, now: Duration) {
        if self.state != State::Open {
            return;
        }
        let limits = self.limits();
        let is_late = now >= self.grace_end;
        if is_late {
            self.grace_end = Duration::ZERO;
        }
        loop {
            let rooms = &self.rooms;
            let is_open = |name: &str| rooms.get(name).is_some_and(|room| room.is_open(is_late));
            let Some(item) = self.outbox.next(now, limits, is_open) else { return };
            let (kind, room) = (item.kind, item.room.clone());
            let number = self.outbox.commit(now, item);
            if matches!(kind, Kind::Join | Kind::Leave)
                && let Some(entry) = self.rooms.get_mut(&*room)
            {
                entry.number = Some(number);
            }
        }
    }

    /// Returns true if messages wait for other members of a room.
    pub(super) fn has_waiting_rooms(&self) -> bool {
        self.rooms.values().any(|room: &Room| !room.is_open(false) && room.is_open(true))
    }
}

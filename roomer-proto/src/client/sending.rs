//! Sending messages to rooms and to individual clients, and committing queued ones.

use core::time::Duration;

use super::error::SendError;
use super::event::SendStatus;
use super::item::{Item, Kind, item};
use super::lifecycle::{Client, State};
use crate::extended::{is_extended, split_tag};
use crate::{PacketRef, is_built_in, is_local};

impl Client {
    /// Sends a message to a room that the client has joined or is joining. The message goes to all
    /// other members or, if `to` is set, only to the client with that id.
    ///
    /// # Errors
    ///
    /// Returns a [`SendError`] if the message is not accepted. An accepted message either arrives
    /// or is reported by [`Event::Lost`](super::Event::Lost).
    pub fn send(
        &mut self,
        now: Duration,
        room: &str,
        event: &str,
        to: Option<&str>,
        payload: &[u8],
    ) -> Result<SendStatus, SendError> {
        let packet = PacketRef { room, event, dst: to.unwrap_or_default(), src: "", payload };
        // An empty receiver would make a direct message public, and a tag would make it a request.
        if to.is_some_and(|to| to.is_empty() || split_tag(to).is_some()) {
            return Err(SendError::Reserved);
        }
        self.submit(now, &packet, Kind::Message)
    }

    /// Sends or queues a packet.
    pub(super) fn submit(
        &mut self,
        now: Duration,
        packet: &PacketRef<'_>,
        kind: Kind,
    ) -> Result<SendStatus, SendError> {
        if matches!(self.state, State::Closing | State::Closed) {
            return Err(SendError::Closed);
        }
        // The JavaScript client does not deliver events with the names of its local ones.
        let is_reserved = is_built_in(packet.event) || is_local(packet.event);
        if is_reserved || is_extended(packet.event) {
            return Err(SendError::Reserved);
        }
        let Some(entry) = self.rooms.get(packet.room).filter(|room| room.is_wanted) else {
            return Err(SendError::NotJoined);
        };
        let length = packet.encoded_len();
        let limits = self.limits();
        if length > self.most_bytes() {
            return Err(SendError::TooLarge);
        }
        if self.must_hold(kind, packet.dst) {
            return self.hold_request(item(packet, kind), packet.dst);
        }
        let is_open = self.state == State::Open
            && entry.is_open(now >= self.grace_end || !packet.dst.is_empty());
        // Send immediately only if nothing is queued, so that a message never overtakes an earlier
        // one.
        if is_open && self.outbox.is_free(limits) {
            let item = item(packet, kind);
            self.outbox.commit(now, item);
            return Ok(SendStatus::Sent);
        }
        if !self.outbox.accepts(length, limits) {
            return Err(SendError::Full);
        }
        self.outbox.queue(item(packet, kind));
        // The message may already be sendable if it was queued only to keep the order.
        self.pump(now);
        Ok(SendStatus::Queued)
    }

    /// Returns the maximum message size in bytes: the limit that the server has announced, but at
    /// most the largest length that a field can have.
    pub(super) fn most_bytes(&self) -> usize {
        let announced = self.session.as_ref().map_or(usize::MAX, |session| session.max_message);
        // Apply the protocol's own limit too so that encoding cannot panic.
        announced.min(u32::MAX as usize)
    }

    /// Commits the queued items that may be sent now, which fixes their order.
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
            let is_open = |item: &Item| {
                let room = rooms.get(item.room());
                room.is_some_and(|room| {
                    room.is_open(is_late) || room.is_open(true) && has_receiver(item)
                })
            };
            let Some(item) = self.outbox.next(now, limits, is_open) else { return };
            let kind = item.kind;
            let number = match kind {
                Kind::Probe => self.outbox.probe(now, item),
                _ => self.outbox.commit(now, item),
            };
            // Record the packet's number, to check later whether a probe was committed after it.
            if matches!(kind, Kind::Join | Kind::Leave)
                && let Some(item) = self.outbox.last()
                && let Some(entry) = self.rooms.get_mut(item.room())
            {
                entry.number = Some(number);
            }
        }
    }

    /// Returns true if messages to a room are waiting for its other members.
    pub(super) fn has_waiting_rooms(&self) -> bool {
        self.rooms.iter().any(|(_, room)| !room.is_open(false) && room.is_open(true))
    }
}

/// Returns true for a request or a message to one client, which does not wait for the room's other
/// members.
fn has_receiver(item: &Item) -> bool {
    !item.packet().dst.is_empty()
}

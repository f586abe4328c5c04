//! Rooms with history: the position a client has reached, and the messages it asks for.

use alloc::boxed::Box;
use core::time::Duration;

use super::error::JoinError;
use super::event::Event;
use super::history_cursor::HistoryCursor;
use super::lifecycle::Client;
use super::recalls::Recalls;
use crate::ConnId;
use crate::extended::{self, Position};

impl Client {
    /// Joins a room with history. Requests the latest `last` messages on the first join, and again
    /// whenever the server no longer has all the messages that the client missed. They arrive as
    /// messages with a [number](super::Message::number). Only the first call for a room sets
    /// `last`.
    ///
    /// After a plain [`join`](Self::join), the client requests only the messages that it missed
    /// between two sessions. Messages that the client itself sent do not arrive again.
    ///
    /// The server limits the rate of joins that request past messages. Further joins wait until the
    /// rate permits them.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`join`](Self::join).
    pub fn join_with_history(
        &mut self,
        now: Duration,
        room: &str,
        last: u32,
    ) -> Result<(), JoinError> {
        // If the application has left the room and now rejoins it, request the last messages, not
        // those missed in between.
        let is_new = self.rooms.get(room).is_none_or(|entry| !entry.is_wanted);
        if is_new {
            let entry = self.rooms.get_or_insert(room).1;
            entry.cursor = Some(Box::new(HistoryCursor::new(last)));
        }
        let result = self.join(now, room);
        if is_new && result.is_err() {
            self.rooms.remove(room);
        }
        result
    }

    /// Handles the position in a `join_ack`. The server sends the missed or the last messages next.
    pub(super) fn remember(&mut self, now: Duration, name: &str, own: ConnId, payload: &[u8]) {
        let Some(members) = extended::Members::parse(payload) else { return };
        self.recall_answered(now, name, members.at.is_some());
        let Some((room, entry)) = self.rooms.entry_mut(name) else { return };
        let room = room.clone();
        let Some(at) = members.at else {
            // The room no longer has a history.
            if let Some(cursor) = &mut entry.cursor {
                cursor.seen = None;
            }
            return;
        };
        let cursor = entry.cursor.get_or_insert_default();
        // Record the id with every position, since each session has a new id.
        cursor.add_own(own);
        let before = cursor.seen;
        cursor.seen = Some(match before {
            // The missed messages follow, and must count as new.
            Some(before) if members.recovered => Position { epoch: at.epoch, ..before },
            // The last messages follow. Move back by their number so that they count as new.
            _ => Position { number: at.number.saturating_sub(cursor.last.into()), ..at },
        });
        if before.is_some() && !members.recovered {
            self.events.push_back(Event::Missed { room });
        }
    }

    /// Handles the sequence number of a message that this client sent.
    pub(super) fn numbered(&mut self, name: &str, dst: &str) {
        if let Some(entry) = self.rooms.get_mut(name)
            && let Some(cursor) = &mut entry.cursor
        {
            cursor.see(dst);
        }
    }

    /// Returns true if a join that requests past messages may be sent now. Otherwise, the join is
    /// sent later.
    pub(super) fn may_request_history(&mut self, now: Duration, room: &str) -> bool {
        // A plain server sends no past messages and has no such limit.
        if self.session.is_none() {
            return true;
        }
        self.recalls.get_or_insert_with(|| Box::new(Recalls::new())).take(now, room)
    }

    /// Sends the waiting joins that the server's rate permits.
    pub(super) fn send_waiting_joins(&mut self, now: Duration) {
        while let Some(room) = self.recalls.as_mut().and_then(|recalls| recalls.next(now)) {
            self.request_room(now, &room);
        }
    }

    /// Returns true if a room's join is waiting until the server's rate permits it.
    pub(super) fn is_join_waiting(&self, room: &str) -> bool {
        self.recalls.as_ref().is_some_and(|recalls| recalls.waits(room))
    }

    /// Handles the answer to a room's join. `is_counted` is false if the server has not counted the
    /// join, because the room has no history.
    pub(super) fn recall_answered(&mut self, now: Duration, room: &str, is_counted: bool) {
        if let Some(recalls) = &mut self.recalls {
            recalls.answered(now, room, is_counted);
        }
    }
}

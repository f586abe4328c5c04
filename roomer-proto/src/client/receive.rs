//! Parsing received bytes into packets, and handling each packet.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use super::error::{Closing, Failure, RequestError};
use super::event::{Event, LostReason, Message, is_direct};
use super::lifecycle::{Client, State};
use super::members::{Change, Members};
use super::room::{Pending, Room};
use super::session::{Hello, Session};
use super::transmit::PROBE;
use crate::close::code;
use crate::extended::{
    self, ACK, ACK_NOW, AckSchedule, ERROR, EXPIRING, HELLO, MEMBERS, NUMBER, REPLY, is_extended,
    parse_count,
};
use crate::websocket::{self, Limits, Violation, valid_close_code};
use crate::{
    ConnId, JOIN_ACK, LEAVE_ACK, MEMBER_LEFT, NEW_MEMBER, Packet, PacketRef, ROOT, is_built_in,
};

impl Client {
    /// Handles bytes read from the connection. They are unmasked in place, so their contents are
    /// unspecified afterwards.
    pub fn receive(&mut self, now: Duration, bytes: &mut [u8]) {
        let mut rest = &mut *bytes;
        let Some(socket) = &mut self.socket else { return };
        if !socket.is_upgraded {
            let Some(handshake) = &mut socket.handshake else { return };
            match handshake.receive(rest) {
                Ok(None) => return,
                Ok(Some(used)) => rest = &mut rest[used..],
                Err(failure) => return self.lose(now, failure),
            }
            let is_compressed = handshake.is_compressed;
            (socket.handshake, socket.is_upgraded) = (None, true);
            if is_compressed {
                self.compression_agreed();
            }
        }
        self.record_received(now);
        let Some(socket) = &mut self.socket else { return };
        let limits = Limits { max_message: self.options.max_message, ..Limits::default() };
        // Take the decoder out of the socket, because handling a frame borrows the whole client.
        let mut frames = core::mem::take(&mut socket.frames);
        let mut feed = frames.feed(&limits, rest);
        // Handling a frame may end the connection. Any frames after it are dropped.
        while self.socket.is_some()
            && let Some(event) = feed.next()
        {
            match event {
                Ok(event) => self.frame(now, event),
                Err(violation) => self.violated(now, violation),
            }
        }
        drop(feed);
        if let Some(socket) = &mut self.socket {
            socket.frames = frames;
        }
        self.pump(now);
    }

    fn frame(&mut self, now: Duration, event: websocket::Event<'_>) {
        let Some(socket) = &mut self.socket else { return };
        match event {
            websocket::Event::Message { data, .. } => self.message(now, data),
            websocket::Event::Compressed { kind, data } => self.compressed(now, kind, data),
            websocket::Event::Ping(payload) => {
                // Only the newest ping must be answered (RFC 6455 section 5.5.3).
                socket.pong = Some(payload.into());
            }
            // Any received bytes show that the server is alive, so a pong needs no further handling.
            websocket::Event::Pong(_) => {}
            websocket::Event::Close { code, reason } => {
                if self.state != State::Closing {
                    // RFC 6455 section 5.5.1: the reply echoes the code.
                    let answer = code.filter(|code| valid_close_code(*code));
                    self.final_close_code = Some(answer.unwrap_or(code::NORMAL));
                }
                self.closed_by_server(now, code, reason);
            }
        }
    }

    /// Handles a close frame.
    pub(super) fn closed_by_server(&mut self, now: Duration, code: Option<u16>, reason: &str) {
        if self.state != State::Closing {
            return self.lose(now, Failure::Closed { code, reason: reason.into() });
        }
        // A normal code without a reason is the reply to the client's close frame. The server sends
        // it after handling everything before that frame.
        let has_closed = self.socket.as_ref().is_some_and(|socket| socket.has_closed);
        if code == Some(code::NORMAL) && reason.is_empty() && has_closed {
            self.outbox.confirm_written(now);
        }
        self.finish(now, Closing::Application);
    }

    /// Closes the connection after a protocol violation by the server. The client will reconnect.
    pub(super) fn violated(&mut self, now: Duration, violation: Violation) {
        self.final_close_code = Some(violation.code);
        self.lose(now, Failure::Violation(violation));
    }

    pub(super) fn message(&mut self, now: Duration, data: &[u8]) {
        let Some(socket) = &mut self.socket else { return };
        // Count invalid packets too, because the server counts every message that it sends.
        let Ok(packet) = PacketRef::decode(data) else {
            self.count(now, data.len());
            return self.events.push_back(Event::Raw(Bytes::copy_from_slice(data)));
        };
        if core::mem::take(&mut socket.is_new) {
            let hello = (packet.event == HELLO && self.options.extended)
                .then(|| Hello::parse(packet.src, packet.payload));
            match hello.flatten() {
                Some(hello) => return self.hello(now, hello),
                // End a previous extended session too: this connection may lead to a different
                // server.
                None => self.plain(now),
            }
        }
        if self.session.is_some() {
            match packet.event {
                HELLO => return,
                // Acknowledgements are not counted: otherwise each one would require another.
                ACK => return self.acknowledged(now, &packet),
                _ => self.count(now, data.len()),
            }
        }
        self.route(now, packet, data);
    }

    /// Counts a message toward the session's acknowledgements.
    fn count(&mut self, now: Duration, bytes: usize) {
        if let Some(session) = &mut self.session {
            session.received.received(now, bytes);
        }
    }

    /// Handles the first packet from a plain server, which is any packet other than `hello`.
    fn plain(&mut self, now: Duration) {
        if self.session.is_some() {
            self.end_session(now);
        }
        self.end_requests(&RequestError::Plain, |_, _| true);
        self.id = None;
    }

    fn hello(&mut self, now: Duration, hello: Hello) {
        let is_resumed = hello.is_resumed && self.session.is_some();
        if is_resumed {
            // If the counts disagree, neither side can tell which packets are missing. Start a new
            // session and report the packets as `Lost`.
            if !self.outbox.resume(now, hello.received) {
                self.end_session(now);
                return self.violated(now, WRONG_COUNT);
            }
        } else if self.session.is_some() {
            self.end_session(now);
        }
        let received = match (&self.session, is_resumed) {
            (Some(session), true) => session.received,
            _ => AckSchedule::default(),
        };
        self.session = Some(Box::new(Session {
            token: hello.token,
            received,
            heartbeat: hello.heartbeat,
            is_asked: false,
            max_message: hello.max_message,
            max_requests: hello.max_requests,
        }));
        self.discard(LostReason::TooLarge, |item| item.bytes.len() > hello.max_message);
        self.opened(now, hello.id, is_resumed);
        if !is_resumed {
            self.info.iter_mut().for_each(|own| own.renew());
            self.limit_requests();
        }
        // Send the info before the joins so that members receive the info along with the join.
        self.send_info(now);
        self.request_rooms(now, is_resumed);
    }

    fn acknowledged(&mut self, now: Duration, packet: &PacketRef<'_>) {
        let count = parse_count(packet.payload);
        let held = self.outbox.held();
        if !count.is_some_and(|count| self.outbox.confirm(now, count)) {
            return self.violated(now, WRONG_COUNT);
        }
        if self.state == State::Closing && self.outbox.held() < held {
            self.await_close(now);
        }
        if let Some(session) = self.session.as_mut().filter(|_| packet.dst == ACK_NOW) {
            session.is_asked = true;
        }
    }

    fn route(&mut self, now: Duration, packet: PacketRef<'_>, data: &[u8]) {
        let PacketRef { room, event, dst, src, payload } = packet;
        let is_of_server = src.is_empty() && dst.is_empty();
        match event {
            // An acknowledgement forged by a peer has a receiver, or its sender is that peer.
            JOIN_ACK | LEAVE_ACK => {
                let Some(id) = ConnId::parse(src).filter(|_| dst.is_empty()) else { return };
                // A peer has forged this acknowledgement for another connection, and the Go
                // original has forwarded it.
                if self.id.is_some_and(|own| own != id) {
                    return;
                }
                // A plain server sends no `hello`; its `join_ack` for the root room opens the
                // client.
                if self.state == State::Connecting {
                    self.opened(now, id, false);
                    self.request_rooms(now, false);
                }
                match event {
                    _ if room == PROBE => self.probed(now),
                    JOIN_ACK => self.joined(now, room, id, payload),
                    _ => self.left(now, room),
                }
            }
            NEW_MEMBER | MEMBER_LEFT if is_of_server => {
                let id = core::str::from_utf8(payload).ok().and_then(ConnId::parse);
                let Some((name, entry)) = self.entry(room) else { return };
                let Some(id) = id else { return };
                entry.note_others(now);
                // Remove the member only after the call above: it may be the only other member.
                if event == NEW_MEMBER && entry.members.add(id) {
                    self.events.push_back(Event::MemberJoined { room: name, id });
                } else if event == MEMBER_LEFT && entry.members.remove(&id) {
                    entry.note_others(now);
                    self.events.push_back(Event::MemberLeft { room: name, id });
                }
            }
            MEMBERS if is_of_server && self.session.is_some() => {
                self.changed(now, room, payload);
            }
            EXPIRING if is_of_server && self.session.is_some() => {
                let value = serde_json::from_slice(payload).unwrap_or(serde_json::Value::Null);
                let left = value.get("in").and_then(serde_json::Value::as_u64).unwrap_or(0);
                self.events.push_back(Event::Expiring { left: Duration::from_millis(left) });
            }
            NUMBER if src.is_empty() && self.session.is_some() => {
                self.numbered(room, dst);
            }
            REPLY | ERROR if self.session.is_some() => self.receive_answer(now, &packet),
            // Such an event was forged by a peer or comes from a later protocol version. The
            // application must not receive it.
            _ if is_extended(event) || is_built_in(event) => {}
            _ if self.receive_request(now, &packet) => {}
            _ => {
                if let Some(entry) = self.rooms.get_mut(room).filter(|room| room.is_in) {
                    entry.note_others(now);
                    let cursor = entry.cursor.as_mut().filter(|_| self.session.is_some());
                    if cursor.is_some_and(|cursor| !cursor.admits(dst, src)) {
                        return;
                    }
                } else if !is_direct(dst) {
                    // The client is not in this room.
                    return;
                }
                if let Ok(packet) = Packet::decode(Bytes::copy_from_slice(data)) {
                    self.events.push_back(Event::Message(Message::from(packet)));
                }
            }
        }
    }

    /// Returns a room that the client is currently in, with its name.
    fn entry(&mut self, name: &str) -> Option<(ByteString, &mut Room)> {
        let (name, room) = self.rooms.entry_mut(name).filter(|(_, room)| room.is_in)?;
        Some((name.clone(), room))
    }

    fn joined(&mut self, now: Duration, name: &str, id: ConnId, payload: &[u8]) {
        let is_known = self.rooms.contains(name);
        let (room, entry) = self.rooms.get_or_insert(name);
        let room = room.clone();
        if name == ROOT && !entry.is_wanted && entry.pending.is_none() {
            // Every connection starts in the root room, even if the application has left it.
            (entry.is_in, entry.is_quiet) = (true, true);
            return self.request_room(now, name);
        }
        entry.is_doubtful = false;
        if entry.pending == Some(Pending::Join) {
            entry.pending = None;
        }
        // The server may add a client to a room that the client did not ask to join.
        entry.is_wanted |= !is_known;
        let was_open = entry.is_in;
        let previous_id = if was_open { Some(id) } else { entry.previous_id.as_deref().copied() };
        let before = entry.joined(Members::parse(payload));
        entry.note_others(now);
        if !entry.is_wanted || entry.pending.is_some() {
            // If the application left the room during the join, send the leave request now. If it
            // left the room and rejoined, wait for the answer to the next join.
            self.recall_answered(now, name, true);
            return self.request_room(now, name);
        }
        let is_first = !core::mem::replace(&mut entry.was_in, true);
        if self.session.is_some() {
            self.remember(now, name, id, payload);
        }
        let Some(entry) = self.rooms.get_mut(name) else { return };
        if is_first {
            return self.events.push_back(Event::Joined { room });
        }
        // Report the difference so that lists kept by the application stay correct.
        let changes = entry.members.since(&before, (previous_id, id));
        self.report_members(&room, changes);
        if let Some(previous_id) = previous_id.filter(|_| !was_open) {
            self.events.push_back(Event::Rejoined { room, previous_id });
        }
    }

    /// Handles a `leave_ack`: the answer to a leave, a rejected join, or a removal by the server.
    fn left(&mut self, now: Duration, name: &str) {
        let is_join_waiting = self.is_join_waiting(name);
        if let Some(number) = self.undecided_join(name) {
            return self.doubt(name, number);
        }
        let Some(entry) = self.rooms.get_mut(name) else { return };
        let was_in = core::mem::replace(&mut entry.is_in, false);
        entry.members = Members::default();
        let is_quiet = core::mem::take(&mut entry.is_quiet);
        match (entry.pending, entry.is_wanted) {
            (Some(Pending::Join), _) => {
                // An uncommitted join cannot have been rejected.
                let Some(number) = entry.number else { return };
                entry.is_doubtful = true;
                self.outbox.must_probe |= !self.outbox.is_probed(number);
            }
            // The join was not sent yet, so this is the answer to an earlier leave.
            (None, true) if !was_in && is_join_waiting => {}
            (None, true) => self.removed(now, name),
            (pending, is_wanted) => {
                entry.pending = None;
                // If the probe ahead of the leave request is still unanswered, this `leave_ack`
                // reports a removal by the server.
                if pending == Some(Pending::Leave) && self.session.is_none() {
                    self.give_up(name);
                }
                if !is_wanted && !is_quiet {
                    self.events.push_back(Event::Left { room: name.into() });
                }
                self.request_room(now, name);
                self.forget(name);
            }
        }
    }

    /// Returns the number of an open room's join if the server may not have answered it yet: the
    /// `join_ack` that opened the room may instead report that the server has added the client. In
    /// that case a `leave_ack` may answer an earlier leave, or report a removal before the join.
    fn undecided_join(&self, name: &str) -> Option<u64> {
        let is_open = |room: &&Room| room.is_wanted && room.is_in && room.pending.is_none();
        let number = self.rooms.get(name).filter(is_open)?.number;
        number.filter(|number| !self.outbox.is_confirmed(*number))
    }

    /// Keeps a room until the answer to a probe shows whether the server has removed the client.
    fn doubt(&mut self, name: &str, number: u64) {
        let Some(entry) = self.rooms.get_mut(name) else { return };
        entry.is_doubtful = true;
        self.outbox.must_probe |= !self.outbox.is_probed(number);
        // The server may have dropped these messages. Report them now, since the answer to the probe
        // also confirms them.
        self.give_up(name);
    }

    /// Handles a `roomer:members` packet, which lists changed members.
    fn changed(&mut self, now: Duration, name: &str, payload: &[u8]) {
        let Some((room, entry)) = self.entry(name) else { return };
        let Some(changes) = extended::Members::parse(payload) else { return };
        entry.note_others(now);
        let changes = entry.members.apply(changes);
        self.report_members(&room, changes);
    }

    /// Reports changes to the members of a room.
    fn report_members(&mut self, room: &ByteString, changes: Vec<(ConnId, Change)>) {
        self.events.extend(changes.into_iter().map(|(id, change)| {
            let room = room.clone();
            match change {
                Change::Left => Event::MemberLeft { room, id },
                Change::Joined => Event::MemberJoined { room, id },
                Change::Changed => Event::MemberChanged { room, id },
            }
        }));
    }
}

const WRONG_COUNT: Violation = Violation::protocol("a wrong count of packets");

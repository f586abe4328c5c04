//! A connection's state, as observed from outside the server.

use std::time::Duration;

use roomer_hub::{ConnKey, Permission, Presence};
use roomer_proto::PacketRef;
use roomer_testkit::socket::Peer;

use super::auth_hook::PendingAuth;
use super::expected::{Expected, ExpectedItem, Output};
use super::plan::Violation;
use super::traffic::{Meaning, Traffic};
use crate::alphabet::{id_number, room_number};
use crate::fault::{Fault, ensure};
use crate::hub::op::IdSet;

/// The engine's limit on the bytes that are read before the upgrade.
pub(super) const MAX_HEAD: u64 = 16 * 1024;

#[derive(Debug)]
pub struct ConnModel {
    pub peer: Peer,
    pub task: usize,
    pub slot: u8,
    /// The status of an early rejection for too many handshakes in progress.
    pub rejected_early: Option<u16>,
    /// The pending `authorize` call during the handshake.
    pub pending_auth: Option<PendingAuth>,
    pub is_mute: bool,
    pub traffic: Traffic,
    pub expected: Expected,
    pub view: View,
    pub state: State,
    pub client: Option<u16>,
    pub key: Option<ConnKey>,
    /// The connection's id number.
    pub id: u16,
    pub created: Duration,
    /// How many bytes the server had read after the last poll.
    pub read: u64,
    /// How many bytes were read by the last poll that read any.
    pub last_read: u64,
    pub last_received: Duration,
    /// When a full socket has certainly become writable, and when it may have.
    pub writable: (Duration, Duration),
    /// True if the socket has been full since it last accepted bytes.
    pub was_full: bool,
    /// True if the socket may accept fewer bytes than it has space for.
    pub is_narrow: bool,
    /// The values of `last_received` and `unanswered_ping` before the last read.
    pub before_read: (Duration, Option<Duration>),
    pub last_ping: Duration,
    pub unanswered_ping: Option<Duration>,
    /// True if it is unknown whether the last input came before or after the last ping.
    pub is_ping_order_unknown: bool,
    /// How far the end of the client's stream has come.
    pub end: Option<End>,
    /// The position after the client's close frame.
    pub closes_at: Option<u64>,
    /// When the server decided to close, and when it was polled next.
    pub closed: Option<(Duration, Option<Duration>)>,
    /// The number of bytes read before the poll that decided to close.
    pub read_at_close: u64,
    /// True if the server no longer parses the client's frames.
    pub ignores_input: bool,
    /// The first protocol violation in the client's bytes.
    pub violation: Option<Violation>,
    /// True if the notice of another connection's close exceeded the queue's hard limit.
    pub overflowed_by_close: bool,
    /// True if the hub has closed the connection because of a rate limit or violations.
    pub is_closed_by_hub: bool,
    /// True if the connection was closed to save memory, and may therefore be aborted with much
    /// pending output.
    pub is_shed: bool,
    pub is_broken: bool,
    pub is_aborted: bool,
    /// How many bytes the socket had accepted when the server was last idle, and when that last
    /// changed.
    pub taken: (u64, Duration),
    /// The earliest time when more than half of the queue's limit may have been in use.
    pub congested_since: Option<Duration>,
    pub was_unread: bool,
    /// How many bytes had been read when reading was paused, and when it was paused.
    pub paused: Option<(u64, Duration)>,
    /// The question that a pending rule must answer.
    pub pending_rule: Option<(Permission, PacketRef<'static>)>,
    /// The pending handler or rule that delays further input.
    pub waiting: Option<Waiting>,
    /// The number of bytes read when the poll began, or when the handshake ended.
    pub read_at_poll: u64,
    /// Set when a handler or rule has completed. Later input is not parsed until the server has
    /// received more bytes than this.
    pub parse_resumes_at: Option<u64>,
    /// The position after the last handled packet.
    pub parsed: u64,
    /// The position from which the decoder may buffer input after a pending handler.
    pub buffered_from: Option<u64>,
    /// True if a pending handler or rule has completed in this poll.
    pub has_resumed: bool,
    /// True if both sides have sent close frames.
    pub has_closed_cleanly: bool,
    /// When the socket was first seen full while idle.
    blocked: Duration,
    seen_written: u64,
}

/// A pending handler or rule.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// When the handler or rule completes; `None` before its first poll.
    pub until: Option<Duration>,
    /// How many bytes had been read when it was called.
    pub read: u64,
    /// The size of the message's payload.
    pub payload: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Handshake,
    Open,
    Closing,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client sends no more bytes, but those in flight still arrive.
    Sending,
    /// The end of the stream has arrived at the server.
    Arrived,
    /// The connection is lost, but the server has not noticed.
    Lost,
}

impl ConnModel {
    pub fn new(peer: Peer, task: usize, slot: u8, is_mute: bool, now: Duration) -> Self {
        ConnModel {
            peer,
            task,
            slot,
            rejected_early: None,
            pending_auth: None,
            is_mute,
            traffic: Traffic::default(),
            expected: Expected::default(),
            view: View::default(),
            state: State::Handshake,
            client: None,
            key: None,
            id: u16::MAX,
            created: now,
            read: 0,
            last_read: 0,
            last_received: now,
            writable: (now, now),
            was_full: false,
            is_narrow: false,
            before_read: (now, None),
            last_ping: now,
            unanswered_ping: None,
            is_ping_order_unknown: false,
            end: None,
            closes_at: None,
            closed: None,
            read_at_close: 0,
            ignores_input: false,
            violation: None,
            overflowed_by_close: false,
            is_closed_by_hub: false,
            is_shed: false,
            is_broken: false,
            is_aborted: false,
            taken: (0, now),
            congested_since: None,
            was_unread: false,
            paused: None,
            pending_rule: None,
            waiting: None,
            read_at_poll: 0,
            parse_resumes_at: None,
            parsed: 0,
            buffered_from: None,
            has_resumed: false,
            has_closed_cleanly: false,
            blocked: Duration::MAX / 4,
            seen_written: u64::MAX,
        }
    }

    /// Records since when a full socket has blocked output, while the server is idle.
    pub fn is_blocked_since(&mut self, now: Option<Duration>) {
        match now {
            None => self.seen_written = u64::MAX,
            Some(now) if self.seen_written != self.taken.0 => {
                (self.seen_written, self.blocked) = (self.taken.0, now);
            }
            Some(_) => {}
        }
    }

    /// Returns when the socket was first full while idle, if it still is.
    pub fn blocked_since(&self) -> Option<Duration> {
        (self.seen_written == self.taken.0).then_some(self.blocked)
    }

    pub fn can_send(&self) -> bool {
        self.end.is_none() && self.closes_at.is_none()
    }

    /// Returns true if the server has read all bytes and the end of the stream.
    pub fn is_fully_read(&self) -> bool {
        self.end == Some(End::Arrived) && self.peer.unread() == 0
    }

    /// Returns true if the server stopped reading because `authorize` is pending and the buffer is
    /// full.
    pub fn is_buffer_full(&self) -> bool {
        self.pending_auth.is_some_and(|pending_auth| self.read - pending_auth.at >= MAX_HEAD)
    }

    /// Returns true if the server can notice the end of the stream, which it does not read while a
    /// handler is pending.
    pub fn is_end_visible(&self) -> bool {
        self.waiting.is_none() && self.is_fully_read()
    }

    /// Returns the next item that the server has read but not handled.
    pub fn next(&self) -> Option<Meaning> {
        if self.waiting.is_some() { None } else { self.traffic.peek(self.read) }
    }

    pub fn begin_closing(&mut self, now: Duration) {
        if self.state != State::Ended {
            self.state = State::Closing;
        }
        if self.closed.is_none() {
            self.read_at_close = self.read_at_poll;
        }
        self.closed.get_or_insert((now, None));
    }
}

/// A client's rooms and members, derived only from received packets.
#[derive(Debug, Default)]
pub struct View {
    pub rooms: Vec<(u8, IdSet)>,
    is_in: bool,
}

impl View {
    pub fn receive(&mut self, id: u16, item: &ExpectedItem, compat: bool) -> Result<(), Fault> {
        match item.output {
            Output::JoinAck { room, members, shows, .. } => {
                self.is_in = true;
                ensure!(members.contains(id), "a snapshot without the receiver");
                let room = room_number(room).unwrap_or(u8::MAX);
                // Without presence, the view contains only the client itself.
                let own = IdSet::from_iter([id]);
                let members = if shows == Presence::Full { members } else { own };
                match self.rooms.iter().find(|(known, _)| *known == room) {
                    Some((_, seen)) => {
                        ensure!(*seen == members, "a snapshot of {members:?}, seen {seen:?}");
                    }
                    None => self.rooms.push((room, members)),
                }
            }
            Output::Packet(packet) => {
                let is_broken = packet.event == "leave_ack";
                ensure!(self.is_in || is_broken, "{packet:?} before the first join_ack");
                self.packet(&packet, compat)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn packet(&mut self, packet: &PacketRef<'_>, compat: bool) -> Result<(), Fault> {
        let room = room_number(packet.room).unwrap_or(u8::MAX);
        let view = self.rooms.iter().position(|(known, _)| *known == room);
        let subject = id_number(packet.payload);
        match (packet.event, view) {
            ("leave_ack", view) if packet.dst.is_empty() => {
                // The application may reject a join even to `root`.
                self.is_in = true;
                view.map(|at| self.rooms.remove(at));
            }
            ("new_member" | "member_left", view) if packet.src.is_empty() => {
                let Some((at, subject)) = view.zip(subject) else {
                    return Err(Fault::new(format!(
                        "{packet:?} of a room that the client is not in"
                    )));
                };
                let members = &mut self.rooms[at].1;
                match packet.event {
                    "new_member" => {
                        let is_new = members.insert(subject);
                        ensure!(is_new || compat, "{packet:?}, a known member");
                    }
                    _ => ensure!(members.remove(subject), "{packet:?}, an unknown member"),
                }
            }
            (_, view) => {
                let is_known = view.is_some() || !packet.dst.is_empty();
                ensure!(is_known, "{packet:?} of a room that the client is not in");
            }
        }
        Ok(())
    }
}

//! The state of a connection, as far as it can be observed outside the server.

use std::time::Duration;

use roomer_hub::{ConnKey, Permission, Presence};
use roomer_proto::PacketRef;
use roomer_testkit::socket::Peer;

use super::auth_hook::PendingAuth;
use super::expected::{Expected, ExpectedItem, Output};
use super::plan::Violation;
use super::traffic::{Meaning, Sent, Traffic};
use crate::alphabet::{id_number, room_number};
use crate::fault::{Fault, ensure};
use crate::hub::op::IdSet;

/// The engine's limit on the number of bytes that it reads before the upgrade.
pub(super) const MAX_HEAD: u64 = 16 * 1024;

/// The engine's limit on the bytes that are read while a handler is pending.
pub(super) const READ_AHEAD: u64 = 64 * 1024;

#[derive(Debug)]
pub struct ConnModel {
    pub peer: Peer,
    pub task: usize,
    pub slot: u8,
    /// The status of the response, if the socket was rejected before its handshake because too many
    /// handshakes were in progress.
    pub rejected_early: Option<u16>,
    /// The call to `authorize` that is pending during the handshake.
    pub pending_auth: Option<PendingAuth>,
    pub is_mute: bool,
    pub traffic: Traffic,
    pub expected: Expected,
    pub view: View,
    pub state: State,
    pub client: Option<u16>,
    pub key: Option<ConnKey>,
    /// The number of the connection's id.
    pub id: u16,
    pub created: Duration,
    /// The number of bytes that the server had read after the last poll.
    pub read: u64,
    /// The number of bytes that were read in the last poll in which any were.
    pub last_read: u64,
    pub last_received: Duration,
    /// The last time at which the socket certainly became writable again after it had been full, and
    /// the last time at which it may have.
    pub writable: (Duration, Duration),
    /// True if the socket was full at some time since it last accepted bytes.
    pub was_full: bool,
    /// True if the socket may accept fewer bytes per write than it has space for.
    pub is_narrow: bool,
    /// The values of `last_received` and `unanswered_ping` before the last read.
    pub before_read: (Duration, Option<Duration>),
    pub last_ping: Duration,
    pub unanswered_ping: Option<Duration>,
    /// True if the last input and the last ping occurred in the same poll, so their order is
    /// unknown.
    pub is_ping_order_unknown: bool,
    /// The progress of the end of the client's stream; `None` until the client ends it.
    pub end: Option<End>,
    /// The position in the client's bytes at which its close frame ends.
    pub closes_at: Option<u64>,
    /// The time at which the server decided to close, and the time of the poll after that.
    pub closed: Option<(Duration, Option<Duration>)>,
    /// The number of bytes that had been read before the poll in which the server decided to close.
    pub read_at_close: u64,
    /// True if the server has stopped parsing the client's frames.
    pub ignores_input: bool,
    /// The first violation of the protocol in the client's bytes.
    pub violation: Option<Violation>,
    /// True if the queue exceeded its hard limit because of a notice about another connection that
    /// was closed.
    pub overflowed_by_close: bool,
    /// True if the hub has closed the connection because the client exceeded a rate or committed
    /// too many violations.
    pub is_closed_by_hub: bool,
    /// True if the connection was closed to save memory. It may then be aborted although it has
    /// much pending output.
    pub is_shed: bool,
    pub is_broken: bool,
    pub is_aborted: bool,
    /// When the server was last idle: the number of bytes that the socket had accepted, and the
    /// time at which this number last changed.
    pub taken: (u64, Duration),
    /// The earliest time since which more than half of the queue may have been in use.
    pub congested_since: Option<Duration>,
    pub was_unread: bool,
    /// If reading is paused: the number of bytes read before, and the time at which it was paused.
    pub paused: Option<(u64, Duration)>,
    /// The question that a pending permission rule must answer.
    pub pending_rule: Option<(Permission, PacketRef<'static>)>,
    /// True if the pending rule is about a join to a room from which the application has removed
    /// the client in the meantime.
    pub is_join_cancelled: bool,
    /// The pending handler or rule that prevents further input from being handled.
    pub waiting: Option<Waiting>,
    /// The number of bytes that had been read when the poll began, or when the handshake ended.
    pub read_at_poll: u64,
    /// Set when a handler or rule has completed in this poll: the number of bytes that the server
    /// had received by then. Input after that is parsed only once the server has received more.
    pub parse_resumes_at: Option<u64>,
    /// The position in the client's bytes after the last packet that was handled.
    pub parsed: u64,
    /// The position in the client's bytes from which the decoder may buffer input while a handler
    /// is pending.
    pub buffered_from: Option<u64>,
    /// True if a pending handler or rule has completed in the current poll.
    pub has_resumed: bool,
    /// The time at which the server read the client's close frame or the end of its stream behind a
    /// pending handler.
    pub ended_behind: Option<Duration>,
    /// True if the connection has ended after a close handshake, in time and without being cut off.
    pub has_closed_cleanly: bool,
    /// The time at which the socket was first seen full while the server was idle.
    blocked: Duration,
    seen_written: u64,
}

/// A handler or rule that has not completed.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// The time at which the handler or rule completes; `None` before its first poll.
    pub until: Option<Duration>,
    /// The number of bytes that had been read when it was called.
    pub read: u64,
    /// The size of the payload of the message that called it.
    pub payload: u64,
    /// The maximum number of bytes of pings and pongs that were taken from the input behind it.
    pub overtaken: u64,
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
    /// The client has ended its stream. The bytes in flight still arrive.
    Sending,
    /// The end of the stream has arrived at the server.
    Arrived,
    /// The connection is lost, and the server has not noticed it yet.
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
            is_join_cancelled: false,
            waiting: None,
            read_at_poll: 0,
            parse_resumes_at: None,
            parsed: 0,
            buffered_from: None,
            ended_behind: None,
            has_resumed: false,
            has_closed_cleanly: false,
            blocked: Duration::MAX / 4,
            seen_written: u64::MAX,
        }
    }

    /// Called while the server is idle. `now` is the current time if a full socket blocks the
    /// output, and `None` otherwise. Records since when the socket has been full.
    pub fn is_blocked_since(&mut self, now: Option<Duration>) {
        match now {
            None => self.seen_written = u64::MAX,
            Some(now) if self.seen_written != self.taken.0 => {
                (self.seen_written, self.blocked) = (self.taken.0, now);
            }
            Some(_) => {}
        }
    }

    /// Returns the time at which the socket was first full while the server was idle, if it has not
    /// accepted bytes since.
    pub fn blocked_since(&self) -> Option<Duration> {
        (self.seen_written == self.taken.0).then_some(self.blocked)
    }

    pub fn can_send(&self) -> bool {
        self.end.is_none() && self.closes_at.is_none()
    }

    /// Returns true if the server has read all of the client's bytes and the end of the stream.
    pub fn is_fully_read(&self) -> bool {
        self.end == Some(End::Arrived) && self.peer.unread() == 0
    }

    /// Returns true if the server has stopped reading, because `authorize` is pending and the
    /// buffer is full.
    pub fn is_buffer_full(&self) -> bool {
        self.pending_auth.is_some_and(|pending_auth| self.read - pending_auth.at >= MAX_HEAD)
    }

    /// Returns true if the server may act on the end of the stream, which it does only after it has
    /// handled all messages before the end.
    pub fn is_end_visible(&self) -> bool {
        self.waiting.is_none() && self.is_fully_read()
    }

    /// Returns the next item that the server has read and not handled yet.
    pub fn next(&self) -> Option<Meaning> {
        if self.waiting.is_some() { None } else { self.traffic.peek(self.read) }
    }

    /// Returns the code in the client's close frame, if that is the next item.
    pub fn next_close(&self) -> Option<Option<u16>> {
        match self.next() {
            Some(Meaning::Close(code)) => Some(code),
            _ => None,
        }
    }

    /// Returns true if the server may have read a close frame, perhaps an invalid one, behind a
    /// pending handler.
    pub fn may_have_read_close(&self) -> bool {
        let is_close =
            |sent: &Sent| matches!(sent.meaning, Meaning::Close(_) | Meaning::Violation(_));
        self.traffic.pending.iter().any(|sent| sent.at <= self.read && is_close(sent))
    }

    /// Returns the maximum number of bytes that the server may have read while a handler is
    /// pending.
    pub fn most_read(&self, waiting: &Waiting) -> u64 {
        waiting.read.max(self.parsed + READ_AHEAD + waiting.overtaken)
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

/// A client's view of its rooms and their members, derived only from the packets that it receives.
#[derive(Debug, Default)]
pub struct View {
    pub rooms: Vec<(u8, IdSet)>,
    is_in: bool,
}

impl View {
    pub fn receive(&mut self, id: u16, item: &ExpectedItem, compat: bool) -> Result<(), Fault> {
        match item.output {
            Output::JoinAck { room, members, presence, .. } => {
                self.is_in = true;
                ensure!(members.contains(id), "a snapshot without the receiver");
                let room = room_number(room).unwrap_or(u8::MAX);
                // Without presence, a view contains only the client itself.
                let own = IdSet::from_iter([id]);
                let members = if presence == Presence::Full { members } else { own };
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
                // The first answer need not be a `join_ack`, since the application may reject even
                // the join to `root`.
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

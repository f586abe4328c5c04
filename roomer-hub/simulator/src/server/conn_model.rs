//! One connection, as everybody but the server sees it.

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

/// See the engine's `options.rs`: how much of a client is read before it is let in.
pub(super) const MAX_HEAD: u64 = 16 * 1024;

#[derive(Debug)]
pub struct ConnModel {
    pub peer: Peer,
    pub task: usize,
    pub slot: u8,
    /// There were too many handshakes when it came: the answer.
    pub rejected_early: Option<u16>,
    /// The application was asked whether it may come in.
    pub pending_auth: Option<PendingAuth>,
    pub is_mute: bool,
    pub traffic: Traffic,
    pub expected: Expected,
    pub view: View,
    pub state: State,
    pub client: Option<u16>,
    pub key: Option<ConnKey>,
    /// The number of its id.
    pub id: u16,
    pub created: Duration,
    /// Bytes that the server had read when its task last had a turn.
    pub read: u64,
    /// How much of it in the last turn in which it read.
    pub last_read: u64,
    pub last_received: Duration,
    /// When its socket, full before, certainly took bytes again, and when it may have.
    pub writable: (Duration, Duration),
    /// Its socket has been full since it last took bytes.
    pub was_full: bool,
    /// Its socket may take less than it has room for, and be full for a moment.
    pub is_narrow: bool,
    /// What `heard` and `asked` were before the last read.
    pub before_read: (Duration, Option<Duration>),
    pub last_ping: Duration,
    pub unanswered_ping: Option<Duration>,
    /// Whether something was heard before or after it was asked for is not known.
    pub is_ping_order_unknown: bool,
    /// Why the client's side is over, if it is.
    pub end: Option<End>,
    /// The client has closed, once the server has read this much.
    pub closes_at: Option<u64>,
    /// When the server decided to close, and when its task has certainly had a turn after that.
    pub closed: Option<(Duration, Option<Duration>)>,
    /// How much it had read when the turn of that decision began.
    pub read_at_close: u64,
    /// The server does not understand the client's close frame any more.
    pub ignores_input: bool,
    /// The first thing wrong that the client has said.
    pub violation: Option<Violation>,
    /// What brought it above its hard limit was the notice of another's being closed.
    pub overflowed_by_close: bool,
    /// The hub has closed it, for a rate or for too many refusals.
    pub is_closed_by_hub: bool,
    /// It was closed for the sake of all, and cut off if much was left of it.
    pub is_shed: bool,
    pub is_broken: bool,
    pub is_aborted: bool,
    /// Bytes that the socket had taken at the last rest, and since when it has been that many.
    pub taken: (u64, Duration),
    /// Since when more than half of what may be owed might have been owed.
    pub congested_since: Option<Duration>,
    pub was_unread: bool,
    /// How much it had read, and since when, while it is held back.
    pub paused: Option<(u64, Duration)>,
    /// What a rule is asked about, until it has answered.
    pub pending_rule: Option<(Permission, PacketRef<'static>)>,
    /// What keeps whatever it says waiting.
    pub waiting: Option<Waiting>,
    /// What it had read when its turn began, or its handshake was done.
    pub read_at_poll: u64,
    /// A handler or a rule is done, and what lies behind it has not been looked at until more bytes
    /// than these have come in.
    pub parse_resumes_at: Option<u64>,
    /// Where the last packet ended that the server has understood.
    pub parsed: u64,
    /// From where on the session may hold on to what it has read, since a handler kept it waiting.
    pub buffered_from: Option<u64>,
    /// Something that kept it waiting has come to its end in this turn.
    pub has_resumed: bool,
    /// Both sides have closed, and that is why it ended.
    pub has_closed_cleanly: bool,
    /// When it was first seen at rest that its socket is full and takes nothing since.
    blocked: Duration,
    seen_written: u64,
}

/// A handler or a rule that takes its time.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// Until when; `None`: it has been called, and has not begun.
    pub until: Option<Duration>,
    /// How much had been read when it was called.
    pub read: u64,
    /// Bytes of the message's payload.
    pub payload: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Handshake,
    Open,
    Closing,
    LogEntry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing more will be said; what is under way still arrives.
    Sending,
    /// The end has arrived.
    Arrived,
    /// The connection is broken, and the server has not been told.
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

    /// Notes at rest that the socket is full, if it is, and that something waits for it.
    pub fn is_blocked_since(&mut self, now: Option<Duration>) {
        match now {
            None => self.seen_written = u64::MAX,
            Some(now) if self.seen_written != self.taken.0 => {
                (self.seen_written, self.blocked) = (self.taken.0, now);
            }
            Some(_) => {}
        }
    }

    /// Since when it has been seen at rest that the socket takes nothing.
    pub fn blocked_since(&self) -> Option<Duration> {
        (self.seen_written == self.taken.0).then_some(self.blocked)
    }

    pub fn can_send(&self) -> bool {
        self.end.is_none() && self.closes_at.is_none()
    }

    /// Whether the server has read everything, the end included.
    pub fn is_fully_read(&self) -> bool {
        self.end == Some(End::Arrived) && self.peer.unread() == 0
    }

    /// Whether it has said so much while the application decides about it that no more is read.
    pub fn is_buffer_full(&self) -> bool {
        self.pending_auth.is_some_and(|pending_auth| self.read - pending_auth.at >= MAX_HEAD)
    }

    /// Whether the server can know that the client's side is over: while a handler takes its time
    /// nothing is read.
    pub fn is_end_visible(&self) -> bool {
        self.waiting.is_none() && self.is_fully_read()
    }

    /// What the server has read and is to understand next.
    pub fn next(&self) -> Option<Meaning> {
        if self.waiting.is_some() { None } else { self.traffic.peek(self.read) }
    }

    pub fn begin_closing(&mut self, now: Duration) {
        if self.state != State::LogEntry {
            self.state = State::Closing;
        }
        if self.closed.is_none() {
            self.read_at_close = self.read_at_poll;
        }
        self.closed.get_or_insert((now, None));
    }
}

/// What a client can know: its rooms and their members, from nothing but what it was sent.
#[derive(Debug, Default)]
pub struct View {
    pub rooms: Vec<(u8, IdSet)>,
    is_in: bool,
}

impl View {
    pub fn receive(&mut self, id: u16, item: &ExpectedItem, compat: bool) -> Result<(), Fault> {
        match item.what {
            Output::JoinAck { room, members, shows, .. } => {
                self.is_in = true;
                ensure!(members.contains(id), "a snapshot without its reader");
                let room = room_number(room).unwrap_or(u8::MAX);
                // Who hears nothing of the others knows of itself.
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
                // Not even root lets everybody in.
                self.is_in = true;
                view.map(|at| self.rooms.remove(at));
            }
            ("new_member" | "member_left", view) if packet.src.is_empty() => {
                let Some((at, subject)) = view.zip(subject) else {
                    return Err(Fault::new(format!("{packet:?} of a room that one is not in")));
                };
                let members = &mut self.rooms[at].1;
                match packet.event {
                    "new_member" => {
                        let is_new = members.insert(subject);
                        ensure!(is_new || compat, "{packet:?}, seen before");
                    }
                    _ => ensure!(members.remove(subject), "{packet:?}, never seen"),
                }
            }
            (_, view) => {
                let is_known = view.is_some() || !packet.dst.is_empty();
                ensure!(is_known, "{packet:?} of a room that one is not in");
            }
        }
        Ok(())
    }
}

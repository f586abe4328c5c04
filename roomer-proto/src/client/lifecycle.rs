//! The lifecycle of a client: connection attempts, reconnect delays, deadlines and closing.
//!
//! ```text
//! waiting ──▶ connecting ──▶ open ──▶ waiting ──▶ connecting …        any ──▶ (closing ──▶) closed
//! ```

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use core::time::Duration;

use bytestring::ByteString;

use super::address::Address;
use super::error::{Closing, Failure};
use super::event::Event;
use super::handshake;
use super::limits::{GRACE, GRACE_FACTOR, LONGEST_GRACE};
use super::options::Options;
use super::outbox::{self, Outbox};
use super::own_info::OwnInfo;
use super::recalls::Recalls;
use super::request::Requests;
use super::room::Room;
use super::rooms::Rooms;
use super::session::Session;
use super::socket::Socket;
use crate::{ConnId, ROOT};

/// The state of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// The client waits until the time of the next attempt.
    Waiting,
    /// An attempt is in progress.
    Connecting,
    /// The connection is open and carries messages.
    Open,
    /// The application has closed the client, and the client waits for the server's close frame.
    Closing,
    /// The client will not reconnect.
    Closed,
}

/// An action that the client requests from its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Open a connection, then call [`Client::connected`] or [`Client::failed`].
    Connect,
    /// Drop the connection or abort the attempt. Before that, write the bytes that
    /// [`Client::transmit`] still appends, as far as the socket accepts them without blocking.
    Disconnect,
}

/// The client of a room server. See the [module documentation](super).
#[derive(Debug)]
pub struct Client {
    pub(super) options: Box<Options>,
    pub(super) state: State,
    pub(super) rooms: Rooms,
    pub(super) outbox: Outbox,
    pub(super) requests: Option<Box<Requests>>,
    /// The info set by the application. Boxed, because few applications set it.
    pub(super) info: Option<Box<OwnInfo>>,
    /// Present once a join of this session has requested past messages.
    pub(super) recalls: Option<Box<Recalls>>,
    pub(super) events: VecDeque<Event>,
    /// The client's id, which changes with each new session.
    pub(super) id: Option<ConnId>,
    /// Set by the server's `hello`, until the session is lost.
    pub(super) session: Option<Box<Session>>,
    pub(super) socket: Option<Box<Socket>>,
    /// The time at which the connection was lost; `None` while connected.
    pub(super) lost_at: Option<Duration>,
    /// The time until which queued messages wait for other members to rejoin.
    pub(super) grace_end: Duration,
    pub(super) failures: u32,
    /// A multiplier for `answer_timeout`, doubled each time a connection times out.
    pub(super) answer_factor: u32,
    pub(super) next_attempt: NextAttempt,
    pub(super) must_disconnect: bool,
    /// The code of a close frame to write before the connection is dropped.
    pub(super) final_close_code: Option<u16>,
}

/// The time of the next attempt.
#[derive(Clone, Copy, Debug)]
pub(super) enum NextAttempt {
    /// A random time between zero and `most`, plus `extra`, counted from `since`.
    Undrawn {
        since: Duration,
        extra: Duration,
        most: Duration,
    },
    At(Duration),
}

impl Client {
    /// Creates a client whose first attempt is due immediately. Its rooms include `root` from the
    /// start, since the server adds every client to that room.
    #[must_use]
    pub fn new(mut options: Options) -> Self {
        options.bound_times();
        let root = Room { is_wanted: true, ..Room::default() };
        Client {
            options: Box::new(options),
            state: State::Waiting,
            rooms: Rooms::new(ByteString::from_static(ROOT), root),
            outbox: Outbox::new(),
            requests: None,
            info: None,
            recalls: None,
            events: VecDeque::new(),
            id: None,
            session: None,
            socket: None,
            lost_at: None,
            grace_end: Duration::ZERO,
            failures: 0,
            answer_factor: 1,
            next_attempt: NextAttempt::At(Duration::ZERO),
            must_disconnect: false,
            final_close_code: None,
        }
    }

    /// Returns the current state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Returns the client's id; without a connection, its last id. `None` before the first
    /// connection.
    #[must_use]
    pub fn id(&self) -> Option<ConnId> {
        self.id
    }

    /// Returns true if the server uses the extended protocol.
    #[must_use]
    pub fn is_extended(&self) -> bool {
        self.session.is_some()
    }

    /// Returns the number of bytes buffered: incomplete messages, and packets that are queued or
    /// not yet confirmed.
    #[must_use]
    pub fn held(&self) -> usize {
        let requests = self.requests.as_ref().map_or(0, |requests| requests.held_bytes());
        let socket = self.socket.as_ref().map_or(0, |socket| socket.frames.held());
        self.outbox.held() + requests + socket
    }

    /// Returns the next event, if any.
    pub fn next_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if event.is_none() && self.events.capacity() > 0 {
            // Free the memory: an idle client should not hold an event buffer.
            self.events = VecDeque::new();
        }
        event
    }

    /// Handles expired timers and returns what the driver must do. Call this after every other call
    /// until it returns `None`, and at the [deadline](Self::deadline). `random` sets the jitter of
    /// the delay before the next attempt.
    pub fn poll(&mut self, now: Duration, random: u64) -> Option<Action> {
        // Check this first so that the driver drops the lost connection before it opens the next
        // one.
        if self.must_disconnect {
            self.must_disconnect = false;
            return Some(Action::Disconnect);
        }
        // Check requests in every state: their timeouts also run without a connection.
        self.expire_requests(now);
        match self.state {
            State::Waiting => {
                let at = self.draw(random);
                if now < at {
                    return None;
                }
                self.state = State::Connecting;
                self.socket = Some(Box::new(Socket::new(now + self.options.connect_timeout)));
                Some(Action::Connect)
            }
            State::Closed => None,
            State::Connecting | State::Open | State::Closing => {
                // Check for silence before `pump`, because `pump` would commit packets to a
                // connection that is already lost, and thereby make them unconfirmed.
                self.check_silence(now);
                if self.state == State::Open {
                    self.send_info(now);
                    self.send_waiting_joins(now);
                    self.pump(now);
                }
                core::mem::take(&mut self.must_disconnect).then_some(Action::Disconnect)
            }
        }
    }

    /// Returns the first time after `now` at which [`poll`](Self::poll) or
    /// [`transmit`](Self::transmit) has work to do; `None` if only the driver or the application
    /// can cause work.
    ///
    /// Call this after both. Overdue work is excluded: it waits for something other than time, such
    /// as a writable socket, and must not hide later timers, such as the timeout for a network that
    /// accepts no bytes.
    #[must_use]
    pub fn deadline(&self, now: Duration) -> Option<Duration> {
        let times = self.lifecycle_deadlines().into_iter().flatten();
        times.chain(self.requests_due()).filter(|at| *at > now).min()
    }

    /// Returns the deadlines of all timers except request timeouts.
    fn lifecycle_deadlines(&self) -> [Option<Duration>; 7] {
        match (self.state, &self.socket) {
            (State::Waiting, _) => match self.next_attempt {
                // The time is drawn in `poll`, which receives the random number.
                NextAttempt::Undrawn { .. } => [None; 7],
                NextAttempt::At(at) => [Some(at), None, None, None, None, None, None],
            },
            (State::Open, Some(socket)) => {
                let waits = self.outbox.has_queued() && self.has_waiting_rooms();
                let grace = waits.then_some(self.grace_end);
                let session = self.session.as_ref();
                let acks = session.and_then(|session| session.received.due_at());
                let info = self.info.as_ref().filter(|_| session.is_some());
                let info = info.and_then(|own| own.due_at());
                let joins = self.recalls.as_ref().and_then(|recalls| recalls.due_at());
                let (asked, paced) = (self.ask_at(), self.outbox.paced_at());
                [Some(socket.due), asked, paced, grace, acks, info, joins]
            }
            (_, socket) => {
                let due = socket.as_ref().map(|socket| socket.due);
                [due, None, None, None, None, None, None]
            }
        }
    }

    /// Reports that the driver has connected; the next bytes to transmit are the upgrade request.
    /// `random` becomes the key of the handshake (RFC 6455 section 4.1) and must be unpredictable.
    pub fn connected(&mut self, address: &Address, random: [u8; 16]) {
        let offers = self.offers_compression();
        let Some(socket) = self.socket.as_mut().filter(|_| self.state == State::Connecting) else {
            return;
        };
        let known = known_session(self.session.as_deref());
        let is_extended = self.options.extended;
        let handshake = handshake::request(address, is_extended, known, offers, random);
        socket.handshake = Some(Box::new(handshake));
    }

    /// Reports that the driver failed to connect, with a reason for developers.
    pub fn failed(&mut self, now: Duration, reason: impl Into<String>) {
        if self.state == State::Connecting {
            self.lose(now, Failure::Connect(reason.into()));
            // The attempt has failed, so the driver has no connection to drop.
            self.must_disconnect = false;
        } else if self.state == State::Closing {
            self.finish(now, Closing::Application);
            self.must_disconnect = false;
        }
    }

    /// Reports that the stream has ended or was reset.
    pub fn disconnected(&mut self, now: Duration) {
        if self.socket.is_some() {
            self.lose(now, Failure::Broken);
            self.must_disconnect = false;
        }
    }

    /// Returns the time of the next attempt. Draws it on the first call for that attempt.
    fn draw(&mut self, random: u64) -> Duration {
        if let NextAttempt::Undrawn { since, extra, most } = self.next_attempt {
            // Full jitter: draw from the whole range below the maximum, so that the clients of a
            // restarted server do not all reconnect at the same time.
            let nanos = (most.as_nanos() * u128::from(random)) >> 64;
            let delay = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            self.next_attempt = NextAttempt::At(since + extra + delay);
        }
        match self.next_attempt {
            NextAttempt::At(at) => at,
            NextAttempt::Undrawn { since, .. } => since,
        }
    }

    /// Enters the open state once the connection is established and the server's protocol is known.
    pub(super) fn opened(&mut self, now: Duration, id: ConnId, is_resumed: bool) {
        self.state = State::Open;
        self.id = Some(id);
        // Wait longer after a long outage, since the other members' backoff has grown too.
        let down = self.lost_at.take().map_or(Duration::ZERO, |at| now.saturating_sub(at));
        self.grace_end = now + (GRACE + GRACE_FACTOR * down).min(LONGEST_GRACE);
        if let Some(socket) = &mut self.socket {
            // Set this before `record_received`, which ignores sockets that are not open.
            socket.opened_at = Some(now);
        }
        self.record_received(now);
        self.events.push_back(Event::Opened { id, is_resumed });
    }

    pub(super) fn limits(&self) -> outbox::Limits {
        outbox::Limits { messages: self.options.queue_messages, bytes: self.options.queue_bytes }
    }
}

/// Returns the token and packet count with which the client resumes its session.
pub(super) fn known_session(session: Option<&Session>) -> handshake::Return<'_> {
    session.and_then(|session| Some((session.token.as_deref()?, session.received.count())))
}

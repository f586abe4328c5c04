//! The lifecycle of a client: attempts, waits, probes, the end.
//!
//! ```text
//! waiting ──▶ connecting ──▶ open ──▶ waiting ──▶ connecting …        any ──▶ (closing ──▶) closed
//! ```

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use core::time::Duration;

use bytestring::ByteString;

use super::address::Address;
use super::error::{Closing, Failure};
use super::event::Event;
use super::handshake;
use super::limits::{GRACE, GRACE_FACTOR, LONGEST_ANSWER, LONGEST_GRACE};
use super::options::Options;
use super::outbox::{self, Outbox};
use super::request::Requests;
use super::room::Room;
use super::session::Session;
use super::socket::{Head, Socket};
use crate::extended::Info;
use crate::{ConnId, ROOT};

/// The state of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// The next attempt is due later.
    Waiting,
    /// An attempt is in progress.
    Connecting,
    /// Messages are sent and received.
    Open,
    /// The application has closed the client; the server has not answered yet.
    Closing,
    /// The client does not connect again.
    Closed,
}

/// A request of a client to its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Need {
    /// Open a connection, and answer with [`Client::connected`] or [`Client::failed`].
    Connect,
    /// End the connection, or the attempt: write what [`Client::transmit`] still appends, without
    /// waiting, and drop the connection.
    Disconnect,
}

/// The client of a room server. See the [module documentation](super).
#[derive(Debug)]
pub struct Client {
    pub(super) options: Box<Options>,
    pub(super) state: State,
    /// Boxed: a map allocates memory for eleven entries at once, and most clients have few rooms.
    pub(super) rooms: BTreeMap<ByteString, Box<Room>>,
    pub(super) outbox: Outbox,
    pub(super) requests: Option<Box<Requests>>,
    /// The info that the application has set; the inner `None` stands for a removed info. Boxed,
    /// since few applications set one.
    pub(super) info: Option<Box<Option<Info>>>,
    pub(super) events: VecDeque<Event>,
    /// The client's id, until a new session begins.
    pub(super) id: Option<ConnId>,
    /// Present once the server has sent `hello`, until the session is lost.
    pub(super) session: Option<Box<Session>>,
    pub(super) socket: Option<Box<Socket>>,
    /// The time at which the connection was lost, until there is a new one.
    pub(super) lost_at: Option<Duration>,
    /// The time from which queued messages no longer wait for other members.
    pub(super) grace_end: Duration,
    pub(super) failures: u32,
    /// The factor of the time limit of answers, doubled by each connection that was lost for
    /// silence.
    answer_factor: u32,
    pub(super) next_attempt: NextAttempt,
    pub(super) must_disconnect: bool,
    /// The close frame to write before the connection is dropped.
    pub(super) final_close_code: Option<u16>,
}

/// When the next attempt is due.
#[derive(Clone, Copy, Debug)]
pub(super) enum NextAttempt {
    /// A random time between zero and `most`, after `extra`, from `since` on.
    Undrawn {
        since: Duration,
        extra: Duration,
        most: Duration,
    },
    At(Duration),
}

impl Client {
    /// Creates a client whose first attempt is due at once. It will be in the room `root`, into
    /// which a server puts every client.
    #[must_use]
    pub fn new(mut options: Options) -> Self {
        options.bound_times();
        let root = Room { is_wanted: true, ..Room::default() };
        Client {
            options: Box::new(options),
            state: State::Waiting,
            rooms: BTreeMap::from([(ByteString::from_static(ROOT), Box::new(root))]),
            outbox: Outbox::new(),
            requests: None,
            info: None,
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

    /// Returns the state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Returns the client's id: the last one, if there is no connection; `None` before the first.
    #[must_use]
    pub fn id(&self) -> Option<ConnId> {
        self.id
    }

    /// Returns true if the server speaks the extended protocol.
    #[must_use]
    pub fn is_extended(&self) -> bool {
        self.session.is_some()
    }

    /// Returns the bytes that the client holds of incomplete messages, and of packets that wait or
    /// that the server has not confirmed.
    #[must_use]
    pub fn held(&self) -> usize {
        self.outbox.held() + self.socket.as_ref().map_or(0, |socket| socket.frames.held())
    }

    /// Takes the next event.
    pub fn next_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if event.is_none() && self.events.capacity() > 0 {
            // An idle client owns no memory for events.
            self.events = VecDeque::new();
        }
        event
    }

    /// Handles all that is due, and returns what the client needs. Call it after every other call,
    /// until it returns `None`, and at the [deadline](Self::deadline). `random` decides about the
    /// delay before the next attempt.
    pub fn poll(&mut self, now: Duration, random: u64) -> Option<Need> {
        // First, so that the driver drops a lost connection before it makes the next one.
        if self.must_disconnect {
            self.must_disconnect = false;
            return Some(Need::Disconnect);
        }
        // In every state: the time limit of a request runs without a connection, too.
        self.expire_requests(now);
        match self.state {
            State::Waiting => {
                let at = self.draw(random);
                if now < at {
                    return None;
                }
                self.state = State::Connecting;
                self.socket = Some(Box::new(Socket::new(now + self.options.connect_timeout)));
                Some(Need::Connect)
            }
            State::Closed => None,
            State::Connecting | State::Open | State::Closing => {
                // Before `pump`, which would commit packets to a connection that is lost, so that
                // they count as unconfirmed.
                self.check_silence(now);
                if self.state == State::Open {
                    self.pump(now);
                }
                core::mem::take(&mut self.must_disconnect).then_some(Need::Disconnect)
            }
        }
    }

    /// Returns the first time after `now` at which [`poll`](Self::poll) or [`transmit`](Self::transmit) has
    /// something to do; `None` if only an event of the driver or the application matters.
    ///
    /// Call it after both. What was due by then and is not done waits for something else, such as the
    /// network accepting bytes, and must not hide what is due later: a network that accepts nothing is
    /// detected by a time.
    #[must_use]
    pub fn deadline(&self, now: Duration) -> Option<Duration> {
        let times = self.lifecycle_deadlines().into_iter().flatten();
        times.chain(self.requests_due()).filter(|at| *at > now).min()
    }

    /// Returns the times at which something is due that is not about a request.
    fn lifecycle_deadlines(&self) -> [Option<Duration>; 5] {
        match (self.state, &self.socket) {
            (State::Waiting, _) => match self.next_attempt {
                // Only `poll` has the random number that the time depends on.
                NextAttempt::Undrawn { .. } => [None; 5],
                NextAttempt::At(at) => [Some(at), None, None, None, None],
            },
            (State::Open, Some(socket)) => {
                let waits = self.outbox.has_queued() && self.has_waiting_rooms();
                let grace = waits.then_some(self.grace_end);
                let session = self.session.as_ref();
                let acks = session.and_then(|session| session.received.due_at());
                [Some(socket.due), self.ask_at(), self.outbox.paced_at(), grace, acks]
            }
            (_, socket) => [socket.as_ref().map(|socket| socket.due), None, None, None, None],
        }
    }

    /// Reports that the driver has connected: the next bytes to transmit are the request. `random`
    /// is the key of the handshake (RFC 6455 section 4.1) and has to be unpredictable.
    pub fn connected(&mut self, address: &Address, random: [u8; 16]) {
        let offers = self.offers_compression();
        let Some(socket) = self.socket.as_mut().filter(|_| self.state == State::Connecting) else {
            return;
        };
        let known = known_session(self.session.as_deref());
        let is_extended = self.options.extended;
        let (handshake, head) = handshake::request(address, is_extended, known, offers, random);
        (socket.handshake, socket.head) = (Some(Box::new(handshake)), Head(head));
    }

    /// Reports that the driver cannot connect.
    pub fn failed(&mut self, now: Duration, why: impl Into<String>) {
        if self.state == State::Connecting {
            self.lose(now, Failure::Connect(why.into()));
            // The driver has nothing to drop.
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

    /// Reports that the network has accepted bytes: while it does, a server may still answer.
    pub fn progressed(&mut self, now: Duration) {
        if let Some(socket) = self.socket.as_mut().filter(|socket| socket.is_probing) {
            // Only while a probe is open: progress of a large message shows that the answer is
            // delayed behind it, not that the server is gone.
            socket.due = socket.due.max(now + self.options.answer_timeout);
        }
    }

    /// Probes a connection that seems open, and shortens a long delay before the next one. Call it if
    /// there is a reason to doubt the connection or to stop waiting: the machine was suspended, or
    /// its network has changed.
    pub fn wake(&mut self, now: Duration) {
        match (self.state, &mut self.socket) {
            (State::Open, Some(socket)) if !socket.is_probing => {
                (socket.is_probing, socket.must_ping) = (true, true);
                socket.due = now + answer_time(&self.options, self.answer_factor);
            }
            (State::Waiting, _) => {
                let most = self.options.min_delay;
                // Drawn again instead of due at once: the clients of a network that returns wake
                // together.
                if let NextAttempt::At(at) = self.next_attempt
                    && at > now + most
                {
                    let extra = Duration::ZERO;
                    self.next_attempt = NextAttempt::Undrawn { since: now, extra, most };
                }
            }
            _ => {}
        }
    }

    /// Returns the time of the next attempt. If it has not been drawn yet, draws it at random.
    fn draw(&mut self, random: u64) -> Duration {
        if let NextAttempt::Undrawn { since, extra, most } = self.next_attempt {
            // Full jitter after the cap, so that the clients of a restarted server do not reconnect
            // at once.
            let nanos = (most.as_nanos() * u128::from(random)) >> 64;
            let delay = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            self.next_attempt = NextAttempt::At(since + extra + delay);
        }
        match self.next_attempt {
            NextAttempt::At(at) => at,
            NextAttempt::Undrawn { since, .. } => since,
        }
    }

    /// Probes a silent server, and gives up one that does not answer.
    fn check_silence(&mut self, now: Duration) {
        let Some(socket) = self.socket.as_mut().filter(|socket| now >= socket.due) else { return };
        let answer = answer_time(&self.options, self.answer_factor);
        // Only a plain server may be silent until it is asked; an extended one has promised a
        // heartbeat.
        if self.state == State::Open && self.session.is_none() && !socket.is_probing {
            (socket.is_probing, socket.must_ping) = (true, true);
            socket.due = now + answer;
            return;
        }
        // A program that was suspended first reads what has arrived meanwhile: however long that was,
        // it counts for at most a quarter of the time limit.
        let slack = answer / 4;
        // `is_extended` limits this to once, so that a machine under load cannot postpone the end
        // forever.
        if now > socket.due + slack && !socket.is_extended {
            (socket.is_extended, socket.due) = (true, now + slack);
            return;
        }
        match self.state {
            State::Closing => self.finish(now, Closing::Application),
            State::Open => {
                let most =
                    LONGEST_ANSWER.as_millis() / self.options.answer_timeout.as_millis().max(1);
                // At least four times the option: with no room to grow, a client whose answers take
                // longer would reconnect forever.
                let most = u32::try_from(most).unwrap_or(u32::MAX).max(4);
                self.answer_factor = (2 * self.answer_factor).min(most);
                self.lose(now, Failure::Timeout);
            }
            _ => self.lose(now, Failure::Timeout),
        }
    }

    /// Records that bytes of the server have arrived.
    pub(super) fn record_received(&mut self, now: Duration) {
        let options = &self.options;
        // Until the client is open, `due` is the end of the attempt, which received bytes do not
        // postpone.
        let Some(socket) = self.socket.as_mut().filter(|socket| socket.opened_at.is_some()) else {
            return;
        };
        if core::mem::take(&mut socket.is_probing) {
            self.answer_factor = 1;
        }
        (socket.is_extended, socket.must_ping) = (false, false);
        if self.state == State::Open {
            socket.due = now
                + match &self.session {
                    // The server has promised to send something, so no ping is needed.
                    Some(session) => session.heartbeat + answer_time(options, self.answer_factor),
                    None => options.heartbeat,
                };
        }
    }

    /// Opens the client: there is a connection, and the server's protocol is known.
    pub(super) fn opened(&mut self, now: Duration, id: ConnId, is_resumed: bool) {
        self.state = State::Open;
        self.id = Some(id);
        // Longer after a longer outage: the backoff of the other members has grown with it.
        let down = self.lost_at.take().map_or(Duration::ZERO, |at| now.saturating_sub(at));
        self.grace_end = now + (GRACE + GRACE_FACTOR * down).min(LONGEST_GRACE);
        if let Some(socket) = &mut self.socket {
            // Before `record_received`, which ignores a socket that is not open.
            socket.opened_at = Some(now);
        }
        self.record_received(now);
        self.events.push_back(Event::Opened { id, is_resumed });
    }

    pub(super) fn limits(&self) -> outbox::Limits {
        outbox::Limits { messages: self.options.queue_messages, bytes: self.options.queue_bytes }
    }
}

/// Returns what the server has to know of a session to which the client returns.
pub(super) fn known_session(session: Option<&Session>) -> handshake::Return<'_> {
    session.and_then(|session| Some((session.token.as_deref()?, session.received.count())))
}

fn answer_time(options: &Options, answer_factor: u32) -> Duration {
    options.answer_timeout.saturating_mul(answer_factor)
}

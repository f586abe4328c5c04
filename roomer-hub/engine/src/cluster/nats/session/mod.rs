//! One connection to a NATS server, over memory: bytes and times come in, bytes and events come out.

#[cfg(test)]
mod tests;

use std::io::IoSlice;
use std::time::Duration;

use bytes::Bytes;

use super::decoder::{Decoder, Operation};
use super::encoder;
use super::output::Output;
use super::server_info::ServerInfo;
use crate::cluster::address::{Broker, BrokerAddress, Login, Scheme};
use crate::cluster::{Subject, Subjects};

/// The longest time until the subscriptions are confirmed.
const GREETING_TIMEOUT: Duration = Duration::from_secs(2);

/// The silence after which the server is pinged, and the time that it has to answer. So a link whose
/// other end has vanished is down after 4 s, before the other nodes count this one as dead.
const PING_AFTER: Duration = Duration::from_secs(2);

/// The most bytes of frames that wait for the server; a single larger frame waits alone.
pub(super) const MAX_QUEUED: usize = 1024 * 1024;

const SID_ALL: u64 = 1;
const SID_OWN: u64 = 2;

/// One connection to a NATS server.
///
/// Its memory is bounded: a message that is larger than the server's `max_payload` is rejected before
/// anything is allocated for it, and 1 MiB of frames wait at most.
pub struct Session {
    broker: Broker,
    subjects: Subjects,
    stage: Stage,
    decoder: Decoder,
    output: Output,
    info: Option<ServerInfo>,
    /// The time of the first byte that was due.
    started: Duration,
    last_received: Duration,
    /// The time of a ping that is not answered yet.
    pinged: Option<Duration>,
    /// Returned before anything is decoded.
    next: Option<SessionEvent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// INFO is due.
    Greeting,
    /// The caller starts TLS.
    Securing,
    /// PONG is due, which confirms the subscriptions before it.
    Confirming,
    Up,
    Down,
}

/// A change of a [`Session`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// The caller must start TLS on the stream and call [`Session::secured`].
    Secure,
    /// The subscriptions are confirmed.
    Up {
        /// The largest frame that the server accepts, in bytes.
        max_payload: usize,
    },
    /// A remark for the operator.
    Notice(String),
    /// A frame that another node has published.
    Frame(Bytes),
    /// The connection is of no use any more, for the reason in this part of a sentence. The last event.
    Down(String),
}

impl Session {
    /// Creates the session of a new connection to the first broker of an address.
    #[must_use]
    pub fn new(address: &BrokerAddress, subjects: &Subjects, now: Duration) -> Self {
        Session::with(&address.brokers()[0], subjects, now)
    }

    pub(super) fn with(broker: &Broker, subjects: &Subjects, now: Duration) -> Self {
        Session {
            broker: broker.clone(),
            subjects: subjects.clone(),
            stage: Stage::Greeting,
            decoder: Decoder::new(),
            output: Output::default(),
            info: None,
            started: now,
            last_received: now,
            pinged: None,
            next: None,
        }
    }

    /// Takes bytes that the server has sent. Call [`next_event`](Self::next_event) until it returns
    /// `None` before the next call, so that the bytes do not accumulate.
    pub fn receive(&mut self, bytes: &[u8], now: Duration) {
        if self.stage != Stage::Down {
            self.last_received = now;
            self.pinged = None;
            self.decoder.receive(bytes);
        }
    }

    /// Returns the next event; `None` until more bytes are received.
    pub fn next_event(&mut self) -> Option<SessionEvent> {
        if let Some(event) = self.next.take() {
            return Some(event);
        }
        while !matches!(self.stage, Stage::Securing | Stage::Down) {
            let event = match self.decoder.next() {
                Ok(Some(operation)) => self.apply(operation),
                Ok(None) => return None,
                Err(error) => Some(self.down(error.to_string())),
            };
            if event.is_some() {
                return event;
            }
        }
        None
    }

    /// Continues after TLS has started. Until then nothing was sent, so no login was readable.
    pub fn secured(&mut self, now: Duration) {
        if self.stage == Stage::Securing {
            (self.started, self.last_received) = (now, now);
            self.introduce(true);
        }
    }

    /// Returns the time at which [`tick`](Self::tick) is due.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        match self.stage {
            Stage::Greeting | Stage::Securing | Stage::Confirming => {
                self.started + GREETING_TIMEOUT
            }
            Stage::Up | Stage::Down => self.pinged.unwrap_or(self.last_received) + PING_AFTER,
        }
    }

    /// Pings a silent server, and gives up one that does not answer. Receive the bytes that have
    /// arrived first: after a pause of the whole process, the server is not to blame for the silence.
    pub fn tick(&mut self, now: Duration) {
        if now < self.deadline() || self.stage == Stage::Down {
            return;
        }
        if self.stage != Stage::Up {
            let wait = GREETING_TIMEOUT.as_secs();
            self.next =
                Some(self.down(format!("it does not greet within {wait} s: is this NATS?")));
        } else if self.pinged.is_some() {
            let wait = (2 * PING_AFTER).as_secs();
            self.next = Some(self.down(format!("it has sent nothing for {wait} s")));
        } else {
            self.pinged = Some(now);
            encoder::ping(&mut self.output);
        }
    }

    /// Queues a frame. Returns false, without an effect, if the session is not up, if the frame is
    /// larger than the server accepts, or if more than 1 MiB would wait.
    pub fn publish(&mut self, to: Subject, frame: Bytes) -> bool {
        let is_full = self.has_output() && self.output.len() + frame.len() > MAX_QUEUED;
        if self.stage != Stage::Up || is_full || frame.len() > self.decoder.max_payload {
            return false;
        }
        encoder::publish(&mut self.output, &self.subjects.name(to), frame);
        true
    }

    /// Returns true if bytes wait for the server.
    #[must_use]
    pub fn has_output(&self) -> bool {
        self.output.len() > 0
    }

    /// Fills in the first bytes that wait for the server, for one write. Returns the number of slices.
    pub fn output<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.output.slices(slices)
    }

    /// Removes bytes that are written.
    pub fn written(&mut self, count: usize) {
        self.output.advance(count);
    }

    fn apply(&mut self, operation: Operation) -> Option<SessionEvent> {
        match operation {
            Operation::Info(json) => self.inform(&json),
            Operation::Error(text) => Some(self.down(self.explain(&text))),
            // INFO is first; a server that sends an error instead explains why.
            _ if self.stage == Stage::Greeting => {
                Some(self.down("this is not a NATS server: it does not greet".into()))
            }
            Operation::Ping => {
                // If the server does not read, another answer would not reach it either.
                if self.output.len() <= MAX_QUEUED {
                    encoder::pong(&mut self.output);
                }
                None
            }
            Operation::Pong if self.stage == Stage::Confirming => {
                self.stage = Stage::Up;
                self.next = self.info.as_ref()?.notice().map(SessionEvent::Notice);
                Some(SessionEvent::Up { max_payload: self.decoder.max_payload })
            }
            Operation::Message { sid: SID_ALL | SID_OWN, payload } => {
                // Between the subscriptions and their confirmation, frames may arrive already.
                (self.stage == Stage::Up).then_some(SessionEvent::Frame(payload))
            }
            Operation::Message { sid, .. } => {
                Some(self.down(format!("it sends messages for the subscription {sid}, unasked")))
            }
            Operation::Pong | Operation::Ok => None,
        }
    }

    /// Takes INFO, which comes first, and again when the server's situation changes.
    fn inform(&mut self, json: &[u8]) -> Option<SessionEvent> {
        let Some(info) = ServerInfo::parse(json) else {
            return Some(self.down("its greeting is not that of a NATS server".into()));
        };
        self.decoder.max_payload = info.max_payload;
        let (requires, offers) = (info.requires_tls, info.offers_tls);
        self.info = Some(info);
        if self.stage != Stage::Greeting {
            return None;
        }
        if !requires && self.broker.scheme == Scheme::Nats {
            self.introduce(false);
            return None;
        }
        if !offers {
            return Some(self.down("it does not offer TLS: write nats:// or configure it".into()));
        }
        // What follows in plain text did not come from the server that TLS will verify.
        if !self.decoder.is_empty() {
            return Some(
                self.down("it sends plain text after its greeting, where TLS is due".into()),
            );
        }
        self.stage = Stage::Securing;
        Some(SessionEvent::Secure)
    }

    fn introduce(&mut self, is_secure: bool) {
        self.stage = Stage::Confirming;
        encoder::connect(&mut self.output, &self.broker.login, is_secure);
        encoder::subscribe(&mut self.output, &self.subjects.all(), SID_ALL);
        encoder::subscribe(&mut self.output, &self.subjects.own(), SID_OWN);
        encoder::ping(&mut self.output);
    }

    fn down(&mut self, reason: String) -> SessionEvent {
        self.stage = Stage::Down;
        self.output = Output::default();
        SessionEvent::Down(reason)
    }

    /// Returns the meaning of -ERR for the operator.
    fn explain(&self, text: &str) -> String {
        let is = |prefix: &str| {
            text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        if is("authorization violation") {
            return match self.broker.login {
                Login::None => {
                    "it requires a login: write user:password@ or token@ before the host"
                }
                _ => "it rejects the login",
            }
            .into();
        }
        if is("permissions violation") {
            let all = self.subjects.all();
            let prefix = all.strip_suffix("all").unwrap_or(&all);
            return format!("{text}: allow the user to publish and to subscribe to {prefix}>");
        }
        if is("maximum payload violation") {
            return "it rejects a frame as too large: was its max_payload reduced?".into();
        }
        if is("slow consumer") {
            return "it has closed the link, because this node reads too slowly".into();
        }
        format!("it reports: {text}")
    }
}

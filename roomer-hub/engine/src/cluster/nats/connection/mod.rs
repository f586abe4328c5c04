//! One connection to a NATS server, without I/O: takes bytes and times, returns bytes and events.

#[cfg(test)]
mod tests;

use std::io::IoSlice;
use std::time::Duration;

use bytes::Bytes;

use super::decoder::{Decoder, Operation};
use super::encoder::{self, Names};
use super::output::Output;
use super::server_info::ServerInfo;
use crate::cluster::address::{Broker, BrokerAddress, Login};
use crate::cluster::broker::{
    BrokerConnection, BrokerEvent, Due, HELLO_TIMEOUT, KeepAlive, MAX_QUEUED, PING_AFTER,
};
use crate::cluster::{Subject, Subjects};

const SID_ALL: u64 = 1;
const SID_OWN: u64 = 2;

/// The [`BrokerConnection`] to a NATS server.
///
/// The connection's memory is bounded: a message larger than the server's `max_payload` is rejected
/// before memory is allocated for it, and at most 1 MiB of frames are queued.
pub struct Connection {
    broker: Broker,
    subjects: Subjects,
    names: Names,
    state: State,
    decoder: Decoder,
    output: Output,
    info: Option<ServerInfo>,
    keep_alive: KeepAlive,
    /// An event to return before more bytes are decoded.
    next: Option<BrokerEvent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waiting for INFO.
    Greeting,
    /// Waiting for the caller to start TLS.
    Securing,
    /// Waiting for PONG, which confirms the subscriptions sent before the PING.
    Confirming,
    Up,
    Down,
}

impl Connection {
    /// Creates the state of a new connection to the first broker in `address`.
    #[must_use]
    pub fn new(address: &BrokerAddress, subjects: &Subjects, now: Duration) -> Self {
        Connection::with(&address.brokers()[0], subjects, now)
    }

    pub(in crate::cluster) fn with(broker: &Broker, subjects: &Subjects, now: Duration) -> Self {
        Connection {
            broker: broker.clone(),
            subjects: subjects.clone(),
            names: Names::of(subjects),
            state: State::Greeting,
            decoder: Decoder::new(),
            output: Output::default(),
            info: None,
            keep_alive: KeepAlive::start(now),
            next: None,
        }
    }
}

impl BrokerConnection for Connection {
    fn receive(&mut self, bytes: &[u8], now: Duration) {
        if self.state != State::Down {
            self.keep_alive.received(now);
            self.decoder.receive(bytes);
        }
    }

    fn next_event(&mut self) -> Option<BrokerEvent> {
        if let Some(event) = self.next.take() {
            return Some(event);
        }
        while !matches!(self.state, State::Securing | State::Down) {
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

    fn secured(&mut self, now: Duration) {
        if self.state == State::Securing {
            // Restart the wait for the greeting, which must not include the TLS handshake: the
            // carrier has a separate timeout for that.
            self.keep_alive = KeepAlive::start(now);
            self.introduce(true);
        }
    }

    fn deadline(&self) -> Duration {
        self.keep_alive.deadline(matches!(self.state, State::Up | State::Down))
    }

    fn tick(&mut self, now: Duration) {
        if self.state == State::Down {
            return;
        }
        match self.keep_alive.poll(now, self.state == State::Up) {
            Due::Nothing => {}
            Due::Ping => encoder::ping(&mut self.output),
            Due::NoGreeting => {
                let wait = HELLO_TIMEOUT.as_secs();
                let reason = format!("it has sent no greeting within {wait} s: is this NATS?");
                self.next = Some(self.down(reason));
            }
            Due::NoAnswer => {
                let wait = (2 * PING_AFTER).as_secs();
                self.next = Some(self.down(format!("it has sent nothing for {wait} s")));
            }
        }
    }

    fn publish(&mut self, to: Subject, frame: Bytes) -> bool {
        let is_full = !self.output.has_space(&frame);
        if self.state != State::Up || is_full || frame.len() > self.decoder.max_payload {
            return false;
        }
        encoder::publish(&mut self.output, &self.names, to, frame);
        true
    }

    fn has_output(&self) -> bool {
        self.output.len() > 0
    }

    fn output<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.output.slices(slices)
    }

    fn written(&mut self, count: usize) {
        self.output.advance(count);
    }
}

impl Connection {
    fn apply(&mut self, operation: Operation) -> Option<BrokerEvent> {
        match operation {
            Operation::Info(json) => self.inform(&json),
            // End the connection even after errors that leave the link open, such as a missing
            // permission. Otherwise, frames would be lost silently.
            Operation::Error(text) => Some(self.down(self.explain(&text))),
            // INFO must come first. A server that sends an error instead explains the reason.
            _ if self.state == State::Greeting => {
                Some(self.down("this is not a NATS server: it sends no greeting".into()))
            }
            Operation::Ping => {
                // Do not queue further answers for a server that does not read.
                if self.output.len() <= MAX_QUEUED {
                    encoder::pong(&mut self.output);
                }
                None
            }
            Operation::Pong if self.state == State::Confirming => {
                self.state = State::Up;
                self.next = self.info.as_ref()?.notice().map(BrokerEvent::Notice);
                Some(BrokerEvent::Up { max_payload: self.decoder.max_payload })
            }
            Operation::Message { sid: SID_ALL | SID_OWN, payload } => {
                // Drop frames that arrive before the subscriptions are confirmed.
                (self.state == State::Up).then_some(BrokerEvent::Frame(payload))
            }
            Operation::Message { sid, .. } => {
                Some(self.down(format!("it sends messages for the unknown subscription {sid}")))
            }
            Operation::Pong | Operation::Ok => None,
        }
    }

    /// Processes INFO, which the server sends first, and again whenever its state changes.
    fn inform(&mut self, json: &[u8]) -> Option<BrokerEvent> {
        let Some(info) = ServerInfo::parse(json) else {
            return Some(self.down("its greeting is not that of a NATS server".into()));
        };
        // Update the limit from later INFOs too, since an operator may change it while the server
        // runs.
        self.decoder.max_payload = info.max_payload;
        let (requires, offers) = (info.requires_tls, info.offers_tls);
        self.info = Some(info);
        if self.state != State::Greeting {
            return None;
        }
        if !requires && !self.broker.requires_tls {
            self.introduce(false);
            return None;
        }
        if !offers {
            return Some(self.down("it does not offer TLS: write nats:// or configure it".into()));
        }
        // Reject plain text received before the TLS handshake, since it cannot be attributed to the
        // server whose certificate TLS verifies.
        if !self.decoder.is_empty() {
            return Some(
                self.down("it sends plain text after its greeting, where TLS must begin".into()),
            );
        }
        self.state = State::Securing;
        Some(BrokerEvent::Secure)
    }

    fn introduce(&mut self, is_secure: bool) {
        self.state = State::Confirming;
        encoder::connect(&mut self.output, &self.broker.login, is_secure);
        encoder::subscribe(&mut self.output, &self.subjects.all(), SID_ALL);
        encoder::subscribe(&mut self.output, &self.subjects.own(), SID_OWN);
        // Servers process operations in order, so the PONG confirms the subscriptions sent before
        // the PING.
        encoder::ping(&mut self.output);
    }

    fn down(&mut self, reason: String) -> BrokerEvent {
        self.state = State::Down;
        self.output = Output::default();
        BrokerEvent::Down(reason)
    }

    /// Returns an explanation of the text of -ERR, for the operator.
    fn explain(&self, text: &str) -> String {
        let is = |prefix: &str| {
            // Use `get`, because indexing would panic if the prefix's length is not a character
            // boundary of the text.
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

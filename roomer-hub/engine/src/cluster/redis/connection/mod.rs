//! One connection to a Redis server, without I/O: takes bytes and times, returns bytes and events.

#[cfg(test)]
mod tests;

use std::io::IoSlice;
use std::time::Duration;

use bytes::Bytes;

use super::decoder::{Decoder, MAX_PAYLOAD, Value};
use super::encoder::{self, Publisher};
use crate::cluster::address::{Broker, BrokerAddress, Login};
use crate::cluster::broker::output::Output;
use crate::cluster::broker::{
    BrokerConnection, BrokerEvent, Due, HELLO_TIMEOUT, KeepAlive, PING_AFTER,
};
use crate::cluster::{Subject, Subjects};

/// The [`BrokerConnection`] to a Redis server.
///
/// The connection's memory is bounded: a value of more than 1 MiB plus 64 KiB is rejected before
/// memory is allocated for it, and at most 1 MiB of frames are queued.
pub struct Connection {
    login: Login,
    subjects: Subjects,
    publisher: Publisher,
    state: State,
    decoder: Decoder,
    output: Output,
    keep_alive: KeepAlive,
    /// This node's channels, each with a flag that is true once its subscription is confirmed.
    channels: [(String, bool); 2],
    /// The number of unanswered commands, not counting HELLO and SUBSCRIBE.
    unanswered: u64,
    /// An event to return before more bytes are decoded.
    next: Option<BrokerEvent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waiting for the caller to start TLS.
    Securing,
    /// Waiting for the answer to HELLO.
    Greeting,
    /// Waiting until the subscriptions are confirmed.
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
        let mut connection = Connection {
            login: broker.login.clone(),
            subjects: subjects.clone(),
            publisher: Publisher::new(subjects),
            state: State::Securing,
            decoder: Decoder::default(),
            output: Output::default(),
            keep_alive: KeepAlive::start(now),
            channels: [subjects.all(), subjects.own()].map(|name| (name, false)),
            unanswered: 0,
            next: None,
        };
        match broker.requires_tls {
            true => connection.next = Some(BrokerEvent::Secure),
            false => connection.introduce(),
        }
        connection
    }

    fn introduce(&mut self) {
        self.state = State::Greeting;
        encoder::hello(&mut self.output, &self.login);
        // Send SUBSCRIBE together with HELLO to save a round trip, since Redis answers in order.
        encoder::subscribe(&mut self.output, &self.subjects);
    }

    fn apply(&mut self, value: &Value) -> Option<BrokerEvent> {
        match (value.kind(), self.state) {
            (b'-' | b'!', _) => Some(self.down(self.explain(&value.text()))),
            (b'%', State::Greeting) => {
                self.state = State::Confirming;
                None
            }
            (_, State::Greeting) => Some(
                self.down("this is not a Redis server: its first reply is not a greeting".into()),
            ),
            (b'>', _) => self.push(value),
            // The server answers PUBLISH with the number of receivers, and PING with a line.
            (b':' | b'+', _) if self.unanswered > 0 => {
                self.unanswered -= 1;
                None
            }
            _ => Some(self.down("it sends a reply for which there was no command".into())),
        }
    }

    fn push(&mut self, value: &Value) -> Option<BrokerEvent> {
        let (kind, channel) = value.push()?;
        let is_same = |(name, _): &&mut (String, bool)| name.as_bytes() == channel;
        let known = self.channels.iter_mut().find(is_same);
        match (kind, known) {
            (b"message", Some(_)) => {
                // Drop frames that arrive before the subscriptions are confirmed.
                value.payload().filter(|_| self.state == State::Up).map(BrokerEvent::Frame)
            }
            (b"subscribe", Some((_, is_confirmed))) => {
                *is_confirmed = true;
                let is_up = self.channels.iter().all(|(_, is_confirmed)| *is_confirmed);
                if self.state != State::Confirming || !is_up {
                    return None;
                }
                self.state = State::Up;
                Some(BrokerEvent::Up { max_payload: MAX_PAYLOAD })
            }
            (b"message" | b"subscribe", None) => {
                Some(self.down("it sends messages for an unknown channel".into()))
            }
            // Values of other kinds belong to server features that the connection does not use.
            _ => None,
        }
    }

    fn down(&mut self, reason: String) -> BrokerEvent {
        self.state = State::Down;
        self.output = Output::default();
        BrokerEvent::Down(reason)
    }

    /// Returns an explanation of an error's text, for the operator.
    fn explain(&self, text: &str) -> String {
        match text.split(' ').next().unwrap_or_default() {
            "NOAUTH" => {
                "it requires a login: write user:password@ or :password@ before the host".into()
            }
            "WRONGPASS" => "it rejects the login".into(),
            "NOPROTO" => too_old(),
            // Redis added HELLO in version 6.
            "ERR" if self.state == State::Greeting && text.contains("unknown command") => too_old(),
            "NOPERM" => {
                let all = self.subjects.all();
                let prefix = all.strip_suffix("all").unwrap_or(&all);
                format!(
                    "{text}: allow the user the commands hello, subscribe, publish and ping, and \
                     the channels {prefix}*"
                )
            }
            _ => format!("it reports: {text}"),
        }
    }
}

fn too_old() -> String {
    "it does not support RESP3, which requires Redis 6 or later".into()
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
                Ok(Some(value)) => self.apply(&value),
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
            self.introduce();
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
            // The server answers PING with a line, which is counted like the answers to PUBLISH.
            Due::Ping => {
                self.unanswered += 1;
                encoder::ping(&mut self.output);
            }
            Due::NoGreeting => {
                let wait = HELLO_TIMEOUT.as_secs();
                let reason = format!("it does not answer within {wait} s: is this Redis?");
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
        if self.state != State::Up || is_full || frame.len() > MAX_PAYLOAD {
            return false;
        }
        self.unanswered += 1;
        self.publisher.publish(&mut self.output, to, frame);
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

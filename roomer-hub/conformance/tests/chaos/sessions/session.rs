//! The client's side of a session over successive sockets.
//!
//! It stores the packets that the client has received, and those that it must retransmit.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use roomer_conformance::wire::{self, PacketView};
use serde_json::Value;

use crate::chaos::peer::{Peer, ReceiveBuffer};

/// The time for which a client waits for bytes before it abandons a socket. The server sends a ping
/// every second.
const SILENCE: Duration = Duration::from_millis(2500);

/// The client sends an acknowledgement after this many packets.
const ACK_EVERY: u64 = 64;

pub(super) struct Session {
    /// The address of the server, for the first and the last connection.
    pub(super) server: SocketAddr,
    /// The address of the proxy, for all other connections.
    pub(super) proxy: SocketAddr,
    pub(super) is_direct: bool,
    peer: Peer,
    heard_at: Instant,
    /// The number of attempts to reconnect since the last `hello`.
    attempts: u32,
    pub(super) has_hello: bool,
    is_closing: bool,
    id: String,
    token: String,
    received: u64,
    acknowledged: u64,
    /// The frames that the client has sent and the server has not acknowledged.
    unacknowledged: VecDeque<Vec<u8>>,
    /// The number of frames that the server has acknowledged.
    before: u64,
    /// The number of times that the client has reconnected.
    pub(super) returns: usize,
    /// The number of packets that the client has retransmitted.
    pub(super) sent_again: usize,
    /// The reason why the session could not be resumed. The report adds the statistics of the
    /// server to it.
    pub(super) failure: Option<String>,
}

impl Session {
    pub(super) fn new(server: SocketAddr, proxy: SocketAddr, is_direct: bool) -> Session {
        let peer = Peer::dial_at(server, ReceiveBuffer::Default, "/ws?roomer=2");
        Session {
            server,
            proxy,
            is_direct,
            peer,
            heard_at: Instant::now(),
            attempts: 0,
            has_hello: false,
            is_closing: false,
            id: String::new(),
            token: String::new(),
            received: 0,
            acknowledged: 0,
            unacknowledged: VecDeque::new(),
            before: 0,
            returns: 0,
            sent_again: 0,
            failure: None,
        }
    }

    /// Returns the number of sent packets that the server has not acknowledged.
    pub(super) fn unacknowledged(&self) -> usize {
        self.unacknowledged.len()
    }

    /// Sends a packet, either now or after the client has reconnected.
    pub(super) fn send(&mut self, frame: Vec<u8>) {
        if self.has_hello {
            self.peer.send(&frame);
        }
        self.unacknowledged.push_back(frame);
    }

    /// Sends a close frame.
    pub(super) fn close(&mut self) {
        self.peer.send(&wire::close(1000, ""));
        self.is_closing = true;
    }

    /// Reconnects on a new socket. The old socket is dropped, with or without a reset.
    pub(super) fn reconnect(&mut self, by_reset: bool) {
        // Without a token there is no session that could be resumed.
        if self.token.is_empty() {
            return;
        }
        let addr = if self.is_direct { self.server } else { self.proxy };
        let query = format!("/ws?roomer=2&session={}&received={}", self.token, self.received);
        let next = Peer::dial_at(addr, ReceiveBuffer::Default, &query);
        let before = std::mem::replace(&mut self.peer, next);
        if by_reset {
            before.reset();
        }
        (self.has_hello, self.heard_at) = (false, Instant::now());
        self.attempts += 1;
        self.is_closing = false;
    }

    /// Reads and writes once. Returns true if bytes have arrived.
    pub(super) fn turn(&mut self) -> bool {
        let has_read = self.peer.read();
        self.peer.flush();
        if has_read {
            self.heard_at = Instant::now();
        }
        has_read
    }

    /// Returns true if the socket has ended, or was silent for too long. Requires that all received
    /// frames have been handled. After each further attempt, the server gets more time.
    pub(super) fn is_lost(&self) -> bool {
        self.peer.end().is_some() || self.heard_at.elapsed() > SILENCE * self.attempts.max(1)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.peer.end().is_some()
    }

    /// Handles the next frame. If it contains a packet, passes the opcode and the payload to
    /// `on_packet`; otherwise answers it if necessary.
    pub(super) fn next(&mut self, mut on_packet: impl FnMut(u8, &[u8])) -> bool {
        if self.failure.is_some() {
            return false;
        }
        let Some((opcode, payload)) = self.peer.next() else { return false };
        match opcode {
            // After a close frame, send no more bytes: the server would reset the connection, and
            // its close frame would be lost.
            wire::PING if self.is_closing => {}
            wire::PING => {
                let pong = wire::frame(wire::FIN | wire::PONG, payload);
                self.peer.send(&pong);
            }
            wire::BINARY => {
                let view = PacketView::decode(payload);
                match view.event {
                    b"roomer:hello" => {
                        let id = String::from_utf8(view.src.to_vec()).unwrap();
                        let hello = serde_json::from_slice(view.payload).unwrap();
                        self.hello(id, &hello);
                    }
                    b"roomer:ack" => {
                        let count = std::str::from_utf8(view.payload).unwrap().parse().unwrap();
                        let is_asked = view.dst == b"?";
                        self.forget(count);
                        if is_asked {
                            self.acknowledge();
                        }
                    }
                    _ => {
                        assert!(self.has_hello, "a packet before hello");
                        self.received += 1;
                        on_packet(opcode, payload);
                        if self.received >= self.acknowledged + ACK_EVERY {
                            self.acknowledge();
                        }
                    }
                }
            }
            _ => on_packet(opcode, payload),
        }
        true
    }

    fn hello(&mut self, id: String, hello: &Value) {
        assert!(!self.has_hello, "a second hello");
        let is_first = self.token.is_empty();
        if hello["resumed"] != !is_first {
            let (received, returns) = (self.received, self.returns);
            let what = format!("{} has lost its session after {returns} returns", self.id);
            self.failure = Some(format!("{what}, with {received} received: {hello}"));
            return;
        }
        assert!(is_first || self.id == id, "the session of another client");
        let token = hello["session"].as_str().expect("a token");
        assert_ne!(self.token, token, "the same token again");
        (self.id, self.token, self.has_hello) = (id, token.into(), true);
        self.attempts = 0;
        self.forget(hello["received"].as_u64().expect("a count"));
        if !is_first {
            self.acknowledged = self.received;
            self.returns += 1;
            self.sent_again += self.unacknowledged.len();
            self.unacknowledged.iter().for_each(|frame| self.peer.send(frame));
        }
    }

    /// Drops the packets that the server has acknowledged.
    fn forget(&mut self, count: u64) {
        let most = self.before + self.unacknowledged.len() as u64;
        assert!((self.before..=most).contains(&count), "{count} of {}..={most}", self.before);
        self.unacknowledged.drain(..(count - self.before) as usize);
        self.before = count;
    }

    pub(super) fn acknowledge(&mut self) {
        self.acknowledged = self.received;
        self.send_ack("");
    }

    /// Requests an acknowledgement from the server.
    pub(super) fn ask_to_acknowledge(&mut self) {
        self.acknowledged = self.received;
        self.send_ack("?");
    }

    fn send_ack(&mut self, dst: &str) {
        if self.has_hello {
            let count = self.received.to_string();
            self.peer.send(&wire::to_client(dst, "root", "roomer:ack", count.as_bytes()));
        }
    }
}

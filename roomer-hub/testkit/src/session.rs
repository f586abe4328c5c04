//! An extended client's session, which survives a lost connection.

use std::collections::VecDeque;

use roomer_proto::extended::{ACK, ACK_NOW, HELLO, is_counted, parse_count};
use roomer_proto::{Packet, PacketRef, ROOT};

use super::client::{Client, State};
use super::handshake::Handshake;
use super::view::View;
use super::world::World;

/// The number of received packets after which a client sends an acknowledgement.
const ACK_AFTER: u64 = 16;

/// The state that a client needs to resume its session.
#[derive(Clone)]
pub(super) struct Session {
    handshake: Handshake,
    /// The token in the last `hello`; empty before the first `hello`.
    token: String,
    /// The number of packets received from the server in this session.
    received: u64,
    acknowledged: u64,
    /// Packets that the server has not acknowledged.
    sent: VecDeque<Vec<u8>>,
    /// The number of packets that the server has acknowledged.
    confirmed: u64,
    /// True once `hello` has arrived on this connection.
    is_open: bool,
    is_resumed: bool,
}

impl World {
    /// Adds an extended client, whose session outlives its connection (see
    /// [`reconnect`](Self::reconnect)). Packets that the client sends before the server's first
    /// packet are queued.
    ///
    /// # Panics
    ///
    /// Panics as [`connect_with`](Self::connect_with) does.
    pub fn connect_extended(&mut self, handshake: Handshake) -> Client {
        let client = self.connect_with(handshake.clone().query("roomer", "2"));
        client.state_mut().view.is_extended = true;
        client.state_mut().session = Some(Session {
            handshake,
            token: String::new(),
            received: 0,
            acknowledged: 0,
            sent: VecDeque::new(),
            confirmed: 0,
            is_open: false,
            is_resumed: false,
        });
        client
    }

    /// Adds a client that resumes another client's session with the same request, whether that
    /// client's connection is lost or still looks open. The new client starts with a copy of the
    /// other client's view, and retransmits the packets that the server has not received. If the
    /// server no longer has the session, the new client starts a new session.
    ///
    /// # Panics
    ///
    /// Panics if the other client is not extended.
    pub fn reconnect(&mut self, before: &Client) -> Client {
        let handshake = before.state().session.as_ref().map(|session| session.handshake.clone());
        self.reconnect_with(before, handshake.unwrap_or_default())
    }

    /// Adds a client as [`reconnect`](Self::reconnect) does, but with another request, for example
    /// with a new login.
    ///
    /// # Panics
    ///
    /// Panics if the other client is not extended.
    pub fn reconnect_with(&mut self, before: &Client, handshake: Handshake) -> Client {
        let (session, view) = {
            let state = before.state();
            (state.session.clone(), state.view.clone())
        };
        let Some(mut session) = session else {
            self.fail("the client has no session: connect it with connect_extended")
        };
        session.handshake = handshake.clone();
        let handshake = handshake.query("roomer", "2");
        let received = session.received.to_string();
        let handshake = match session.token.is_empty() {
            true => handshake,
            false => handshake.query("session", &session.token).query("received", &received),
        };
        let client = self.connect_with(handshake);
        (session.is_open, session.is_resumed) = (false, false);
        let mut state = client.state_mut();
        (state.session, state.view) = (Some(session), view);
        // End the borrow of the client, which is returned below.
        drop(state);
        client
    }
}

impl Client {
    /// Returns true if the server has resumed this client's session on its current connection.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.state().session.as_ref().is_some_and(|session| session.is_resumed)
    }

    /// Returns true if `hello` has arrived on this client's current connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.state().session.as_ref().is_some_and(|session| session.is_open)
    }

    /// Returns the token with which the session can be resumed next time; empty without a session.
    #[must_use]
    pub fn session_token(&self) -> String {
        self.state().session.as_ref().map(|session| session.token.clone()).unwrap_or_default()
    }

    /// Returns the number of this client's packets that the server has not acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.state().session.as_ref().map_or(0, |session| session.sent.len())
    }

    /// Requests an acknowledgement of all packets sent so far.
    pub fn request_ack(&self) {
        let received = self.state_mut().session.as_mut().map(|session| {
            session.acknowledged = session.received;
            session.received
        });
        if let Some(received) = received {
            self.send_ack(received, ACK_NOW);
        }
    }

    fn send_ack(&self, received: u64, dst: &str) {
        let payload = received.to_string();
        let payload = payload.as_bytes();
        let ack = PacketRef { room: ROOT, event: ACK, dst, payload, ..PacketRef::default() };
        self.send_binary(&ack.to_bytes());
    }

    /// Sends the client's reaction to a session packet from the server.
    pub(super) fn answer_session(&self, packet: &Packet) {
        let mut state = self.state_mut();
        let Some(session) = &mut state.session else { return };
        if &*packet.event == HELLO {
            // The packets that the server has received were removed when the count in `hello` was
            // applied.
            let sent: Vec<_> = session.sent.iter().cloned().collect();
            drop(state);
            sent.iter().for_each(|bytes| self.send_binary(bytes));
            return;
        }
        let is_asked = &*packet.event == ACK && &*packet.dst == ACK_NOW;
        if is_asked || session.received - session.acknowledged >= ACK_AFTER {
            session.acknowledged = session.received;
            let received = session.received;
            drop(state);
            self.send_ack(received, "");
        }
    }
}

impl State {
    /// Records a packet that the client sends. Returns true if it must be sent now, and false if it
    /// must wait for `hello`.
    pub(super) fn record_sent(&mut self, bytes: &[u8]) -> bool {
        let Some(session) = &mut self.session else { return true };
        // Keep a waiting packet too: when `hello` arrives, the client sends all packets in `sent`.
        session.sent.push_back(bytes.to_vec());
        session.is_open
    }

    /// Applies a packet to the session. Returns true if the packet is about the session itself.
    pub(super) fn receive_for_session(&mut self, packet: &PacketRef<'_>) -> Result<bool, String> {
        let Some(session) = &mut self.session else {
            return Ok(false);
        };
        if packet.event != HELLO && !session.is_open {
            return Err(format!("{packet:?} comes before hello"));
        }
        if is_counted(packet.event) {
            session.received += 1;
            return Ok(false);
        }
        let wrong = || format!("{packet:?} is wrong");
        let text = std::str::from_utf8(packet.payload).map_err(|_| wrong())?;
        let count = match packet.event {
            HELLO => {
                session.token = between(text, "\"session\":\"", "\"").unwrap_or_default().into();
                session.is_open = true;
                session.is_resumed = text.contains("\"resumed\":true");
                if !session.is_resumed {
                    let is_first = session.received == 0 && session.confirmed == 0;
                    // Packets sent before the first `hello` wait for it. Packets sent before a
                    // later `hello` belong to the lost session.
                    if !is_first {
                        session.sent.clear();
                    }
                    (session.received, session.acknowledged, session.confirmed) = (0, 0, 0);
                    self.view = View { is_extended: true, ..View::default() };
                }
                between(text, "\"received\":", ",").ok_or_else(wrong)?
            }
            _ => text,
        };
        let count = parse_count(count.as_bytes()).ok_or_else(wrong)?;
        // Borrow the session again, since the view was replaced above.
        let Some(session) = &mut self.session else { return Ok(true) };
        // A count must never decrease.
        let new = count.checked_sub(session.confirmed).ok_or_else(wrong)?;
        if new > session.sent.len() as u64 {
            return Err(format!("{packet:?} acknowledges more than was sent"));
        }
        session.sent.drain(..new as usize);
        session.confirmed = count;
        Ok(true)
    }
}

/// Returns the text between two delimiters.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    Some(rest.split_once(end)?.0)
}

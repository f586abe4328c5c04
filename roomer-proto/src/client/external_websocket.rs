//! Runs the client over an external WebSocket, which does the handshake and the framing.
//!
//! Such implementations are a browser's or a framework's.

use core::time::Duration;

use super::address::Address;
use super::handshake;
use super::lifecycle::{Client, State, known_session};
use super::transmit::Sink;
use crate::websocket::Violation;

/// Output for an external WebSocket implementation; see [`Client::transmit_messages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outgoing<'a> {
    /// A binary message to send.
    Message(&'a [u8]),
    /// A close frame with this code. An implementation that cannot send the code, such as a
    /// browser, may omit it.
    Close(u16),
}

impl Client {
    /// Returns the address for the next connection, with the protocol version and session in the
    /// query.
    #[must_use]
    pub fn next_address(&self, address: Address) -> Address {
        let known = known_session(self.session.as_deref());
        handshake::add_query(address, self.options.extended, known)
    }

    /// Records that the driver has opened a WebSocket at the [`next_address`](Self::next_address).
    /// The driver then calls [`receive_message`](Self::receive_message) and
    /// [`transmit_messages`](Self::transmit_messages) instead of [`connected`](Self::connected),
    /// [`receive`](Self::receive) and [`transmit`](Self::transmit).
    ///
    /// After an [`Action::Disconnect`](super::Action::Disconnect) that no [`Outgoing::Close`]
    /// preceded, the driver must not send a close frame until the next connection is open or the
    /// client is closed: a close frame would end the session, which the client intends to resume.
    pub fn upgraded(&mut self) {
        if let Some(socket) = self.socket.as_mut().filter(|_| self.state == State::Connecting) {
            (socket.is_upgraded, socket.is_external) = (true, true);
        }
    }

    /// Handles one complete message.
    pub fn receive_message(&mut self, now: Duration, data: &[u8]) {
        if self.socket.is_none() {
            return;
        }
        self.record_received(now);
        // The other implementation has already allocated the message, but a message above the limit
        // must not reach the application.
        if data.len() > self.options.max_message {
            return self.violated(now, TOO_BIG);
        }
        self.message(now, data);
        self.pump(now);
    }

    /// Handles a close frame with this code and reason; a missing code counts as 1005. If the
    /// connection was lost without a close frame, call [`disconnected`](Self::disconnected)
    /// instead.
    pub fn closed(&mut self, now: Duration, code: Option<u16>, reason: &str) {
        if self.socket.is_some() {
            self.closed_by_server(now, code, reason);
            // The connection is already closed, so the driver has nothing to drop.
            self.must_disconnect = false;
        }
    }

    /// Passes pending output to `send`. Returns false if there was no output.
    pub fn transmit_messages(&mut self, now: Duration, send: &mut dyn FnMut(Outgoing<'_>)) -> bool {
        let mut sink = Messages { send, has_sent: false };
        // Send the close code even if a violation has already dropped the socket.
        if let Some(code) = self.final_close_code.take() {
            sink.close(code);
        }
        if self.socket.is_some() && matches!(self.state, State::Open | State::Closing) {
            self.transmit_packets(now, &mut sink);
        }
        sink.has_sent
    }
}

struct Messages<'a> {
    send: &'a mut dyn FnMut(Outgoing<'_>),
    has_sent: bool,
}

impl Messages<'_> {
    fn pass(&mut self, outgoing: Outgoing<'_>) {
        self.has_sent = true;
        (self.send)(outgoing);
    }
}

impl Sink for Messages<'_> {
    // The sink is never full, because the client's window bounds the amount of unconfirmed data.
    fn is_full(&self) -> bool {
        false
    }

    fn message(&mut self, bytes: &[u8]) {
        self.pass(Outgoing::Message(bytes));
    }

    // This is never called, because `transmit_packets` requests a confirmation instead.
    fn ping(&mut self) {}

    fn close(&mut self, code: u16) {
        self.pass(Outgoing::Close(code));
    }
}

const TOO_BIG: Violation = Violation::too_big("a message is too large");

//! The client over a WebSocket of another implementation, which does the handshake and the frames: that
//! of a browser, or of a framework.

use core::time::Duration;

use super::address::Address;
use super::handshake;
use super::lifecycle::{Client, State, known_session};
use super::transmit::Sink;
use crate::websocket::Violation;

/// Something for a WebSocket of another implementation; see [`Client::transmit_messages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outgoing<'a> {
    /// A binary message to send.
    Message(&'a [u8]),
    /// The end: a close frame with this code. An implementation that cannot send the code, as a
    /// browser, may send one without a code in place of it.
    Close(u16),
}

impl Client {
    /// Returns the address of the next connection: with what the server has to know about the protocol
    /// and the session.
    #[must_use]
    pub fn next_address(&self, address: Address) -> Address {
        let known = known_session(self.session.as_deref());
        handshake::add_query(address, self.options.extended, known)
    }

    /// Records that the driver has opened a WebSocket at the [`next_address`](Self::next_address). In place
    /// of [`connected`](Self::connected), [`receive`](Self::receive) and [`transmit`](Self::transmit) it
    /// calls [`receive_message`](Self::receive_message) and [`transmit_messages`](Self::transmit_messages).
    ///
    /// On [`Need::Disconnect`](super::Need::Disconnect) without an [`Outgoing::Close`] before it, the
    /// driver must not close the WebSocket with a close frame until the next connection is open or the
    /// client is closed: it would end the session, to which the client returns.
    pub fn upgraded(&mut self) {
        if let Some(socket) = self.socket.as_mut().filter(|_| self.state == State::Connecting) {
            (socket.is_upgraded, socket.is_foreign) = (true, true);
        }
    }

    /// Handles a whole message.
    pub fn receive_message(&mut self, now: Duration, data: &[u8]) {
        if self.socket.is_none() {
            return;
        }
        self.record_received(now);
        // Too late to save the memory, which the other implementation has allocated, but in time to
        // keep the message from the application.
        if data.len() > self.options.max_message {
            return self.violated(now, TOO_BIG);
        }
        self.message(now, data);
        self.pump(now);
    }

    /// The WebSocket is closed: by a close frame with this code and reason, without a code for 1005. For
    /// a connection that was lost call [`disconnected`](Self::disconnected).
    pub fn closed(&mut self, now: Duration, code: Option<u16>, reason: &str) {
        if self.socket.is_some() {
            self.closed_by_server(now, code, reason);
            // The driver has nothing to drop.
            self.must_disconnect = false;
        }
    }

    /// Passes on what has to be sent. Returns false if there was nothing.
    pub fn transmit_messages(&mut self, now: Duration, send: &mut dyn FnMut(Outgoing<'_>)) -> bool {
        let mut sink = Messages { send, has_sent: false };
        // Even without a socket, which a violation has already dropped.
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
    // The client's window limits what is in flight.
    fn is_full(&self) -> bool {
        false
    }

    fn message(&mut self, bytes: &[u8]) {
        self.pass(Outgoing::Message(bytes));
    }

    // `transmit_packets` asks in another way.
    fn ping(&mut self) {}

    fn close(&mut self, code: u16) {
        self.pass(Outgoing::Close(code));
    }
}

const TOO_BIG: Violation = Violation::too_big("a message is too large");

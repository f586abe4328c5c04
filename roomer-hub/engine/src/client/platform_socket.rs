//! A client's connection over a WebSocket provided by the platform.

use std::task::{Context, Poll};
use std::time::Duration;

use roomer_proto::client::{Client as Machine, Outgoing};

use super::runtime::{Incoming, MessageSocket};

/// An open WebSocket provided by the platform.
pub(super) struct PlatformSocket {
    socket: Box<dyn MessageSocket>,
    /// True once the closing handshake has begun.
    is_closing: bool,
    /// The number of sent bytes that the network had not accepted at the last turn.
    unsent: usize,
}

impl PlatformSocket {
    pub(super) fn new(socket: Box<dyn MessageSocket>) -> Self {
        PlatformSocket { socket, is_closing: false, unsent: 0 }
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        self.socket.poll_next(cx)
    }

    /// Reports to the machine whether the network accepts bytes. Called before the machine checks
    /// for a silent server.
    pub(super) fn progress(&mut self, machine: &mut Machine, now: Duration) {
        let before = std::mem::replace(&mut self.unsent, self.socket.unsent());
        if self.unsent < before {
            machine.progressed(now);
        }
    }

    /// Sends the machine's pending output.
    pub(super) fn transmit(&mut self, machine: &mut Machine, now: Duration) {
        machine.transmit_messages(now, &mut |outgoing| match outgoing {
            Outgoing::Close(code) => {
                self.is_closing = true;
                self.socket.close(code);
            }
            Outgoing::Message(message) => self.socket.send(message),
            _ => {}
        });
        // Never lower the count here: the next call to `progress` counts the bytes accepted since
        // the last turn.
        self.unsent = self.unsent.max(self.socket.unsent());
    }

    /// Abandons the connection. Returns the socket if it must stay open for now, since a close frame
    /// would end the session.
    pub(super) fn abandon(self) -> Option<Box<dyn MessageSocket>> {
        (!self.is_closing).then_some(self.socket)
    }
}

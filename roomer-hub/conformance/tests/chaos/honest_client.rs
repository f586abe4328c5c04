//! An honest client, which follows the protocol and checks every message that it receives.

use std::net::SocketAddr;

use super::delivery_log::{ClientIndex, DeliveryLog, Room};
use super::peer::{End, Peer, ReceiveBuffer};
use super::view::View;
use roomer_conformance::wire::{self, PacketView};

pub(super) struct HonestClient {
    pub(super) peer: Peer,
    pub(super) view: View,
    close_state: CloseState,
}

/// The progress of the close handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CloseState {
    Not,
    /// When all pending output is sent, the client ends the sending direction.
    ShutdownPending,
    ShutdownSent,
    /// The client has sent a close frame.
    Closing,
    /// The client has received the server's close frame.
    Closed,
}

/// The state of a client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    There,
    Gone,
}

impl HonestClient {
    pub(super) fn connect(
        addr: SocketAddr,
        width: ReceiveBuffer,
        is_reference: bool,
    ) -> HonestClient {
        let view = View::new(is_reference);
        HonestClient { peer: Peer::dial(addr, width), view, close_state: CloseState::Not }
    }

    /// Returns true if the client has joined `root`, does not have much pending output, and is not
    /// closing.
    pub(super) fn is_ready(&self) -> bool {
        self.view.me.is_some()
            && self.close_state == CloseState::Not
            && self.peer.unsent() < 64 * 1024
    }

    pub(super) fn join(&mut self, log: &DeliveryLog, room: Room) {
        let packet = self.view.join(log, room);
        self.send(packet);
    }

    /// Sends a message to a room that the client has joined or is joining.
    pub(super) fn say(&mut self, log: &mut DeliveryLog, room: Room, event: &str, filler: usize) {
        let packet = self.view.say(log, room, event, filler);
        self.send(packet);
    }

    pub(super) fn tell(&mut self, log: &mut DeliveryLog, to: ClientIndex, filler: usize) {
        let packet = self.view.tell(log, to, filler);
        self.send(packet);
    }

    pub(super) fn leave(&mut self, log: &mut DeliveryLog, room: Room) {
        let packet = self.view.leave(log, room);
        self.send(packet);
    }

    /// Sends a message to the client itself. It must arrive after all messages that were sent to
    /// the client before.
    pub(super) fn fence(&mut self, log: &DeliveryLog) {
        let packet = self.view.fence(log);
        self.send(Some(packet));
    }

    fn send(&mut self, packet: Option<Vec<u8>>) {
        packet.iter().for_each(|packet| self.peer.send(packet));
    }

    /// Starts the close handshake.
    pub(super) fn close(&mut self, log: &mut DeliveryLog) {
        self.view.record_leaves(log);
        log.note(self.view.me, "sent a close frame");
        self.peer.send(&wire::close(1000, ""));
        self.close_state = CloseState::Closing;
    }

    /// Ends the sending direction after the pending output.
    pub(super) fn shutdown_write(&mut self, log: &mut DeliveryLog) {
        self.view.record_leaves(log);
        log.note(self.view.me, "closed its sending direction");
        self.close_state = CloseState::ShutdownPending;
    }

    /// Drops the connection, either with a reset or while data is unread.
    pub(super) fn abort(self, log: &mut DeliveryLog, by_reset: bool) {
        if let Some(me) = self.view.me {
            log.cut(me);
        }
        self.view.end(log);
        if by_reset {
            self.peer.reset();
        }
    }

    pub(super) fn flush(&mut self) {
        self.peer.flush();
        if self.close_state == CloseState::ShutdownPending && self.peer.unsent() == 0 {
            self.peer.shutdown_write();
            self.close_state = CloseState::ShutdownSent;
        }
    }

    /// Handles the frames that have been received.
    pub(super) fn process_input(&mut self, log: &mut DeliveryLog) {
        let mut pongs = Vec::new();
        while let Some((opcode, payload)) = self.peer.next() {
            assert!(self.close_state != CloseState::Closed, "something after the close frame");
            match opcode {
                wire::BINARY => self.view.packet(log, PacketView::decode(payload)),
                wire::PING => pongs.extend(wire::frame(wire::FIN | wire::PONG, payload)),
                wire::CLOSE if self.close_state == CloseState::Closing => {
                    assert_eq!(
                        payload,
                        1000u16.to_be_bytes(),
                        "the server answers with another code"
                    );
                    self.close_state = CloseState::Closed;
                }
                _ => panic!("{} gets {opcode}: {}", self.view.name(log), payload.escape_ascii()),
            }
        }
        // After a close frame, send no more bytes: the server would reset the connection, and its
        // close frame would be lost.
        if !matches!(self.close_state, CloseState::Closing | CloseState::Closed) {
            self.peer.send(&pongs);
        }
    }

    /// Returns the state of the connection. Fails the test if the connection has ended, unless the
    /// client itself has ended it.
    pub(super) fn stage(&self, log: &DeliveryLog) -> Stage {
        let Some(end) = self.peer.end() else { return Stage::There };
        let is_meant = self.close_state == CloseState::Closed
            || (self.close_state, end) == (CloseState::ShutdownSent, End::Fin);
        assert!(is_meant, "{} is cut off: {:?}, {end:?}", self.view.name(log), self.close_state);
        Stage::Gone
    }
}

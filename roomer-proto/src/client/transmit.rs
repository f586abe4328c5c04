//! Encoding packets and control frames for the connection.

use alloc::vec::Vec;
use core::time::Duration;

use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::compression::Compression;
use super::item::{Kind, item};
use super::lifecycle::{Client, State};
use super::limits::{PROBE_DELAY, TRANSMIT_BYTES};
use crate::close::code;
use crate::extended::{ACK, ACK_NOW};
use crate::websocket::masked_frame;
use crate::{LEAVE, PacketRef, ROOT};

impl Client {
    /// Appends bytes to write to the connection. Stops after about 64 KiB so that packets stay in
    /// the queue while the network is slow. Returns false if there was nothing to write. `key`
    /// returns the masking key of the next frame, which must be unpredictable to the server (RFC
    /// 6455 section 10.3).
    pub fn transmit(
        &mut self,
        now: Duration,
        out: &mut Vec<u8>,
        key: &mut dyn FnMut() -> [u8; 4],
    ) -> bool {
        let before = out.len();
        // Append the close frame even without a socket: the client drops the state of a lost
        // connection immediately, but the driver still writes before it closes.
        if let Some(code) = self.final_close_code.take() {
            masked_frame(CLOSE, key(), &code.to_be_bytes(), out);
        }
        if let Some(socket) = &mut self.socket {
            if let Some(handshake) = &mut socket.handshake {
                out.append(&mut handshake.take_request());
            }
            if let Some(payload) = socket.pong.take() {
                masked_frame(OpCode::Control(Control::Pong), key(), &payload, out);
            }
            if matches!(self.state, State::Open | State::Closing) {
                let end = out.len() + TRANSMIT_BYTES;
                // Take the compressor out of the socket, because `transmit_packets` borrows the
                // whole client.
                let mut compression = socket.compression.take();
                let frames = &mut Frames { out, key, end, compression: compression.as_deref_mut() };
                self.transmit_packets(now, frames);
                if let Some(socket) = &mut self.socket {
                    socket.compression = compression;
                }
            }
        }
        out.len() > before
    }

    pub(super) fn transmit_packets(&mut self, now: Duration, sink: &mut impl Sink) {
        // An external WebSocket may not be able to send pings, so the client requests a
        // confirmation instead, whose answer also shows that the server is alive.
        let mut must_confirm = false;
        if let Some(socket) = self.socket.as_mut().filter(|socket| socket.is_external) {
            must_confirm = core::mem::take(&mut socket.must_ping);
        }
        let is_due = must_confirm || self.ask_at().is_some_and(|at| now >= at);
        // An extended server is probed only if a room is doubtful, since it confirms packets by
        // count.
        if self.outbox.must_probe || is_due && self.session.is_none() {
            self.outbox.probe(now, item(&PROBE_PACKET, Kind::Probe));
        }
        while !sink.is_full()
            && let Some(item) = self.outbox.write_next()
        {
            sink.message(&item.bytes);
        }
        // Everything else follows the packets: the reply to the close frame confirms all of them.
        if self.outbox.has_unwritten() {
            return;
        }
        if let Some(session) = &mut self.session {
            let ack_due = session.received.due_at().is_some_and(|at| now >= at);
            let is_asked = core::mem::take(&mut session.is_asked);
            if is_due || ack_due || is_asked {
                let count = alloc::format!("{}", session.received.acknowledge());
                let dst = if is_due { ACK_NOW } else { "" };
                let payload = count.as_bytes();
                let ack = PacketRef { room: ROOT, event: ACK, dst, payload, src: "" };
                sink.message(&ack.to_bytes());
            }
            if is_due {
                self.outbox.requested_confirmation(now);
            }
        }
        let Some(socket) = &mut self.socket else { return };
        if core::mem::take(&mut socket.must_ping) {
            sink.ping();
        }
        if socket.must_close && !socket.has_closed {
            // Send the close frame only once: RFC 6455 section 5.5.1 forbids frames after it.
            socket.has_closed = true;
            sink.close(code::NORMAL);
        }
    }

    /// Returns the time at which the client must request a confirmation.
    pub(super) fn ask_at(&self) -> Option<Duration> {
        let must_confirm = self.outbox.must_confirm;
        if self.session.is_none() {
            return if must_confirm { Some(Duration::ZERO) } else { self.outbox.probe_at() };
        }
        // An extended server acknowledges on its own schedule, and closes clients that keep asking
        // although there is nothing new.
        let has_window = self.outbox.has_window();
        let pause = |at: Duration| if has_window { at } else { at + PROBE_DELAY };
        must_confirm.then(|| self.outbox.confirmation_requested_at().map_or(Duration::ZERO, pause))
    }
}

/// The destination of outgoing messages and control frames.
pub(super) trait Sink {
    /// Returns true if further messages must wait for the next call.
    fn is_full(&self) -> bool;
    fn message(&mut self, bytes: &[u8]);
    fn ping(&mut self);
    fn close(&mut self, code: u16);
}

/// Appends frames to a byte buffer.
struct Frames<'a> {
    out: &'a mut Vec<u8>,
    key: &'a mut dyn FnMut() -> [u8; 4],
    /// No further packets are appended once `out` has this length.
    end: usize,
    compression: Option<&'a mut Compression>,
}

impl Sink for Frames<'_> {
    fn is_full(&self) -> bool {
        self.out.len() >= self.end
    }

    fn message(&mut self, bytes: &[u8]) {
        let key = (self.key)();
        // If `frame` returns false, it has appended nothing, so the key is used only once.
        let compressed = self.compression.as_mut().is_some_and(|c| c.frame(bytes, key, self.out));
        if !compressed {
            masked_frame(BINARY, key, bytes, self.out);
        }
    }

    fn ping(&mut self) {
        masked_frame(OpCode::Control(Control::Ping), (self.key)(), &[], self.out);
    }

    fn close(&mut self, code: u16) {
        masked_frame(CLOSE, (self.key)(), &code.to_be_bytes(), self.out);
    }
}

/// The room named in probes, which applications are not expected to use. The server acknowledges
/// the request to leave it like any other request to leave; see `outbox.rs`.
pub(super) const PROBE: &str = "\0probe";

pub(super) const PROBE_PACKET: PacketRef<'_> =
    PacketRef { room: PROBE, event: LEAVE, dst: "", src: "", payload: &[] };

const BINARY: OpCode = OpCode::Data(Data::Binary);
const CLOSE: OpCode = OpCode::Control(Control::Close);

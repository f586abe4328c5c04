//! The clients' side: the bytes that they send and receive, and the arrival of bytes at the server.

use roomer_proto::PacketRef;

use super::conn_model::{ConnModel, End};
use super::expected::Received;
use super::harness::Harness;
use super::marks::Mark;
use super::plan::{ClientFrame, Setup, Size};
use crate::alphabet::{identity, noise};
use crate::fault::Fault;
use crate::hub::plan::Mode;

impl Harness<'_> {
    /// Makes a client send a frame. Its bytes are in flight until they are delivered.
    pub fn send(&mut self, at: usize, frame: ClientFrame) {
        // After the client has closed, or ended its stream, steps that send are ignored.
        if !self.conns[at].can_send() {
            return;
        }
        if let ClientFrame::Packet { .. } = frame {
            return self.send_packet(at, frame);
        }
        let conn = &mut self.conns[at];
        match frame {
            ClientFrame::Packet { .. } => {}
            ClientFrame::Ping(length) => conn.traffic.ping(noise(3, length.min(125).into())),
            ClientFrame::Pong(length) => conn.traffic.pong(noise(4, length.min(125).into())),
            ClientFrame::Close(code) => {
                conn.traffic.close((code != 0).then_some(code));
                conn.closes_at = conn.traffic.pending.back().map(|sent| sent.at);
            }
            ClientFrame::Violation(violation) => {
                conn.traffic.violation(violation, &self.plan.setup);
                conn.violation.get_or_insert(violation);
                conn.ignores_input = true;
            }
        }
    }

    fn send_packet(&mut self, at: usize, frame: ClientFrame) {
        let ClientFrame::Packet { room, event, dst, src, payload, form } = frame else { return };
        let setup = &self.plan.setup;
        let caller = self.conns[at].id % 512;
        let (dst, src) = {
            let state = self.application.state();
            (state.address(dst, caller), state.address(src, caller))
        };
        let bare = PacketRef { room, event, dst, src, payload: &[] };
        let payload = match payload {
            Size::Queue { slot, hard, more } => self.payload_for_queue(slot, hard, more, &bare),
            payload => payload_of(payload, &bare, setup),
        };
        let packet = PacketRef { payload, ..bare };
        let length = packet.encoded_len();
        self.marks.mark(length == setup.max_message, Mark::MessageAtLimit);
        self.marks.mark(length == setup.max_message + 1, Mark::MessageOverLimit);
        self.marks.mark(length + 1 == setup.max_message, Mark::MessageUnderLimit);
        let conn = &mut self.conns[at];
        conn.traffic.packet(packet, form, setup);
        conn.ignores_input |= conn.traffic.has_sent_violation();
    }

    /// Returns a payload that fills a client's queue exactly, or nearly, to its soft or hard limit.
    fn payload_for_queue(
        &self,
        slot: u8,
        hard: bool,
        more: i8,
        bare: &PacketRef<'_>,
    ) -> &'static [u8] {
        let setup = &self.plan.setup;
        let limit = if hard { setup.hard_limit() } else { setup.max_backlog };
        let outstanding =
            self.conn_in_slot(slot).map_or(0, |at| self.conns[at].expected.outstanding()) as usize;
        let left = limit.saturating_sub(outstanding).saturating_add_signed(more.into());
        let head = match left {
            0..=127 => 2,
            128..=0x1_0003 => 4,
            _ => 10,
        };
        // Compute the size of the frame as it is delivered, with the sender's id in place of `src`.
        let around = head + bare.encoded_len() - bare.src.len() + identity(0).text.len();
        let max = setup.max_message.saturating_sub(bare.encoded_len()).min(0x1_0000);
        noise(8, left.saturating_sub(around).min(max) as u32)
    }

    /// Delivers the client's bytes in flight, up to the given number, to the server.
    pub fn deliver(&mut self, at: usize, bytes: usize) {
        let conn = &mut self.conns[at];
        // After the end of the stream, or if the connection is lost, no bytes arrive.
        if conn.end == Some(End::Lost) || conn.end == Some(End::Arrived) {
            return;
        }
        let size = bytes.min(conn.traffic.in_flight.len());
        if size > 0 {
            let (front, back) = conn.traffic.in_flight.as_slices();
            let first = front.len().min(size);
            conn.peer.deliver(&front[..first]);
            conn.peer.deliver(&back[..size - first]);
            conn.traffic.in_flight.drain(..size);
        }
        // As in TCP, the end of the stream follows the last byte.
        if conn.traffic.in_flight.is_empty() && conn.end == Some(End::Sending) {
            conn.peer.end_stream(Ok(()));
            conn.end = Some(End::Arrived);
        }
    }

    /// Reads the bytes that a client has received, compares them with the expected output, and
    /// sends the client's answers.
    pub(super) fn receive(&mut self, at: usize) -> Result<(), Fault> {
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.clear();
        let conn = &mut self.conns[at];
        conn.peer.take(usize::MAX, &mut bytes);
        self.trace.number(at as u64);
        self.trace.bytes(&bytes);
        let compat = self.plan.setup.mode == Mode::Compat;
        let ConnModel { expected, view, traffic, is_mute, end, closes_at, id, .. } = conn;
        // A client that has ended its stream, or that is mute in this plan, answers neither pings
        // nor close frames.
        let (id, is_polite) = (*id, !*is_mute && end.is_none());
        let marks = &mut self.marks;
        let received = expected.receive(&bytes, |received| {
            match received {
                Received::Ping if is_polite && closes_at.is_none() => traffic.pong(&[]),
                Received::Ping => {}
                Received::Close(code) => {
                    marks.close(code);
                    if is_polite && closes_at.is_none() {
                        traffic.close(code);
                        *closes_at = traffic.pending.back().map(|sent| sent.at);
                    }
                }
                Received::ExpectedItem(item) => {
                    marks.frame(&item);
                    view.receive(id, &item, compat)?;
                }
            }
            Ok(())
        });
        self.buffer = bytes;
        if !self.may_be_congested(at) {
            self.conns[at].congested_since = None;
        }
        let client = self.conns[at].client;
        received.map_err(|Fault(what)| {
            Fault::new(format!("connection {at} (client {client:?}): {what}"))
        })
    }
}

/// Returns a payload with which the whole packet has the given size.
fn payload_of(size: Size, bare: &PacketRef<'_>, setup: &Setup) -> &'static [u8] {
    const MAX: usize = 0x1_0000;
    match size {
        Size::Bytes(payload) => noise(payload.0, payload.1),
        Size::Queue { .. } => &[],
        Size::Limit(more) => {
            let length = setup.max_message.saturating_add_signed(more.into());
            noise(5, length.saturating_sub(bare.encoded_len()).min(MAX) as u32)
        }
        Size::Frame(length) => {
            // The server puts the sender's id in place of the client's `src`.
            let around = bare.encoded_len() - bare.src.len() + identity(0).text.len();
            noise(6, (length as usize).saturating_sub(around).min(MAX) as u32)
        }
    }
}

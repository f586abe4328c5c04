//! The bytes of the frames that clients send, and the effect of each frame on the server.

use std::collections::VecDeque;

use roomer_proto::PacketRef;
use roomer_testkit::frames::{self, first_byte};

use super::plan::{Form, RequestKind, Setup, Violation};
use crate::alphabet::noise;
use crate::hub::plan::Mode;

/// The bytes that a client has sent, and the items that they contain.
#[derive(Debug, Default)]
pub struct Traffic {
    pub in_flight: VecDeque<u8>,
    /// The items that the server has not handled yet, in the order in which they were sent.
    pub pending: VecDeque<Sent>,
    /// The number of bytes that the client has sent.
    total: u64,
    /// The size in bytes of the largest message that the client has sent.
    pub largest: usize,
    scratch: Vec<u8>,
    masks: u32,
}

/// An item that the server can handle once it has read the client's bytes up to the position `at`.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub at: u64,
    pub meaning: Meaning,
}

#[derive(Clone, Copy, Debug)]
pub enum Meaning {
    /// An upgrade request, with the status that the response must have.
    Request(u16),
    Packet(PacketRef<'static>),
    Ping(&'static [u8]),
    Pong,
    Close(Option<u16>),
    /// A violation of the protocol, with the code with which the server must close.
    Violation(u16),
}

impl Traffic {
    /// Returns the next item, or `None` if the server has not read all of it.
    pub fn peek(&self, read: u64) -> Option<Meaning> {
        self.pending.front().filter(|sent| sent.at <= read).map(|sent| sent.meaning)
    }

    /// Removes and returns the next item. Returns `None` if the server has not read all of it.
    pub fn next(&mut self, read: u64) -> Option<Sent> {
        self.peek(read)?;
        self.pending.pop_front()
    }

    /// Returns true if the client has committed a violation after which the server stops parsing.
    pub fn has_sent_violation(&self) -> bool {
        let deafens =
            |sent: &Sent| matches!(sent.meaning, Meaning::Violation(code) if code != 1003);
        self.pending.iter().any(deafens)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.in_flight.extend(bytes);
        self.total += bytes.len() as u64;
    }

    fn push(&mut self, what: Meaning) {
        self.pending.push_back(Sent { at: self.total, meaning: what });
    }

    /// Sends a frame. If `header_means` is given, it takes effect as soon as the server has read
    /// the frame's header.
    fn frame(&mut self, start: u8, payload: &[u8], header_means: Option<Meaning>) {
        // Each frame needs a different mask, but no randomness, so use multiples of the golden
        // ratio.
        self.masks = self.masks.wrapping_add(0x9e37_79b9);
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        frames::write(start, payload, self.masks.to_be_bytes(), &mut scratch);
        if let Some(what) = header_means {
            // The header alone determines the effect, so the server may react before it has read
            // the payload.
            let at = self.total + (scratch.len() - payload.len()) as u64;
            self.pending.push_back(Sent { at, meaning: what });
        }
        self.bytes(&scratch);
        self.scratch = scratch;
    }

    /// Sends an upgrade request. One of its headers contains the slot.
    pub fn request(&mut self, kind: RequestKind, slot: u8, mode: Mode) {
        let slot = format!("X-Slot: {slot}\r\n");
        let good = frames::request("/ws", &slot);
        let request = match kind {
            RequestKind::Upgrade => good,
            RequestKind::WrongPath => frames::request("/wss", &slot),
            RequestKind::Post => swap(&good, "GET", "POST"),
            RequestKind::NoUpgrade => swap(&good, "Upgrade: websocket\r\n", ""),
            RequestKind::OldVersion => swap(&good, "Version: 13", "Version: 12"),
            RequestKind::BadKey => swap(&good, "dGhl", "dGh"),
            RequestKind::BadOrigin => {
                frames::request("/ws", &(slot + "Origin: http://elsewhere\r\n"))
            }
            RequestKind::Http10 => swap(&good, "HTTP/1.1", "HTTP/1.0"),
        };
        self.bytes(&request);
        self.push(Meaning::Request(status(kind, mode)));
    }

    pub fn ping(&mut self, payload: &'static [u8]) {
        self.frame(first_byte::PING, payload, None);
        self.push(Meaning::Ping(payload));
    }

    pub fn pong(&mut self, payload: &[u8]) {
        self.frame(first_byte::PONG, payload, None);
        self.push(Meaning::Pong);
    }

    pub fn close(&mut self, code: Option<u16>) {
        match code {
            Some(code) => self.frame(first_byte::CLOSE, &code.to_be_bytes(), None),
            None => self.frame(first_byte::CLOSE, &[], None),
        }
        self.push(Meaning::Close(code));
    }

    /// Sends a packet in the given form. Each fragment except the last contains one byte.
    pub fn packet(&mut self, packet: PacketRef<'static>, form: Form, setup: &Setup) {
        let message = packet.to_bytes();
        self.largest = self.largest.max(message.len());
        let is_text = form == Form::Text;
        let kind = if is_text { first_byte::TEXT } else { first_byte::BINARY };
        let pieces = match form {
            Form::Whole | Form::Text => 0,
            Form::Fragmented(pieces) | Form::FragmentedWithPing(pieces) => usize::from(pieces),
        };
        let too_big = |end: usize| (end > setup.max_message).then_some(Meaning::Violation(1009));
        let mut at = 0;
        for piece in 0..pieces {
            let end = message.len().min(at + 1);
            let start = if piece == 0 { kind } else { first_byte::CONTINUATION };
            self.frame(start, &message[at..end], too_big(end));
            at = end;
        }
        if matches!(form, Form::FragmentedWithPing(_)) {
            self.ping(noise(9, 3));
        }
        let start = if pieces == 0 { kind | first_byte::FINAL } else { first_byte::FINAL };
        self.frame(start, &message[at..], too_big(message.len()));
        let what = match std::str::from_utf8(&message) {
            Err(_) if is_text => Meaning::Violation(1007),
            _ if is_text && setup.mode == Mode::Default => Meaning::Violation(1003),
            _ => Meaning::Packet(packet),
        };
        self.push(what);
    }

    pub fn violation(&mut self, violation: Violation, setup: &Setup) {
        let wrong = Some(Meaning::Violation(1002));
        let binary = first_byte::FINAL | first_byte::BINARY;
        // The packet is valid, but the frame that contains it is not.
        let word = PacketRef { room: "root", event: "cha", ..PacketRef::default() }.to_bytes();
        // In the remaining violations, the payload is at fault.
        let (start, payload, code): (u8, &[u8], u16) = match violation {
            Violation::ReservedBits => return self.frame(0x40 | binary, &word, wrong),
            Violation::Unmasked => {
                self.bytes(&[binary, word.len() as u8]);
                self.push(Meaning::Violation(1002));
                return self.bytes(&word);
            }
            Violation::Continuation => return self.frame(first_byte::FINAL, b"hi", wrong),
            Violation::Inside => {
                self.frame(first_byte::BINARY, &word[..9], None);
                return self.frame(binary, &word, wrong);
            }
            Violation::Opcode => return self.frame(0x83, &word, wrong),
            Violation::LongPing => return self.frame(first_byte::PING, noise(1, 126), wrong),
            Violation::CutPing => return self.frame(0x09, b"hi", wrong),
            Violation::TopBit => {
                let mut head = Vec::new();
                frames::write_head(binary, 1 << 63, [1, 2, 3, 4], &mut head);
                self.bytes(&head);
                // Send only the header, which announces a payload of 2^63 bytes.
                return self.push(Meaning::Violation(1002));
            }
            Violation::Fragments => {
                self.frame(first_byte::BINARY, b"", None);
                // Together with the first frame, these are one more than the limit on fragments.
                for _ in 0..1024 {
                    self.frame(first_byte::CONTINUATION, b"", None);
                }
                return self.push(Meaning::Violation(1009));
            }
            Violation::HalfCode => (first_byte::CLOSE, b"\x03", 1002),
            Violation::WrongCode => (first_byte::CLOSE, b"\x03\xed", 1002),
            Violation::CloseText => (first_byte::CLOSE, b"\x03\xe8\xff", 1007),
            Violation::TextBytes => (first_byte::FINAL | first_byte::TEXT, b"\xff", 1007),
            Violation::ShortPacket => (binary, b"\0\0\0\x01r\0\0", 1002),
            Violation::LongPacket => (binary, &[0; 21], 1002),
            Violation::PastEnd => (binary, b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01", 1002),
            Violation::NameBytes => {
                (binary, b"\0\0\0\x01\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 1007)
            }
        };
        let is_data = start & 0x08 == 0;
        let too_big = is_data && payload.len() > setup.max_message;
        self.frame(start, payload, too_big.then_some(Meaning::Violation(1009)));
        self.push(Meaning::Violation(code));
    }
}

fn swap(request: &[u8], from: &str, to: &str) -> Vec<u8> {
    String::from_utf8_lossy(request).replace(from, to).into_bytes()
}

fn status(request: RequestKind, mode: Mode) -> u16 {
    match request {
        RequestKind::BadOrigin if mode == Mode::Compat => 101,
        RequestKind::Upgrade => 101,
        RequestKind::WrongPath => 404,
        RequestKind::Post => 405,
        RequestKind::BadOrigin => 403,
        RequestKind::NoUpgrade
        | RequestKind::OldVersion
        | RequestKind::BadKey
        | RequestKind::Http10 => 400,
    }
}

//! What clients say, as bytes, and what each of those bytes means once the server has read it.

use std::collections::VecDeque;

use roomer_proto::PacketRef;
use roomer_testkit::frames::{self, first};

use super::plan::{Ask, Bad, Form, Setup};
use crate::names::noise;
use crate::plan::Rules;

/// A client's way of speaking: bytes under way, and their meanings.
#[derive(Debug, Default)]
pub struct Mouth {
    pub under_way: VecDeque<u8>,
    /// What has been said and not been understood yet, in order.
    pub said: VecDeque<Said>,
    /// Bytes ever said.
    total: u64,
    /// The most bytes of one message ever said.
    pub largest: usize,
    scratch: Vec<u8>,
    masks: u32,
}

/// Something that the server understands once it has read so many bytes.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    pub at: u64,
    pub what: Meaning,
}

#[derive(Clone, Copy, Debug)]
pub enum Meaning {
    /// A request, and the status of its answer.
    Request(u16),
    Packet(PacketRef<'static>),
    Ping(&'static [u8]),
    Pong,
    Close(Option<u16>),
    /// A reason to be closed with this code.
    Wrong(u16),
}

impl Mouth {
    /// What comes next, if the server has read it.
    pub fn peek(&self, read: u64) -> Option<Meaning> {
        self.said.front().filter(|said| said.at <= read).map(|said| said.what)
    }

    /// Takes what comes next, if the server has read it.
    pub fn next(&mut self, read: u64) -> Option<Said> {
        self.peek(read)?;
        self.said.pop_front()
    }

    /// Whether something has been said after which nothing is understood any more.
    pub fn has_said_wrong(&self) -> bool {
        let deafens = |said: &Said| matches!(said.what, Meaning::Wrong(code) if code != 1003);
        self.said.iter().any(deafens)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.under_way.extend(bytes);
        self.total += bytes.len() as u64;
    }

    fn means(&mut self, what: Meaning) {
        self.said.push_back(Said { at: self.total, what });
    }

    /// Says a frame; `header_means` is understood as soon as its header is read.
    fn frame(&mut self, start: u8, payload: &[u8], header_means: Option<Meaning>) {
        self.masks = self.masks.wrapping_add(0x9e37_79b9);
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        frames::write(start, payload, self.masks.to_be_bytes(), &mut scratch);
        if let Some(what) = header_means {
            let at = self.total + (scratch.len() - payload.len()) as u64;
            self.said.push_back(Said { at, what });
        }
        self.bytes(&scratch);
        self.scratch = scratch;
    }

    /// Asks to come in, and says from which slot.
    pub fn ask(&mut self, ask: Ask, slot: u8, rules: Rules) {
        let slot = format!("X-Slot: {slot}\r\n");
        let good = frames::request("/ws", &slot);
        let request = match ask {
            Ask::Upgrade => good,
            Ask::WrongPath => frames::request("/wss", &slot),
            Ask::Post => swap(&good, "GET", "POST"),
            Ask::NoUpgrade => swap(&good, "Upgrade: websocket\r\n", ""),
            Ask::OldVersion => swap(&good, "Version: 13", "Version: 12"),
            Ask::BadKey => swap(&good, "dGhl", "dGh"),
            Ask::BadOrigin => frames::request("/ws", &(slot + "Origin: http://elsewhere\r\n")),
            Ask::Http10 => swap(&good, "HTTP/1.1", "HTTP/1.0"),
        };
        self.bytes(&request);
        self.means(Meaning::Request(status(ask, rules)));
    }

    pub fn ping(&mut self, payload: &'static [u8]) {
        self.frame(first::PING, payload, None);
        self.means(Meaning::Ping(payload));
    }

    pub fn pong(&mut self, payload: &[u8]) {
        self.frame(first::PONG, payload, None);
        self.means(Meaning::Pong);
    }

    pub fn close(&mut self, code: Option<u16>) {
        match code {
            Some(code) => self.frame(first::CLOSE, &code.to_be_bytes(), None),
            None => self.frame(first::CLOSE, &[], None),
        }
        self.means(Meaning::Close(code));
    }

    /// Says a packet. In pieces, the first are of one byte each.
    pub fn packet(&mut self, packet: PacketRef<'static>, form: Form, setup: &Setup) {
        let message = packet.to_bytes();
        self.largest = self.largest.max(message.len());
        let is_text = form == Form::Text;
        let kind = if is_text { first::TEXT } else { first::BINARY };
        let pieces = match form {
            Form::Whole | Form::Text => 0,
            Form::Pieces(pieces) | Form::Pinged(pieces) => usize::from(pieces),
        };
        let too_big = |end: usize| (end > setup.max_message).then_some(Meaning::Wrong(1009));
        let mut at = 0;
        for piece in 0..pieces {
            let end = message.len().min(at + 1);
            let start = if piece == 0 { kind } else { first::PART };
            self.frame(start, &message[at..end], too_big(end));
            at = end;
        }
        if matches!(form, Form::Pinged(_)) {
            self.ping(noise(9, 3));
        }
        let start = if pieces == 0 { kind | first::FINAL } else { first::FINAL };
        self.frame(start, &message[at..], too_big(message.len()));
        let what = match std::str::from_utf8(&message) {
            Err(_) if is_text => Meaning::Wrong(1007),
            _ if is_text && setup.rules == Rules::Default => Meaning::Wrong(1003),
            _ => Meaning::Packet(packet),
        };
        self.means(what);
    }

    pub fn bad(&mut self, bad: Bad, setup: &Setup) {
        let wrong = Some(Meaning::Wrong(1002));
        let binary = first::FINAL | first::BINARY;
        // Nothing is wrong with it but how it is said.
        let word = PacketRef { room: "root", event: "cha", ..PacketRef::default() }.to_bytes();
        // What is wrong with the whole of it.
        let (start, payload, code): (u8, &[u8], u16) = match bad {
            Bad::ReservedBits => return self.frame(0x40 | binary, &word, wrong),
            Bad::Unmasked => {
                self.bytes(&[binary, word.len() as u8]);
                self.means(Meaning::Wrong(1002));
                return self.bytes(&word);
            }
            Bad::Continuation => return self.frame(first::FINAL, b"hi", wrong),
            Bad::Inside => {
                self.frame(first::BINARY, &word[..9], None);
                return self.frame(binary, &word, wrong);
            }
            Bad::Opcode => return self.frame(0x83, &word, wrong),
            Bad::LongPing => return self.frame(first::PING, noise(1, 126), wrong),
            Bad::CutPing => return self.frame(0x09, b"hi", wrong),
            Bad::TopBit => {
                let mut head = Vec::new();
                frames::write_head(binary, 1 << 63, [1, 2, 3, 4], &mut head);
                self.bytes(&head);
                return self.means(Meaning::Wrong(1002));
            }
            Bad::Fragments => {
                self.frame(first::BINARY, b"", None);
                for _ in 0..1024 {
                    self.frame(first::PART, b"", None);
                }
                return self.means(Meaning::Wrong(1009));
            }
            Bad::HalfCode => (first::CLOSE, b"\x03", 1002),
            Bad::WrongCode => (first::CLOSE, b"\x03\xed", 1002),
            Bad::CloseText => (first::CLOSE, b"\x03\xe8\xff", 1007),
            Bad::TextBytes => (first::FINAL | first::TEXT, b"\xff", 1007),
            Bad::ShortPacket => (binary, b"\0\0\0\x01r\0\0", 1002),
            Bad::LongPacket => (binary, &[0; 21], 1002),
            Bad::PastEnd => (binary, b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01", 1002),
            Bad::NameBytes => (binary, b"\0\0\0\x01\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 1007),
        };
        let is_data = start & 0x08 == 0;
        let too_big = is_data && payload.len() > setup.max_message;
        self.frame(start, payload, too_big.then_some(Meaning::Wrong(1009)));
        self.means(Meaning::Wrong(code));
    }
}

fn swap(request: &[u8], from: &str, to: &str) -> Vec<u8> {
    String::from_utf8_lossy(request).replace(from, to).into_bytes()
}

fn status(ask: Ask, rules: Rules) -> u16 {
    match ask {
        Ask::BadOrigin if rules == Rules::Compat => 101,
        Ask::Upgrade => 101,
        Ask::WrongPath => 404,
        Ask::Post => 405,
        Ask::BadOrigin => 403,
        Ask::NoUpgrade | Ask::OldVersion | Ask::BadKey | Ask::Http10 => 400,
    }
}

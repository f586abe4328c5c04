//! Encodes and decodes frames and packets.
//!
//! Frames use [`roomer_testkit::frames`], which shares no code with the server under test. Packets
//! are encoded here, independently of `roomer-proto`.

use std::fmt;
use std::ops::Range;

use roomer_testkit::frames;

pub const FIN: u8 = 0x80;
pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// A masking key in which no byte is repeated, so that a wrongly rotated key is detected.
const KEY: [u8; 4] = [0x5a, 0xc3, 0x0f, 0x91];

/// Returns the header of a masked frame, with its length in the shortest form.
pub fn header(first: u8, length: u64) -> Vec<u8> {
    let mut out = Vec::new();
    frames::write_head(first, length, KEY, &mut out);
    out
}

/// Returns a complete masked frame.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frames::write(first, payload, KEY, &mut out);
    out
}

/// Returns a binary message in one frame.
pub fn message(packet: &[u8]) -> Vec<u8> {
    frame(FIN | BINARY, packet)
}

/// Returns a close frame with a code.
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// Encodes a packet from its fields: room, event, dst, src, payload.
pub fn packet(fields: [&[u8]; 5]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        out.extend((field.len() as u32).to_be_bytes());
        out.extend(field);
    }
    out
}

/// Returns a message to a room, with empty `dst` and `src`.
pub fn to_room(room: &str, event: &str, payload: &[u8]) -> Vec<u8> {
    message(&packet([room.as_bytes(), event.as_bytes(), b"", b"", payload]))
}

/// Returns a message to one client, with an empty `src`.
pub fn to_client(dst: &str, room: &str, event: &str, payload: &[u8]) -> Vec<u8> {
    message(&packet([room.as_bytes(), event.as_bytes(), dst.as_bytes(), b"", payload]))
}

/// A received frame: its opcode and its payload's position.
pub struct Frame {
    pub opcode: u8,
    pub payload: Range<usize>,
}

/// Returns the frame at the start of `bytes`; `None` if it is not complete yet.
///
/// # Panics
///
/// Panics if a server must not send the frame: it is masked, fragmented, has reserved bits, or its
/// length is not in the shortest form.
pub fn incoming(bytes: &[u8]) -> Option<Frame> {
    let (frame, size) = frames::read(bytes).unwrap_or_else(|error| panic!("{error}"))?;
    let length = match frame {
        frames::Frame::Close(Some(_), reason) => 2 + reason.len(),
        frames::Frame::Close(None, data)
        | frames::Frame::Binary(data)
        | frames::Frame::Text(data)
        | frames::Frame::Ping(data)
        | frames::Frame::Pong(data) => data.len(),
    };
    Some(Frame { opcode: bytes[0] & 0x0f, payload: size - length..size })
}

/// Returns bytes whose values depend on their position, so that lost, duplicated or swapped bytes
/// are detected.
pub fn filler(length: usize) -> Vec<u8> {
    // The bytes repeat after 128 rows of 251 bytes. Copying them is much faster than computing them.
    const PERIOD: usize = 128 * 251;
    let start: Vec<u8> = (0..length.min(PERIOD)).map(|i| (i * 7 + i / 251) as u8).collect();
    let mut bytes = start.repeat(length.div_ceil(PERIOD));
    bytes.truncate(length);
    bytes
}

/// A received packet with borrowed fields.
#[derive(Clone, Copy)]
pub struct PacketView<'a> {
    pub room: &'a [u8],
    pub event: &'a [u8],
    pub dst: &'a [u8],
    pub src: &'a [u8],
    pub payload: &'a [u8],
}

impl<'a> PacketView<'a> {
    /// Decodes a message, which must be exactly one packet.
    pub fn decode(mut message: &'a [u8]) -> PacketView<'a> {
        let mut field = || {
            let (length, rest) = message.split_first_chunk().expect("a field's length");
            let length = u32::from_be_bytes(*length) as usize;
            let (field, rest) = rest.split_at_checked(length).expect("a whole field");
            message = rest;
            field
        };
        let (room, event, dst, src, payload) = (field(), field(), field(), field(), field());
        assert_eq!(message.len(), 0, "bytes after the payload");
        PacketView { room, event, dst, src, payload }
    }
}

/// A received packet with owned fields.
#[derive(Clone, PartialEq, Eq)]
pub struct Packet {
    pub room: String,
    pub event: String,
    pub dst: String,
    pub src: String,
    pub payload: Vec<u8>,
}

impl From<PacketView<'_>> for Packet {
    fn from(view: PacketView<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("names are UTF-8");
        Packet {
            room: text(view.room),
            event: text(view.event),
            dst: text(view.dst),
            src: text(view.src),
            payload: view.payload.to_vec(),
        }
    }
}

/// Formats the packet with long names and payloads abbreviated.
impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Packet { room, event, dst, src, payload } = self;
        for name in [room, event, dst, src] {
            write!(f, "{:?} ", name.chars().take(48).collect::<String>())?;
        }
        let start = payload[..payload.len().min(80)].escape_ascii();
        write!(f, "b\"{start}\" of {} bytes", payload.len())
    }
}

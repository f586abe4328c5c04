//! A client's frames, the headers of received frames, and the stamp at the start of each payload.

use roomer_proto::PacketRef;
use roomer_testkit::frames::{write, write_head};

pub const CONTINUATION: u8 = 0;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;
pub const BINARY: u8 = 2;

/// The bit that marks the last frame of a message.
const FIN: u8 = 0x80;

/// The masking key. A client must use one, but a server accepts any value.
const KEY: [u8; 4] = [0x9d, 0x41, 0xe7, 0x0a];

/// The length of a [`Stamp`] in bytes.
pub const STAMP: usize = 24;

/// The identity of a message, and the time at which it was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The index of the slot in which the sending side counts the receivers of the message.
    pub slot: u32,
    /// The index of the sender in its room.
    pub sender: u32,
    /// The number of messages that the sender has sent before.
    pub number: u64,
    /// The time at which the message was due, in nanoseconds since the generator started.
    pub due: u64,
}

impl Stamp {
    pub fn write(self, payload: &mut [u8]) {
        payload[..4].copy_from_slice(&self.slot.to_le_bytes());
        payload[4..8].copy_from_slice(&self.sender.to_le_bytes());
        payload[8..16].copy_from_slice(&self.number.to_le_bytes());
        payload[16..24].copy_from_slice(&self.due.to_le_bytes());
    }

    pub fn read(payload: &[u8]) -> Option<Stamp> {
        let (slot, rest) = payload.split_first_chunk()?;
        let (sender, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (due, _) = rest.split_first_chunk()?;
        Some(Stamp {
            slot: u32::from_le_bytes(*slot),
            sender: u32::from_le_bytes(*sender),
            number: u64::from_le_bytes(*number),
            due: u64::from_le_bytes(*due),
        })
    }
}

/// Appends a packet, as a binary message in one masked frame.
pub fn packet(packet: &PacketRef<'_>, out: &mut Vec<u8>) {
    write_head(FIN | BINARY, packet.encoded_len() as u64, KEY, out);
    let start = out.len();
    if packet.encode(out).is_ok() {
        mask(&mut out[start..]);
    }
}

/// Appends a masked frame with this opcode.
pub fn control(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    write(FIN | opcode, payload, KEY, out);
}

fn mask(data: &mut [u8]) {
    let key = u32::from_ne_bytes(KEY);
    let (words, tail) = data.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ key).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(KEY) {
        *byte ^= key;
    }
}

/// The header of a frame that the server has sent.
pub struct Head {
    pub last: bool,
    pub opcode: u8,
    /// The header's size in bytes.
    pub bytes: usize,
    /// The payload's size in bytes.
    pub length: usize,
}

impl Head {
    /// Parses the header at the start of `data`. Returns `None` if it is not complete.
    pub fn read(data: &[u8]) -> Option<Head> {
        let [first, second, rest @ ..] = data else { return None };
        let (bytes, length) = match second & 0x7f {
            126 => (4, usize::from(u16::from_be_bytes(*rest.first_chunk()?))),
            127 => (10, u64::from_be_bytes(*rest.first_chunk()?) as usize),
            short => (2, usize::from(short)),
        };
        Some(Head { last: first & 0x80 != 0, opcode: first & 15, bytes, length })
    }
}

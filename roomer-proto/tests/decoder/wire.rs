//! Client frames, encoded by tungstenite, and a decoder's events in owned form.

use roomer_proto::websocket::{Decoder, Event, Kind, Limits};
use tungstenite::protocol::frame::coding::OpCode;
use tungstenite::protocol::frame::{Frame, FrameHeader};

pub(crate) const FIN: u8 = 0x80;
pub(crate) const CONTINUE: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = FIN | 8;
pub(crate) const PING: u8 = FIN | 9;
pub(crate) const PONG: u8 = FIN | 10;

/// A key without repeated bytes so that a wrong rotation is detected.
pub(crate) const KEY: [u8; 4] = [0x5a, 0xc3, 0x0f, 0x91];

/// Encodes a masked frame's header with the shortest form of its length.
pub(crate) fn header(first: u8, length: u64, key: [u8; 4]) -> Vec<u8> {
    let mut out = Vec::new();
    frame_header(first, key).format(length, &mut out).unwrap();
    out
}

/// Encodes a complete masked frame.
pub(crate) fn keyed(first: u8, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let frame = Frame::from_payload(frame_header(first, key), payload.to_vec().into());
    let mut out = Vec::new();
    frame.format(&mut out).unwrap();
    out
}

fn frame_header(first: u8, key: [u8; 4]) -> FrameHeader {
    FrameHeader {
        is_final: first & FIN != 0,
        rsv1: first & 0x40 != 0,
        rsv2: first & 0x20 != 0,
        rsv3: first & 0x10 != 0,
        opcode: OpCode::from(first & 0x0f),
        mask: Some(key),
    }
}

pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    keyed(first, payload, KEY)
}

/// Returns bytes that depend on their position, to detect missing, repeated or swapped bytes.
pub(crate) fn filler(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 7 + i / 251) as u8).collect()
}

/// An owned copy of an event.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Rejected(u16, &'static str),
}

/// Shows only the length of long payloads.
impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, data) = match self {
            Seen::Text(text) => ("Text", text.as_bytes()),
            Seen::Binary(data) => ("Binary", &data[..]),
            Seen::Ping(data) => ("Ping", &data[..]),
            Seen::Pong(data) => ("Pong", &data[..]),
            Seen::Close(code, reason) => return write!(f, "Close({code:?}, {reason:?})"),
            Seen::Rejected(code, reason) => return write!(f, "Rejected({code}, {reason:?})"),
        };
        let start = data[..data.len().min(16)].escape_ascii();
        write!(f, "{name}({} bytes, {start})", data.len())
    }
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Message { kind, data } => match kind {
                Kind::Text => Seen::Text(String::from_utf8(data.to_vec()).unwrap()),
                Kind::Binary => Seen::Binary(data.to_vec()),
            },
            Event::Compressed { .. } => panic!("compression was not negotiated"),
            Event::Ping(data) => Seen::Ping(data.to_vec()),
            Event::Pong(data) => Seen::Pong(data.to_vec()),
            Event::Close { code, reason } => Seen::Close(code, reason.to_owned()),
        }
    }
}

pub(crate) fn message(text: &str) -> Seen {
    Seen::Text(text.to_owned())
}

pub(crate) fn binary(data: &[u8]) -> Seen {
    Seen::Binary(data.to_vec())
}

/// Returns the next event from a feed.
pub(crate) fn draw(feed: &mut roomer_proto::websocket::Feed<'_>) -> Option<Seen> {
    Some(match feed.next()? {
        Ok(event) => event.into(),
        Err(violation) => Seen::Rejected(violation.code, violation.reason),
    })
}

/// Returns all events from one chunk.
pub(crate) fn feed(decoder: &mut Decoder, limits: &Limits, chunk: &[u8]) -> Vec<Seen> {
    let mut chunk = chunk.to_vec();
    let mut feed = decoder.feed(limits, &mut chunk);
    let mut seen = Vec::new();
    while let Some(event) = draw(&mut feed) {
        let over = matches!(seen.last(), Some(Seen::Close(..) | Seen::Rejected(..)));
        assert!(!over, "an event after the end: {event:?}");
        seen.push(event);
    }
    seen
}

/// Returns all events in a stream, split into these chunks.
pub(crate) fn read_chunks<'a>(
    limits: &Limits,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<Seen> {
    let mut decoder = Decoder::new();
    let mut seen = Vec::new();
    for chunk in chunks {
        seen.extend(feed(&mut decoder, limits, chunk));
    }
    seen
}

/// Returns all events in a stream, passed as one chunk.
pub(crate) fn read(wire: &[u8]) -> Vec<Seen> {
    read_chunks(&Limits::default(), [wire])
}

pub(crate) fn limits(max_message: usize, max_fragments: u32) -> Limits {
    let mut limits = Limits::default();
    limits.max_message = max_message;
    limits.max_fragments = max_fragments;
    limits.mean_fragment = 0;
    limits
}

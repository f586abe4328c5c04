//! Compares the decoder with tungstenite's server side on the same streams.

use std::io::{self, Read, Write};

use proptest::prelude::*;
use roomer_proto::websocket::pong_frame;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

use super::streams::{any_stream, chunk_sizes, chunks};
use super::wire::*;

/// A socket in memory, which returns chunks one at a time and records written bytes.
struct Socket<'a, I: Iterator<Item = &'a [u8]>> {
    chunks: I,
    rest: &'a [u8],
    written: Vec<u8>,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Read for Socket<'a, I> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            self.rest = self.chunks.next().unwrap_or_default();
        }
        self.rest.read(buffer)
    }
}

impl<'a, I: Iterator<Item = &'a [u8]>> Write for Socket<'a, I> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The reason why tungstenite stopped reading.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The stream ended without a close frame.
    Stream,
    Close,
    Rejected,
}

/// Returns the events that tungstenite reads, how it stops, and the bytes that it writes.
fn tungstenite<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<Seen>, End, Vec<u8>) {
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .max_frame_size(Some(16 << 20))
        .max_message_size(Some(16 << 20));
    let mut context = WebSocketContext::new(Role::Server, Some(config));
    let mut socket = Socket { chunks, rest: &[], written: Vec::new() };
    let mut seen = Vec::new();
    loop {
        match context.read(&mut socket) {
            Ok(Message::Text(text)) => seen.push(message(&text)),
            Ok(Message::Binary(data)) => seen.push(binary(&data)),
            Ok(Message::Ping(data)) => seen.push(Seen::Ping(data.to_vec())),
            Ok(Message::Pong(data)) => seen.push(Seen::Pong(data.to_vec())),
            Ok(Message::Close(frame)) => {
                // tungstenite replaces an invalid code with 1002 and its own reason.
                if frame.as_ref().is_some_and(|f| f.reason == "Protocol violation") {
                    return (seen, End::Rejected, socket.written);
                }
                seen.push(match frame {
                    Some(frame) => Seen::Close(Some(frame.code.into()), frame.reason.to_string()),
                    None => Seen::Close(None, String::new()),
                });
                return (seen, End::Close, socket.written);
            }
            Ok(Message::Frame(frame)) => panic!("a raw frame: {frame}"),
            Err(Error::Protocol(
                tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )) => return (seen, End::Stream, socket.written),
            Err(_) => return (seen, End::Rejected, socket.written),
        }
    }
}

/// Returns the events, the final state and the violation of this crate's decoder.
fn ours(wire: &[u8]) -> (Vec<Seen>, End, Option<&'static str>) {
    // tungstenite does not limit the number of fragments.
    let limits = limits(16 << 20, u32::MAX);
    let mut seen = read_chunks(&limits, [wire]);
    match seen.last() {
        Some(Seen::Rejected(_, reason)) => {
            let reason = *reason;
            seen.pop();
            (seen, End::Rejected, Some(reason))
        }
        Some(Seen::Close(..)) => (seen, End::Close, None),
        _ => (seen, End::Stream, None),
    }
}

proptest! {
    #[test]
    fn valid_streams_decode_identically(stream in any_stream(), sizes in chunk_sizes()) {
        let (theirs, _, written) = tungstenite(chunks(&stream.wire, &sizes));
        let (ours, ..) = ours(&stream.wire);
        prop_assert_eq!(&ours, &theirs);
        prop_assert_eq!(&ours, &stream.expected);

        // Both sides answer pings with identical bytes.
        let mut pongs = Vec::new();
        for event in &ours {
            if let Seen::Ping(data) = event {
                pong_frame(data, &mut pongs);
            }
        }
        prop_assert!(written.starts_with(&pongs));
    }

    #[test]
    fn damaged_streams_are_rejected_by_both_or_neither(
        stream in any_stream(),
        frame in any::<prop::sample::Index>(),
        offset in 0..4usize,
        bits in 1..=255u8,
    ) {
        let mut wire = stream.wire;
        prop_assume!(!stream.starts.is_empty());
        let at = (frame.get(&stream.starts) + offset).min(wire.len() - 1);
        wire[at] ^= bits;
        let (theirs, their_end, _) = tungstenite(std::iter::once(&wire[..]));
        let (ours, our_end, reason) = ours(&wire);
        match our_end {
            End::Rejected => {
                prop_assert!(theirs.starts_with(&ours));
                // This crate needs only the header, but tungstenite waits for the payload,
                // which may never arrive. tungstenite also accepts control frames whose short
                // length has an extended form.
                let forgiven = reason == Some("control frame is above 125 bytes");
                prop_assert!(forgiven || their_end != End::Close, "{:?}", reason);
                prop_assert!(forgiven || ours == theirs, "{:?}", reason);
            }
            _ => {
                prop_assert_eq!(our_end, their_end);
                prop_assert_eq!(ours, theirs);
            }
        }
    }
}

//! Buffering of bytes whose messages must wait, without delaying the pings between them.

use tungstenite::protocol::frame::coding::{Control, OpCode};

use super::decoder::Decoder;
use super::frame::FrameHead;
use super::mask::unmask;

impl<const CLIENT: bool> Decoder<CLIENT> {
    /// Buffers a chunk of bytes without taking events, because an earlier message must be handled
    /// first. Calls `on_ping` with the payload of each ping in the buffer. Pings and pongs are then
    /// removed; everything else is reported by later feeds, in order. The caller must limit how many
    /// bytes it defers.
    ///
    /// Returns true if the peer's close frame is in the buffer. Nothing after it is examined.
    pub fn defer(&mut self, chunk: &[u8], mut on_ping: impl FnMut(&[u8])) -> bool {
        if self.is_over || (chunk.is_empty() && self.unfinished() == 0) {
            return self.is_closed_by_peer();
        }
        let accepts_compressed = self.accepts_compressed;
        let unfinished = self.unfinished_mut();
        // The buffer may grow by doubling: it contains more than one frame.
        unfinished.push(chunk, usize::MAX);
        let (start, buffer) =
            (unfinished.examined.max(unfinished.consumed), &mut unfinished.buffer);
        // Frames to keep are moved to `to`, over removed ones, so that each byte is moved only once.
        let (mut from, mut to, mut is_closing) = (start, start, false);
        // A violation is reported by the feed that reaches it. Nothing after it is examined.
        while let Ok(Some(head)) = FrameHead::parse(&buffer[from..])
            && head.check(CLIENT, accepts_compressed).is_ok()
        {
            let (payload, len) = (from + head.header_len, buffer.len());
            // Compare the announced length, since the payload's may be truncated.
            if head.announced_len > len.saturating_sub(payload) as u64 {
                break;
            }
            let end = payload + head.payload_len;
            match head.header.opcode {
                OpCode::Control(Control::Ping) => {
                    unmask(&mut buffer[payload..end], head.key);
                    on_ping(&buffer[payload..end]);
                }
                OpCode::Control(Control::Pong) => {}
                OpCode::Control(_) => {
                    is_closing = true;
                    break;
                }
                OpCode::Data(_) => {
                    buffer.copy_within(from..end, to);
                    to += end - from;
                }
            }
            from = end;
        }
        buffer.drain(to..from);
        unfinished.examined = to;
        is_closing
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::super::{Event, Limits};
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    /// A client's frame with a payload of up to 125 bytes.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = [&[first, 0x80 | payload.len() as u8][..], &MASK, payload].concat();
        unmask(&mut frame[6..], MASK);
        frame
    }

    /// Takes all events that a decoder has buffered, as text.
    fn taken(decoder: &mut Decoder) -> Vec<alloc::string::String> {
        let limits = Limits::default();
        let mut feed = decoder.feed(&limits, &mut []);
        let mut taken = Vec::new();
        while let Some(event) = feed.next() {
            taken.push(match event {
                Ok(Event::Message { data, .. }) => alloc::format!("{}", data.escape_ascii()),
                other => alloc::format!("{other:?}"),
            });
        }
        taken
    }

    #[test]
    fn pings_between_deferred_messages_are_reported_immediately() {
        let parts = [
            frame(0x82, b"one"),
            frame(0x89, b"first"),
            frame(0x02, b"tw"),
            frame(0x8a, b"pong"),
            frame(0x89, b""),
            frame(0x80, b"o"),
            frame(0x82, &[b'x'; 125]),
            frame(0x89, b"last"),
            frame(0x82, b"end"),
        ];
        let wire = parts.concat();
        for size in 1..=wire.len() {
            let (mut decoder, mut pings) = (Decoder::new(), Vec::new());
            for chunk in wire.chunks(size) {
                assert!(!decoder.defer(chunk, |payload| pings.push(payload.to_vec())));
            }
            assert_eq!(pings, [&b"first"[..], b"", b"last"], "chunks of {size}");
            let expected = ["one", "two", &"x".repeat(125), "end"];
            assert_eq!(taken(&mut decoder), expected, "chunks of {size}");
            assert_eq!(decoder.held(), 0);
        }
    }

    #[test]
    fn events_may_be_taken_between_deferred_chunks() {
        let wire = [frame(0x82, b"a"), frame(0x89, b"ping"), frame(0x82, b"b")].concat().repeat(40);
        let limits = Limits::default();
        for size in [1, 7, 19, 64] {
            let (mut decoder, mut pings, mut messages) = (Decoder::new(), 0, Vec::new());
            for chunk in wire.chunks(size) {
                decoder.defer(chunk, |payload| {
                    assert_eq!(payload, b"ping");
                    pings += 1;
                });
                if let Some(Ok(Event::Message { data, .. })) = decoder.feed(&limits, &mut []).next()
                {
                    messages.extend_from_slice(data);
                }
            }
            messages.extend(taken(&mut decoder).concat().into_bytes());
            assert_eq!((pings, messages), (40, b"ab".repeat(40)), "chunks of {size}");
        }
    }

    #[test]
    fn bytes_after_close_or_violation_are_not_parsed() {
        let ping = frame(0x89, b"late");
        let none = |_: &[u8]| panic!("a ping is reported");
        let mut decoder = Decoder::new();
        assert!(!decoder.defer(&[], none));
        let close = [frame(0x82, b"one"), frame(0x88, &[3, 232]), ping.clone()].concat();
        assert!(decoder.defer(&close, none) && decoder.defer(&ping, none));
        assert_eq!(taken(&mut decoder)[0], "one");
        assert!(decoder.is_closed_by_peer() && decoder.defer(&ping, none));
        let mut decoder = Decoder::new();
        for chunk in [frame(0xc2, b"reserved"), ping] {
            assert!(!decoder.defer(&chunk, none));
        }
        assert!(taken(&mut decoder)[0].contains("reserved bits"));
        // No buffer can have this length.
        let mut decoder = Decoder::new();
        let huge = [0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4, 5];
        assert!(!decoder.defer(&huge, none));
        assert!(taken(&mut decoder)[0].contains("above the limit"));
    }
}

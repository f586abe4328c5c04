//! The RSV1 bit: the frames in which a decoder accepts it (RFC 7692 section 6), and fragments.

use roomer_proto::websocket::deflate::{Deflater, Inflater};
use roomer_proto::websocket::{Decoder, Event, Kind, Limits};

use crate::decoder::wire::{BINARY, CLOSE, CONTINUE, FIN, KEY, PING, PONG, TEXT, frame, header};

const RSV1: u8 = 0x40;
/// "Hello" (section 7.2.3.1).
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";

/// Returns a decoder's messages, or the close code for its violation.
fn messages(accepts_compressed: bool, frames: &[Vec<u8>]) -> Result<Vec<(Kind, Vec<u8>)>, u16> {
    let limits = Limits::default();
    let mut all = Vec::new();
    // Decode the frames in one chunk, then byte by byte: the compression state must not depend on
    // chunk boundaries.
    for size in [usize::MAX, 1] {
        let mut decoder = Decoder::new();
        if accepts_compressed {
            decoder.accept_compressed();
        }
        let mut found = Vec::new();
        let mut bytes = frames.concat();
        for chunk in bytes.chunks_mut(size.min(frames.concat().len())) {
            let mut feed = decoder.feed(&limits, chunk);
            while let Some(event) = feed.next() {
                match event.map_err(|violation| violation.code)? {
                    Event::Message { kind, data } => found.push((kind, data.to_vec())),
                    Event::Compressed { kind, data } => {
                        let message = Inflater::new().inflate(kind, data, limits.max_message);
                        found.push((kind, message.map_err(|violation| violation.code)?));
                    }
                    _ => {}
                }
            }
        }
        all.push(found);
    }
    assert_eq!(all[0], all[1]);
    Ok(all.remove(0))
}

fn hello(kind: Kind) -> (Kind, Vec<u8>) {
    (kind, b"Hello".to_vec())
}

#[test]
fn compressed_and_plain_messages_alternate() {
    let frames = [
        frame(FIN | RSV1 | TEXT, HELLO),
        frame(FIN | TEXT, b"Hello"),
        frame(FIN | RSV1 | BINARY, HELLO),
        frame(FIN | RSV1 | BINARY, b""),
    ];
    let expected =
        vec![hello(Kind::Text), hello(Kind::Text), hello(Kind::Binary), (Kind::Binary, vec![])];
    assert_eq!(messages(true, &frames), Ok(expected));
}

#[test]
fn fragments_are_inflated_together() {
    // Fragments of compressed text need not be valid UTF-8.
    for cut in 0..=HELLO.len() {
        let frames = [
            frame(RSV1 | TEXT, &HELLO[..cut]),
            frame(PING, b"between"),
            frame(CONTINUE, &[]),
            frame(FIN, &HELLO[cut..]),
            frame(FIN | BINARY, b"plain"),
        ];
        let expected = vec![hello(Kind::Text), (Kind::Binary, b"plain".to_vec())];
        assert_eq!(messages(true, &frames), Ok(expected), "cut at {cut}");
    }
}

#[test]
fn rsv1_without_negotiation_is_closed_with_1002() {
    assert_eq!(messages(false, &[frame(FIN | RSV1 | BINARY, HELLO)]), Err(1002));
    assert_eq!(messages(false, &[frame(RSV1 | TEXT, HELLO)]), Err(1002));
}

#[test]
fn rsv1_on_continuation_or_control_frame_is_closed_with_1002() {
    for first in [RSV1 | PING, RSV1 | CLOSE, RSV1 | PONG] {
        assert_eq!(messages(true, &[frame(first, b"")]), Err(1002), "{first:x}");
    }
    for start in [TEXT, RSV1 | TEXT] {
        for next in [RSV1, FIN | RSV1] {
            let frames = [frame(start, b""), frame(next, HELLO)];
            assert_eq!(messages(true, &frames), Err(1002), "{start:x}, then {next:x}");
        }
    }
}

#[test]
fn rsv2_and_rsv3_stay_forbidden() {
    for bits in [0x20, 0x10, 0x30, 0x60, 0x50, 0x70] {
        let frames = [frame(FIN | bits | BINARY, HELLO)];
        assert_eq!(messages(true, &frames), Err(1002), "{bits:x}");
    }
}

#[test]
fn compressed_length_is_limited_before_payload() {
    let limits = {
        let mut limits = Limits::default();
        limits.max_message = 10;
        limits
    };
    let mut decoder = Decoder::new();
    decoder.accept_compressed();
    let mut head = header(FIN | RSV1 | BINARY, 11, KEY);
    let mut feed = decoder.feed(&limits, &mut head);
    assert_eq!(feed.next().unwrap().unwrap_err().code, 1009);
}

#[test]
fn server_frames_set_rsv1_only_if_compressed() {
    let mut deflater = Deflater::new();
    let (mut long, mut short) = (Vec::new(), Vec::new());
    deflater.message_frame(Kind::Text, &[b'a'; 500], &mut long);
    deflater.message_frame(Kind::Text, b"a", &mut short);
    assert_eq!((long[0], short[0]), (FIN | RSV1 | TEXT, FIN | TEXT));
    assert_eq!(usize::from(long[1]), long.len() - 2);
    assert!(long.len() < 30);
}

//! Compressed data: the examples in RFC 7692 section 7.2.3, round trips, and invalid data.

use proptest::prelude::*;
use roomer_proto::websocket::Kind;
use roomer_proto::websocket::deflate::{Deflater, Inflater};

const MAX: usize = 1 << 20;

fn inflate(data: &[u8]) -> Result<Vec<u8>, u16> {
    inflate_up_to(data, MAX)
}

fn inflate_up_to(data: &[u8], max: usize) -> Result<Vec<u8>, u16> {
    Inflater::new().inflate(Kind::Binary, data, max).map_err(|violation| violation.code)
}

#[test]
fn rfc_examples() {
    for (data, message) in [
        // 7.2.3.1: a message with one fixed block.
        (&b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..], &b"Hello"[..]),
        // 7.2.3.3: an uncompressed block.
        (b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", b"Hello"),
        // 7.2.3.4: a final block, followed by the empty block.
        (b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", b"Hello"),
        // 7.2.3.5: two blocks.
        (b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", b"Hello"),
        // 7.2.3.6: an empty message.
        (b"\x00", b""),
    ] {
        assert_eq!(inflate(data).as_deref(), Ok(message), "{data:x?}");
    }
}

#[test]
fn valid_data_that_zlib_never_emits() {
    // A compressor that had nothing to flush produces no data.
    assert_eq!(inflate(b""), Ok(vec![]));
    // This final block is not followed by the empty block.
    assert_eq!(inflate(b"\xf3\x48\xcd\xc9\xc9\x07\x00").as_deref(), Ok(&b"Hello"[..]));
    // There may be several final blocks.
    let twice = b"\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x48\xcd\xc9\xc9\x07\x00\x00";
    assert_eq!(inflate(twice).as_deref(), Ok(&b"HelloHello"[..]));
}

#[test]
fn each_message_starts_with_empty_window() {
    let mut inflater = Inflater::new();
    let mut run =
        |data: &[u8]| inflater.inflate(Kind::Binary, data, MAX).map_err(|violation| violation.code);
    assert!(run(b"\xf2\x48\xcd\xc9\xc9\x07\x00").is_ok());
    // The second "Hello" in RFC 7692, section 7.2.3.2, is a back-reference to the first message.
    assert_eq!(run(b"\xf2\x00\x11\x00\x00"), Err(1007));
    // An error does not affect the next message.
    assert_eq!(run(b"\xf2\x48\xcd\xc9\xc9\x07\x00").as_deref(), Ok(&b"Hello"[..]));
}

#[test]
fn invalid_deflate_data_is_closed_with_1007() {
    for data in [
        &b"\xff"[..],
        b"\x06",                             // A reserved block type.
        b"Hello",                            // Not compressed.
        b"\x00\x05\x00\xfb\xff\x48",         // Contradictory lengths.
        b"\x00\x05\x00\xfa\xff\x48\x65",     // A truncated block.
        b"\xf2\x48\xcd\xc9",                 // A truncated message.
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\xff", // Garbage after a final block.
    ] {
        assert_eq!(inflate(data), Err(1007), "{data:x?}");
    }
}

#[test]
fn bomb_is_stopped_at_limit() {
    // The message expands to a thousand times its length.
    let zeros = vec![0; 8 << 20];
    let mut deflater = Deflater::new();
    let bomb = deflater.deflate(&zeros).unwrap().to_vec();
    assert!(bomb.len() < zeros.len() / 200);
    assert_eq!(inflate_up_to(&bomb, MAX), Err(1009));
    let exact = deflater.deflate(&zeros[..MAX]).unwrap().to_vec();
    let message = inflate(&exact).unwrap();
    assert_eq!(message.len(), MAX, "the limit is inclusive");
    assert!(message.capacity() <= MAX + 1, "no more memory than the limit: {}", message.capacity());
    assert_eq!(inflate_up_to(&exact, MAX - 1), Err(1009));
    assert_eq!(inflate_up_to(b"\xf2\x48\xcd\xc9\xc9\x07\x00", 5).as_deref(), Ok(&b"Hello"[..]));
    assert_eq!(inflate_up_to(b"\xf2\x48\xcd\xc9\xc9\x07\x00", 4), Err(1009));
}

#[test]
fn message_of_empty_blocks_is_closed_with_1007() {
    // Final blocks, each of which restarts the decompressor, and empty blocks between flushes.
    for block in [&b"\x03\x00"[..], b"\x00\x00\x00\xff\xff"] {
        let padded = |bytes: usize, end: &[u8]| [&block.repeat(bytes / block.len()), end].concat();
        assert_eq!(inflate(&padded(1000, b"\x00")), Ok(vec![]), "some are allowed");
        assert_eq!(inflate(&padded(1 << 20, b"\x00")), Err(1007));
        let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
        assert_eq!(inflate(&padded(1 << 20, hello)), Err(1007), "in front of a short message");
    }
    // A compressor that flushes after every byte is inefficient, but not malicious.
    let mut flushed = b"\x4a\x04\x00\x00\x00\xff\xff".repeat(10_000);
    flushed.push(0);
    assert_eq!(inflate(&flushed), Ok(b"a".repeat(10_000)));
}

#[test]
fn text_is_validated_after_inflation() {
    let mut inflater = Inflater::new();
    let mut text = |text: &[u8]| {
        let stored = [&[0, text.len() as u8, 0, !(text.len() as u8), 0xff], text, &[0]].concat();
        inflater.inflate(Kind::Text, &stored, MAX).map_err(|violation| violation.code)
    };
    assert_eq!(text("süß".as_bytes()).as_deref(), Ok("süß".as_bytes()));
    assert_eq!(text(b"\xc3"), Err(1007));
    assert_eq!(text(b"\xff\xfe"), Err(1007));
}

#[test]
fn incompressible_message_is_sent_uncompressed() {
    let mut deflater = Deflater::new();
    for message in [&b""[..], b"a", b"Hello", &noise(1000)] {
        assert_eq!(deflater.deflate(message), None, "{} bytes", message.len());
        let mut frame = Vec::new();
        deflater.message_frame(Kind::Binary, message, &mut frame);
        assert_eq!(frame[0], 0x82, "without RSV1");
        assert!(frame.ends_with(message));
    }
}

/// Returns incompressible bytes (splitmix64).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 7u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 40) as u8
    };
    (0..length).map(|_| next()).collect()
}

proptest! {
    #[test]
    fn messages_round_trip(
        messages in proptest::collection::vec("([a-e]{0,300}|.{0,200})", 1..6),
        repeated in 1..400usize,
    ) {
        let (mut deflater, mut inflater) = (Deflater::new(), Inflater::new());
        for message in &messages {
            let message = message.repeat(repeated);
            if let Some(data) = deflater.deflate(message.as_bytes()) {
                prop_assert!(data.len() < message.len());
                let inflated = inflater.inflate(Kind::Text, data, message.len());
                prop_assert_eq!(inflated.unwrap(), message.as_bytes());
            }
        }
    }

    #[test]
    fn arbitrary_data_is_inflated_or_rejected(
        data in proptest::collection::vec(any::<u8>(), 0..300),
        max in 0..2000usize,
    ) {
        match inflate_up_to(&data, max) {
            Ok(message) => prop_assert!(message.len() <= max),
            Err(code) => prop_assert!(code == 1007 || code == 1009),
        }
    }

    /// A message that is truncated or has a flipped bit is either an error, or another message
    /// within the limit.
    #[test]
    fn damaged_data_stays_within_limit(
        message in "[a-h]{100,500}", cut in any::<prop::sample::Index>(), bit in 0..8u8,
    ) {
        let message = message.repeat(2);
        let data = Deflater::new().deflate(message.as_bytes()).unwrap().to_vec();
        let cut = cut.index(data.len());
        if let Ok(short) = inflate_up_to(&data[..cut], 1000) {
            prop_assert!(short.len() <= 1000);
            prop_assert_ne!(short, message.as_bytes());
        }
        let mut flipped = data.clone();
        flipped[cut] ^= 1 << bit;
        let other = inflate_up_to(&flipped, 1000);
        prop_assert!(other.is_err() || other.is_ok_and(|message| message.len() <= 1000));
    }
}

//! Tests that a decoder's memory follows the received bytes, not the announced length.
//!
//! An idle decoder owns none.

use proptest::prelude::*;
use roomer_proto::websocket::{Decoder, Limits};

use super::streams::{any_stream, chunk_sizes, chunks, large, small};
use super::wire::*;

/// Returns the maximum memory after `bytes` bytes were received, given that buffers grow by
/// doubling.
fn allowance(bytes: usize) -> usize {
    2 * bytes + 64
}

#[test]
fn new_session_holds_no_memory() {
    assert_eq!(Decoder::new().held(), 0);
}

#[test]
fn no_memory_is_held_between_messages() {
    for stream in [small(), large()] {
        let (limits, mut decoder) = (Limits::default(), Decoder::new());
        for (at, byte) in stream.wire.chunks(1).enumerate() {
            feed(&mut decoder, &limits, byte);
            if stream.rests.contains(&(at + 1)) {
                assert_eq!(decoder.held(), 0, "after byte {at}");
            }
        }
    }
}

#[test]
fn unfinished_frame_is_held() {
    let (limits, mut decoder) = (Limits::default(), Decoder::new());
    let wire = frame(FIN | BINARY, &filler(1000));
    feed(&mut decoder, &limits, &wire[..600]);
    assert!((600..=allowance(600)).contains(&decoder.held()));
    feed(&mut decoder, &limits, &wire[600..]);
    assert_eq!(decoder.held(), 0);
}

#[test]
fn announced_frame_holds_received_bytes_only() {
    let limits = Limits::default();
    let announced = header(FIN | BINARY, 16 << 20, KEY);
    for step in [1, 7, 1000, 65_536] {
        let mut decoder = Decoder::new();
        feed(&mut decoder, &limits, &announced);
        assert!(decoder.held() <= allowance(announced.len()));
        let mut came = announced.len();
        for _ in 0..300 {
            feed(&mut decoder, &limits, &vec![0; step]);
            came += step;
            assert!(decoder.held() <= allowance(came), "{came} came");
        }
    }
}

#[test]
fn whole_frame_is_held_once() {
    // Test the largest frame, and one whose chunks never quite fill a buffer after it has
    // doubled.
    for (size, first, step) in [(16 << 20, 0, 65_536), (1_000_003, 1000, 50_001)] {
        let (limits, mut decoder) = (Limits::default(), Decoder::new());
        let wire = frame(FIN | BINARY, &vec![1; size]);
        feed(&mut decoder, &limits, &wire[..first]);
        for chunk in wire[first..wire.len() - 1].chunks(step) {
            feed(&mut decoder, &limits, chunk);
            // Doubling stops at the frame's length.
            assert!(decoder.held() <= wire.len(), "{} for {size}", decoder.held());
        }
        assert_eq!(feed(&mut decoder, &limits, &wire[wire.len() - 1..]).len(), 1);
        assert_eq!(decoder.held(), 0);
    }
}

#[test]
fn unfinished_bytes_are_reported() {
    let mut decoder = Decoder::new();
    let limits = Limits::default();
    let whole = frame(FIN | BINARY, b"whole");
    let begun = frame(BINARY, &filler(100));
    feed(&mut decoder, &limits, &[&whole[..], &begun[..]].concat());
    assert_eq!(decoder.unfinished(), 100);
    let next = frame(FIN | CONTINUE, &filler(50));
    let (front, back) = next.split_at(20);
    feed(&mut decoder, &limits, front);
    assert_eq!(decoder.unfinished(), 120);
    feed(&mut decoder, &limits, back);
    feed(&mut decoder, &limits, &[]);
    assert_eq!(decoder.unfinished(), 0);
    // Once a close frame has arrived, in two chunks, the decoder has finished.
    let close = frame(FIN | CLOSE, b"");
    feed(&mut decoder, &limits, &close[..3]);
    assert_eq!(decoder.unfinished(), 3);
    feed(&mut decoder, &limits, &close[3..]);
    assert!(decoder.is_over());
    assert_eq!(decoder.unfinished(), 0);
}

#[test]
fn fragments_hold_received_bytes_only() {
    for size in [0, 1, 100, 5000] {
        let (limits, mut decoder) = (Limits::default(), Decoder::new());
        let mut came = 0;
        for index in 0..500 {
            let opcode = if index == 0 { BINARY } else { CONTINUE };
            for piece in frame(opcode, &filler(size)).chunks(64) {
                feed(&mut decoder, &limits, piece);
                came += piece.len();
                assert!(decoder.held() <= allowance(came), "{came} came");
            }
        }
        let last = frame(FIN | CONTINUE, b"");
        assert_eq!(feed(&mut decoder, &limits, &last).len(), 1);
        assert_eq!(decoder.held(), 0);
    }
}

/// Tests a driver that drops one feed early, and then stays some messages behind.
#[test]
fn lagging_driver_holds_backlog_only() {
    for backlog in 1..=4 {
        let (limits, mut decoder) = (Limits::default(), Decoder::new());
        let wire = frame(FIN | BINARY, &filler(1000));
        drop(decoder.feed(&limits, &mut wire.repeat(backlog)));
        for _ in 0..1000 {
            let mut chunk = wire.clone();
            let mut feed = decoder.feed(&limits, &mut chunk);
            assert_eq!(draw(&mut feed), Some(binary(&filler(1000))));
            drop(feed);
            assert!(
                decoder.held() <= allowance((backlog + 1) * wire.len()),
                "{backlog} messages behind, {} bytes held",
                decoder.held()
            );
        }
    }
}

#[test]
fn end_of_session_frees_memory() {
    let endings =
        [frame(CLOSE, b""), frame(CLOSE, b"x"), frame(FIN | TEXT, b""), vec![FIN | BINARY, 0]];
    for ending in endings {
        let (limits, mut decoder) = (Limits::default(), Decoder::new());
        feed(&mut decoder, &limits, &frame(BINARY, &filler(5000)));
        assert!(decoder.held() >= 5000);
        // Feed the bytes one by one so that the last frame is also buffered.
        let seen: Vec<Seen> =
            ending.chunks(1).flat_map(|byte| feed(&mut decoder, &limits, byte)).collect();
        assert_eq!(seen.len(), 1, "{ending:?}");
        assert!(decoder.is_over());
        assert_eq!(decoder.held(), 0);
        feed(&mut decoder, &limits, &filler(5000));
        assert_eq!(decoder.held(), 0);
    }
}

proptest! {
    #[test]
    fn memory_never_exceeds_received_bytes(stream in any_stream(), sizes in chunk_sizes()) {
        let (limits, mut decoder) = (Limits::default(), Decoder::new());
        let (mut came, mut rested) = (0, 0);
        for chunk in chunks(&stream.wire, &sizes) {
            feed(&mut decoder, &limits, chunk);
            came += chunk.len();
            rested = stream.rests.iter().copied().rfind(|rest| *rest <= came).unwrap_or(rested);
            // Bytes before the end of the last complete message must not be held any longer.
            prop_assert!(decoder.held() <= allowance(came - rested));
        }
    }
}

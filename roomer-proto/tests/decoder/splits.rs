//! A stream's events must not depend on how it is split into chunks.

use proptest::prelude::*;
use roomer_proto::websocket::{Decoder, Limits};

use super::streams::{any_stream, chunk_sizes, chunks, large, small, steps};
use super::wire::*;

#[test]
fn whole() {
    for stream in [small(), large()] {
        assert_eq!(read(&stream.wire), stream.expected);
    }
}

#[test]
fn byte_by_byte() {
    for stream in [small(), large()] {
        let bytes = stream.wire.chunks(1);
        assert_eq!(read_chunks(&Limits::default(), bytes), stream.expected);
    }
}

#[test]
fn in_two_at_every_position() {
    let stream = small();
    for at in 0..=stream.wire.len() {
        let (first, second) = stream.wire.split_at(at);
        let seen = read_chunks(&Limits::default(), [first, second]);
        assert_eq!(seen, stream.expected, "cut at {at}");
    }
}

/// Tests two splits close together, with a short chunk inside a header or a period of the masking key.
#[test]
fn in_three_with_short_middle_piece() {
    let stream = small();
    for at in 0..=stream.wire.len() {
        for width in 1..=15.min(stream.wire.len() - at) {
            let (first, rest) = stream.wire.split_at(at);
            let (second, third) = rest.split_at(width);
            let seen = read_chunks(&Limits::default(), [first, second, third]);
            assert_eq!(seen, stream.expected, "cut at {at} and {width} on");
        }
    }
}

/// All splits within a long payload are equivalent, so only those near its ends are tested.
#[test]
fn large_frames_in_two_around_every_header() {
    for stream in steps() {
        for at in stream.around_headers() {
            let (first, second) = stream.wire.split_at(at);
            let seen = read_chunks(&Limits::default(), [first, second]);
            assert_eq!(seen, stream.expected, "cut at {at}");
        }
    }
}

#[test]
fn empty_chunks_change_nothing() {
    let stream = small();
    let chunks = stream.wire.chunks(3).flat_map(|chunk| [chunk, &[]]);
    assert_eq!(read_chunks(&Limits::default(), chunks), stream.expected);
}

/// If a driver drops a feed early, the next feed returns the remaining events.
#[test]
fn remainder_of_dropped_feed_is_kept_for_next() {
    let limits = Limits::default();
    for stream in [small(), large()] {
        for (drawn, size) in [(0, 50), (1, 1), (1, 40), (1, usize::MAX), (2, 1000)] {
            let mut decoder = Decoder::new();
            let mut seen = Vec::new();
            for chunk in stream.wire.chunks(size) {
                let mut chunk = chunk.to_vec();
                let mut feed = decoder.feed(&limits, &mut chunk);
                seen.extend((0..drawn).map_while(|_| draw(&mut feed)));
            }
            // Read the remaining events one at a time, without new bytes.
            while let Some(event) = draw(&mut decoder.feed(&limits, &mut [])) {
                seen.push(event);
            }
            assert!(seen == stream.expected, "{drawn} drawn of {size} bytes");
            assert_eq!(decoder.held(), 0);
        }
    }
}

proptest! {
    #[test]
    fn in_random_cuts(stream in any_stream(), sizes in chunk_sizes()) {
        prop_assert_eq!(read(&stream.wire), &stream.expected[..]);
        let cut = read_chunks(&Limits::default(), chunks(&stream.wire, &sizes));
        prop_assert_eq!(cut, stream.expected);
    }

    #[test]
    fn random_streams_in_random_cuts(
        stream in any_stream(), sizes in chunk_sizes(), draws in proptest::collection::vec(0..4usize, 1..9)
    ) {
        let (limits, mut decoder) = (Limits::default(), Decoder::new());
        let mut seen = Vec::new();
        let mut draws = draws.iter().cycle();
        for chunk in chunks(&stream.wire, &sizes) {
            let mut chunk = chunk.to_vec();
            let mut feed = decoder.feed(&limits, &mut chunk);
            let drawn = draws.next().copied().unwrap_or_default();
            seen.extend((0..drawn).map_while(|_| draw(&mut feed)));
        }
        seen.extend(feed(&mut decoder, &limits, &[]));
        prop_assert_eq!(seen, stream.expected);
    }

    /// A damaged stream must produce the same events and the same violation, however it is split.
    #[test]
    fn damaged_streams_in_random_cuts(
        stream in any_stream(), sizes in chunk_sizes(),
        at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut wire = stream.wire;
        if !wire.is_empty() {
            let at = at.index(wire.len());
            wire[at] = byte;
        }
        let cut = read_chunks(&Limits::default(), chunks(&wire, &sizes));
        prop_assert_eq!(cut, read(&wire));
    }

    #[test]
    fn arbitrary_bytes_in_random_cuts(
        wire in proptest::collection::vec(any::<u8>(), 0..300), sizes in chunk_sizes()
    ) {
        let cut = read_chunks(&Limits::default(), chunks(&wire, &sizes));
        prop_assert_eq!(cut, read(&wire));
    }
}

//! Limits on messages, tested at each limit and just above it.

use roomer_proto::websocket::{Decoder, Limits};

use super::wire::*;

const TOO_BIG: Seen = Seen::Rejected(1009, "message is above the limit");
const TOO_MANY: Seen = Seen::Rejected(1009, "message has too many fragments");

/// Encodes a message in fragments of the given lengths.
fn fragmented(payload: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut rest = payload;
    for (index, size) in sizes.iter().enumerate() {
        let (part, behind) = rest.split_at(*size);
        let opcode = if index == 0 { BINARY } else { CONTINUE };
        let fin = if index + 1 == sizes.len() { FIN } else { 0 };
        wire.extend(frame(fin | opcode, part));
        rest = behind;
    }
    assert!(rest.is_empty());
    wire
}

#[test]
fn defaults_match_protocol() {
    let limits = Limits::default();
    assert_eq!(limits.max_message, 16_777_216);
    assert_eq!(limits.max_fragments, 1024);
}

#[test]
fn one_frame_at_limit_and_one_over() {
    for max in [0, 1, 125, 126, 1000, 65_535, 65_536] {
        let limits = limits(max, 1024);
        let exact = frame(FIN | BINARY, &filler(max));
        assert_eq!(read_chunks(&limits, [&exact[..]]), [binary(&filler(max))]);
        let over = frame(FIN | BINARY, &filler(max + 1));
        assert_eq!(read_chunks(&limits, [&over[..]]), [TOO_BIG]);
    }
}

#[test]
fn default_limit_is_inclusive() {
    let payload = filler(16 << 20);
    assert_eq!(read(&frame(FIN | BINARY, &payload)), [binary(&payload)]);
    let halves = [8 << 20; 2];
    assert_eq!(read(&fragmented(&payload, &halves)), [binary(&payload)]);
}

#[test]
fn limit_applies_to_all_fragments_together() {
    let limits = limits(1000, 1024);
    let splits: [&[usize]; 5] =
        [&[1000, 0], &[0, 1000], &[999, 1], &[500, 300, 200], &[0, 0, 1000, 0]];
    for sizes in splits {
        let exact = fragmented(&filler(1000), sizes);
        assert_eq!(read_chunks(&limits, [&exact[..]]), [binary(&filler(1000))], "{sizes:?}");
        for grown in 0..sizes.len() {
            let mut sizes = sizes.to_vec();
            sizes[grown] += 1;
            let over = fragmented(&filler(1001), &sizes);
            assert_eq!(read_chunks(&limits, [&over[..]]), [TOO_BIG], "{sizes:?}");
        }
    }
}

#[test]
fn text_has_same_limit() {
    let limits = limits(10, 1024);
    let exact = frame(FIN | TEXT, b"0123456789");
    assert_eq!(read_chunks(&limits, [&exact[..]]), [message("0123456789")]);
    let over = frame(FIN | TEXT, b"0123456789a");
    assert_eq!(read_chunks(&limits, [&over[..]]), [TOO_BIG]);
}

/// Any frame's header alone suffices to reject a message above the limit.
#[test]
fn limit_is_checked_before_payload_is_received() {
    let limits = limits(1000, 1024);
    let announced = [1001, 65_536, 1 << 40, u64::MAX >> 1];
    for length in announced {
        let alone = header(FIN | BINARY, length, KEY);
        assert_eq!(read_chunks(&limits, [&alone[..]]), [TOO_BIG]);
        let started = [header(BINARY, length, KEY)].concat();
        assert_eq!(read_chunks(&limits, [&started[..]]), [TOO_BIG]);
    }
    for (already, length) in [(1000, 1), (999, 2), (1, 1000), (1000, u64::MAX >> 1)] {
        let wire = [frame(BINARY, &filler(already)), header(FIN | CONTINUE, length, KEY)].concat();
        assert_eq!(read_chunks(&limits, [&wire[..]]), [TOO_BIG]);
        // The length becomes known only with the last byte of the header.
        let mut decoder = Decoder::new();
        let (most, last) = wire.split_at(wire.len() - 1);
        assert_eq!(feed(&mut decoder, &limits, most), []);
        assert_eq!(feed(&mut decoder, &limits, last), [TOO_BIG]);
    }
}

#[test]
fn limit_applies_to_each_message_separately() {
    let limits = limits(100, 3);
    let wire = [
        frame(FIN | BINARY, &filler(100)),
        fragmented(&filler(100), &[50, 25, 25]),
        frame(FIN | BINARY, &filler(100)),
        fragmented(&filler(100), &[0, 0, 100]),
    ]
    .concat();
    assert_eq!(read_chunks(&limits, [&wire[..]]), vec![binary(&filler(100)); 4]);
}

#[test]
fn control_frames_do_not_count() {
    let limits = limits(4, 2);
    let ping = frame(PING, &filler(125));
    let wire =
        [frame(BINARY, b"ab"), ping.clone(), ping.clone(), ping, frame(FIN | CONTINUE, b"cd")]
            .concat();
    let pinged = Seen::Ping(filler(125));
    assert_eq!(
        read_chunks(&limits, [&wire[..]]),
        [pinged.clone(), pinged.clone(), pinged, binary(b"abcd")]
    );
}

#[test]
fn fragments_at_limit_and_one_over() {
    for max in [1, 2, 3, 1024] {
        let limits = limits(1 << 20, max);
        let fragments = max as usize;
        let exact = fragmented(&filler(fragments), &vec![1; fragments]);
        assert_eq!(read_chunks(&limits, [&exact[..]]), [binary(&filler(fragments))]);
        let over = fragmented(&filler(fragments + 1), &vec![1; fragments + 1]);
        assert_eq!(read_chunks(&limits, [&over[..]]), [TOO_MANY]);
    }
}

#[test]
fn large_messages_may_have_more_fragments() {
    for (bytes, each) in [(5 << 20, 4096), (2 << 20, 1024), (1 << 20, 256)] {
        let wire = fragmented(&filler(bytes), &vec![each; bytes / each]);
        let seen = read_chunks(&Limits::default(), [&wire[..]]);
        assert!(seen == [binary(&filler(bytes))], "{bytes} bytes in pieces of {each}");
    }
}

#[test]
fn number_of_fragments_may_grow_with_message() {
    let mut limits = limits(1000, 2);
    limits.mean_fragment = 100;
    // Two fragments are allowed, plus one per 100 bytes received so far.
    for (sizes, is_allowed) in [
        (&[1, 1, 98][..], true),
        (&[1, 1, 97][..], false),
        (&[300, 0, 0, 0, 0][..], true),
        (&[300, 0, 0, 0, 0, 0][..], false),
        (&[0, 0, 0, 300][..], false),
        (&[100, 100, 100, 100, 100, 100][..], true),
    ] {
        let data = filler(sizes.iter().sum());
        let due = if is_allowed { binary(&data) } else { TOO_MANY };
        assert_eq!(read_chunks(&limits, [&fragmented(&data, sizes)[..]]), [due], "{sizes:?}");
    }
}

#[test]
fn too_many_small_fragments_of_large_message_are_rejected() {
    for each in [1, 16, 200] {
        let wire = fragmented(&filler(5000 * each), &vec![each; 5000]);
        let seen = read_chunks(&Limits::default(), [&wire[..]]);
        assert_eq!(seen, [TOO_MANY], "pieces of {each}");
    }
}

#[test]
fn endless_empty_fragments_are_rejected() {
    let wire = [frame(TEXT, b""), frame(CONTINUE, b"").repeat(5000)].concat();
    assert_eq!(read(&wire), [TOO_MANY]);
}

/// Limits are an argument of each feed, so a driver can tighten them on an open connection.
#[test]
fn limits_of_current_feed_apply() {
    let mut decoder = Decoder::new();
    let start = frame(BINARY, &filler(50));
    assert_eq!(feed(&mut decoder, &limits(100, 1024), &start), []);
    let end = frame(FIN | CONTINUE, b"x");
    assert_eq!(feed(&mut decoder, &limits(20, 1024), &end), [TOO_BIG]);
}

//! Violations of the WebSocket protocol, each with its close code.

use roomer_proto::websocket::{Decoder, Limits};

use super::wire::*;

/// Checks that the stream causes this violation after the events in `before`, and that later
/// bytes are ignored, in the same chunk and in later ones.
fn rejected_after(before: &[Seen], wire: &[u8], code: u16, reason: &'static str) {
    let mut expected = before.to_vec();
    expected.push(Seen::Rejected(code, reason));
    let behind = frame(FIN | BINARY, b"behind");
    let (limits, mut decoder) = (Limits::default(), Decoder::new());

    let seen = feed(&mut decoder, &limits, &[wire, &behind].concat());
    assert_eq!(seen, expected, "{}", wire.escape_ascii());
    assert!(decoder.is_over());
    assert_eq!(feed(&mut decoder, &limits, &behind), []);
    assert_eq!(decoder.held(), 0);
}

fn rejected(wire: &[u8], code: u16, reason: &'static str) {
    rejected_after(&[], wire, code, reason);
}

#[test]
fn unmasked_frames() {
    for first in [FIN | TEXT, FIN | BINARY, BINARY, CLOSE, PING, PONG] {
        rejected(&[first, 0], 1002, "frame is not masked");
        rejected(&[first, 2, b'h', b'i'], 1002, "frame is not masked");
    }
}

#[test]
fn each_reserved_bit() {
    for bit in [0x40, 0x20, 0x10] {
        for first in [FIN | TEXT, FIN | BINARY, BINARY, CLOSE, PING, PONG] {
            rejected(&frame(bit | first, b""), 1002, "reserved bits are set");
        }
        let wire = [frame(BINARY, b"a"), frame(bit | FIN | CONTINUE, b"b")].concat();
        rejected(&wire, 1002, "reserved bits are set");
    }
}

#[test]
fn each_unknown_opcode() {
    for opcode in (3..=7).chain(11..=15) {
        for first in [opcode, FIN | opcode] {
            rejected(&frame(first, b""), 1002, "unknown opcode");
            rejected(&frame(first, b"data"), 1002, "unknown opcode");
        }
    }
}

#[test]
fn control_frames_above_125_bytes() {
    for first in [CLOSE, PING, PONG] {
        for length in [126, 127, 65_535, 65_536, u64::MAX >> 1] {
            let header = header(first, length, KEY);
            rejected(&header, 1002, "control frame is above 125 bytes");
        }
    }
}

/// As in the Go original, a control frame must encode its length in one byte.
#[test]
fn control_frames_with_non_minimal_length() {
    for first in [CLOSE, PING, PONG] {
        let medium = [&[first, 0xfe, 0, 2], &KEY[..]].concat();
        let long = [&[first, 0xff, 0, 0, 0, 0, 0, 0, 0, 2], &KEY[..]].concat();
        rejected(&medium, 1002, "control frame is above 125 bytes");
        rejected(&long, 1002, "control frame is above 125 bytes");
    }
}

#[test]
fn fragmented_control_frames() {
    for first in [CLOSE, PING, PONG] {
        let wire = frame(first & !FIN, b"");
        rejected(&wire, 1002, "control frame is fragmented");
    }
}

#[test]
fn continuation_without_start() {
    for first in [CONTINUE, FIN | CONTINUE] {
        rejected(&frame(first, b"x"), 1002, "continuation without a start");
        let after_message = [frame(FIN | BINARY, b"m"), frame(first, b"x")].concat();
        rejected_after(&[binary(b"m")], &after_message, 1002, "continuation without a start");
        let after_fragments =
            [frame(BINARY, b"m"), frame(FIN | CONTINUE, b"n"), frame(first, b"x")].concat();
        rejected_after(&[binary(b"mn")], &after_fragments, 1002, "continuation without a start");
    }
}

#[test]
fn new_message_inside_fragmented_one() {
    for first in [TEXT, BINARY, FIN | TEXT, FIN | BINARY] {
        for start in [TEXT, BINARY] {
            let wire = [frame(start, b"a"), frame(PING, b"p"), frame(first, b"b")].concat();
            rejected_after(
                &[Seen::Ping(b"p".to_vec())],
                &wire,
                1002,
                "new message inside a fragmented one",
            );
        }
    }
}

#[test]
fn length_with_its_top_bit_set() {
    for length in [1 << 63, u64::MAX, (1 << 63) + 5] {
        let header = header(FIN | BINARY, length, KEY);
        rejected(&header, 1002, "frame length has its top bit set");
    }
}

#[test]
fn text_that_is_not_utf8() {
    // These are a lone continuation byte, an overlong form, a surrogate, a value above the
    // last code point, a truncated character, and Latin-1.
    let broken: [&[u8]; 7] = [
        b"a\x80",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf0\x9f\x8f",
        b"caf\xe9",
        b"\xff",
    ];
    for text in broken {
        rejected(&frame(FIN | TEXT, text), 1007, "text is not UTF-8");
        let fragments = [frame(TEXT, text), frame(FIN | CONTINUE, b"")].concat();
        rejected(&fragments, 1007, "text is not UTF-8");
        let binary_frame = frame(FIN | BINARY, text);
        assert_eq!(read(&binary_frame), [binary(text)], "binary may be anything");
    }
}

#[test]
fn invalid_fragmented_text_is_rejected_at_its_fragment() {
    // Send two bytes of a character, then one that cannot follow. The last fragment is never
    // sent.
    let wire = [frame(TEXT, b"ok \xe2\x82"), frame(CONTINUE, b"(")].concat();
    rejected(&wire, 1007, "text is not UTF-8");
    rejected(&frame(TEXT, b"\xf4\x90"), 1007, "text is not UTF-8");
}

#[test]
fn characters_may_be_split_over_fragments() {
    let text = "é€🏠 z\u{10ffff}";
    for first_cut in 0..=text.len() {
        for second_cut in first_cut..=text.len() {
            let bytes = text.as_bytes();
            let wire = [
                frame(TEXT, &bytes[..first_cut]),
                frame(CONTINUE, &bytes[first_cut..second_cut]),
                frame(FIN | CONTINUE, &bytes[second_cut..]),
            ]
            .concat();
            assert_eq!(read(&wire), [message(text)], "{first_cut} {second_cut}");
        }
    }
    let bytewise: Vec<u8> = text.bytes().flat_map(|byte| frame(CONTINUE, &[byte])).collect();
    let wire = [frame(TEXT, b""), bytewise, frame(FIN | CONTINUE, b"")].concat();
    assert_eq!(read(&wire), [message(text)]);
}

/// A frame is checked when its header arrives, before its payload.
#[test]
fn header_alone_is_rejected() {
    let headers = [
        header(0x40 | FIN | BINARY, 1000, KEY),
        header(FIN | 3, 1000, KEY),
        header(PING, 126, KEY),
        header(9, 100, KEY),
        header(CONTINUE, 1000, KEY),
        header(FIN | BINARY, 1 << 63, KEY),
        header(FIN | BINARY, (16 << 20) + 1, KEY),
        vec![FIN | BINARY, 100],
    ];
    for header in headers {
        let chunks: Vec<&[u8]> = header.chunks(1).collect();
        for seen in [read(&header), read_chunks(&Limits::default(), chunks)] {
            assert!(matches!(seen[..], [Seen::Rejected(1002 | 1009, _)]), "{header:x?}: {seen:?}");
        }
    }
}

/// A client rejects control frames above 125 bytes from its server, which are not masked.
#[test]
fn control_frames_of_server_above_125_bytes() {
    for first in [CLOSE, PING, PONG] {
        for length in [[126, 0, 126], [126, 0, 2], [126, 255, 255]] {
            let mut wire = [&[first][..], &length[..]].concat();
            let (limits, mut decoder) = (Limits::default(), Decoder::client());
            let violation = decoder.feed(&limits, &mut wire).next().unwrap().unwrap_err();
            assert_eq!(violation.reason, "control frame is above 125 bytes");
        }
    }
}

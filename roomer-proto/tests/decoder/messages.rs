//! Messages from conforming clients.

use roomer_proto::websocket::{Decoder, Event, Limits};

use super::wire::*;

/// The examples in RFC 6455 section 5.7 that a client may send.
#[test]
fn rfc_examples() {
    let hello = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(read(hello), [message("Hello")]);
    let pong = b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(read(pong), [Seen::Pong(b"Hello".to_vec())]);
}

/// The remaining examples of that section are server frames. A server rejects each of them as
/// unmasked.
#[test]
fn unmasked_rfc_examples_are_rejected() {
    let examples: [&[u8]; 6] = [
        b"\x81\x05Hello",
        b"\x01\x03Hel",
        b"\x80\x02lo",
        b"\x89\x05Hello",
        b"\x82\x7e\x01\x00",
        b"\x82\x7f\0\0\0\0\0\x01\0\0",
    ];
    for example in examples {
        assert_eq!(read(example), [Seen::Rejected(1002, "frame is not masked")], "{example:?}");
    }
}

/// The server examples of that section, masked: fragments, and both extended forms of the length.
#[test]
fn masked_rfc_examples() {
    let fragments = [frame(TEXT, b"Hel"), frame(FIN | CONTINUE, b"lo")].concat();
    assert_eq!(read(&fragments), [message("Hello")]);
    assert_eq!(read(&frame(PING, b"Hello")), [Seen::Ping(b"Hello".to_vec())]);
    let heads: [(&[u8], usize); 2] =
        [(b"\x82\xfe\x01\x00", 256), (b"\x82\xff\0\0\0\0\0\x01\0\0", 65_536)];
    for (head, length) in heads {
        let wire = frame(FIN | BINARY, &filler(length));
        assert_eq!(wire[..head.len()], *head);
        assert_eq!(read(&wire), [binary(&filler(length))]);
    }
}

#[test]
fn lengths_around_encoding_boundaries() {
    for length in (0..=300).chain(65_530..=65_540) {
        let payload = filler(length);
        assert_eq!(read(&frame(FIN | BINARY, &payload)), [binary(&payload)], "{length} bytes");
    }
}

/// RFC 6455 requires senders to use the shortest form, but like the Go original, this crate accepts any.
#[test]
fn non_minimal_length_is_accepted() {
    let mut medium = vec![FIN | BINARY, 0x80 | 126, 0, 2];
    let mut long = vec![FIN | BINARY, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 2];
    for wire in [&mut medium, &mut long] {
        wire.extend([0, 0, 0, 0, b'h', b'i']);
        assert_eq!(read(wire), [binary(b"hi")]);
    }
}

#[test]
fn fragments_are_reassembled_with_control_frames_between_them() {
    let wire = [
        frame(BINARY, b"ab"),
        frame(PING, b"p"),
        frame(CONTINUE, b""),
        frame(PONG, b""),
        frame(CONTINUE, b"c"),
        frame(FIN | CONTINUE, b""),
        frame(FIN | BINARY, b"next"),
    ]
    .concat();
    let expected =
        [Seen::Ping(b"p".to_vec()), Seen::Pong(b"".to_vec()), binary(b"abc"), binary(b"next")];
    assert_eq!(read(&wire), expected);
}

#[test]
fn empty_messages_are_messages() {
    let wire = [
        frame(FIN | BINARY, b""),
        frame(FIN | TEXT, b""),
        frame(TEXT, b""),
        frame(FIN | CONTINUE, b""),
    ]
    .concat();
    assert_eq!(read(&wire), [binary(b""), message(""), message("")]);
}

#[test]
fn largest_control_frames_are_accepted() {
    let payload = filler(125);
    assert_eq!(
        read(&[frame(PING, &payload), frame(PONG, &payload)].concat()),
        [Seen::Ping(payload.clone()), Seen::Pong(payload)]
    );
}

#[test]
fn every_mask_is_applied() {
    for key in [[0; 4], [0xff; 4], [1, 2, 3, 4], [0, 0, 0, 0x80]] {
        let payload = filler(1001);
        let wire = keyed(FIN | BINARY, &payload, key);
        assert_eq!(read(&wire), [binary(&payload)], "{key:?}");
    }
}

#[test]
fn message_within_chunk_is_borrowed() {
    let mut chunk = [frame(FIN | BINARY, b"one"), frame(FIN | TEXT, b"two")].concat();
    let within = chunk.as_ptr_range();
    let (limits, mut decoder) = (Limits::default(), Decoder::new());
    let mut feed = decoder.feed(&limits, &mut chunk);
    for expected in [b"one", b"two"] {
        let Some(Ok(Event::Message { data, .. })) = feed.next() else {
            panic!("a message is there");
        };
        assert_eq!(data, expected);
        assert!(within.contains(&data.as_ptr()), "the payload was copied");
    }
    assert!(feed.next().is_none());
}

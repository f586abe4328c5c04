//! Server frame encoding, checked by a decoder that shares no code with the encoders.

use proptest::prelude::*;
use roomer_proto::websocket::{
    CONTROL_MAX, Kind, close_frame, message_frame, packet_frame, packet_frame_head, ping_frame,
    pong_frame,
};
use roomer_proto::{Field, PacketRef};

use super::wire::filler;

/// Decodes a server frame according to RFC 6455 section 5.2. It must be final, unmasked, and use
/// the shortest form of its length. Returns the opcode, the payload and the bytes that follow.
fn read_frame(wire: &[u8]) -> (u8, &[u8], &[u8]) {
    let (first, second) = (wire[0], wire[1]);
    assert_eq!(first & 0xf0, 0x80, "final, without reserved bits");
    assert_eq!(second & 0x80, 0, "unmasked");
    let (size, length) = match second {
        126 => (4, u64::from(u16::from_be_bytes([wire[2], wire[3]]))),
        127 => (10, u64::from_be_bytes(wire[2..10].try_into().unwrap())),
        length => (2, u64::from(length)),
    };
    let shortest = match length {
        0..=125 => 2,
        126..=65_535 => 4,
        _ => 10,
    };
    assert_eq!(size, shortest, "header of {length} bytes of payload");
    let (payload, rest) = wire[size..].split_at(length as usize);
    (first & 0x0f, payload, rest)
}

/// Runs an encoder on a buffer with existing content, which must not change.
fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = b"before".to_vec();
    encode(&mut out);
    assert_eq!(&out[..6], b"before");
    out.split_off(6)
}

#[test]
fn rfc_examples() {
    let text = encoded(|out| message_frame(Kind::Text, b"Hello", out));
    assert_eq!(text, b"\x81\x05Hello");
    let pong = encoded(|out| pong_frame(b"Hello", out));
    assert_eq!(pong, b"\x8a\x05Hello");
    let medium = encoded(|out| message_frame(Kind::Binary, &filler(256), out));
    assert_eq!(&medium[..4], b"\x82\x7e\x01\x00");
    let long = encoded(|out| message_frame(Kind::Binary, &filler(65_536), out));
    assert_eq!(&long[..10], b"\x82\x7f\0\0\0\0\0\x01\0\0");
}

#[test]
fn messages_of_each_length_encoding() {
    for length in [0, 1, 124, 125, 126, 127, 65_534, 65_535, 65_536, 65_537, 1 << 20] {
        let data = filler(length);
        for (kind, opcode) in [(Kind::Text, 1), (Kind::Binary, 2)] {
            let wire = encoded(|out| message_frame(kind, &data, out));
            assert!(read_frame(&wire) == (opcode, &data, &[]), "{length} bytes");
        }
    }
}

#[test]
fn packets_of_each_length_encoding() {
    for length in [20, 21, 125, 126, 127, 65_535, 65_536, 65_537] {
        let payload = filler(length - 20);
        let packet = PacketRef { payload: &payload, ..PacketRef::default() };
        let wire = encoded(|out| packet_frame(&packet, out).unwrap());
        assert!(read_frame(&wire) == (2, &packet.to_bytes(), &[]), "{length} bytes");
    }
}

#[test]
fn head_and_payload_form_packet() {
    let payload = filler(70_000);
    for (own, length) in [(0, 0), (0, 3), (9, 3), (3, 70_000), (0, 60), (0, 65_515)] {
        let whole = PacketRef {
            room: "r",
            event: "ev",
            payload: &payload[..length],
            ..PacketRef::default()
        };
        let head = PacketRef { payload: &payload[..own], ..whole };
        let mut parts = encoded(|out| packet_frame_head(&head, length, 0, out).unwrap());
        parts.extend_from_slice(whole.payload);
        assert!(parts == encoded(|out| packet_frame(&whole, out).unwrap()), "{own}, {length}");
    }
}

#[test]
fn ping_is_empty() {
    assert_eq!(read_frame(&encoded(ping_frame)), (9, &[][..], &[][..]));
}

#[test]
fn pong_has_payload_of_ping() {
    for length in [0, 1, 124, CONTROL_MAX] {
        let data = filler(length);
        let wire = encoded(|out| pong_frame(&data, out));
        assert_eq!(read_frame(&wire), (10, &data[..], &[][..]));
    }
    // A longer payload would make the frame invalid.
    let wire = encoded(|out| pong_frame(&filler(CONTROL_MAX + 1), out));
    assert_eq!(read_frame(&wire), (10, &filler(CONTROL_MAX)[..], &[][..]));
}

#[test]
fn close_frames() {
    let empty = encoded(|out| close_frame(None, "a reason needs a code", out));
    assert_eq!(read_frame(&empty), (8, &[][..], &[][..]));
    let bare = encoded(|out| close_frame(Some(1000), "", out));
    assert_eq!(read_frame(&bare), (8, &b"\x03\xe8"[..], &[][..]));
    let full = encoded(|out| close_frame(Some(1009), "too big", out));
    assert_eq!(read_frame(&full), (8, &b"\x03\xf1too big"[..], &[][..]));
}

#[test]
fn long_reason_is_truncated_at_character_boundary() {
    for (reason, kept) in [
        ("r".repeat(123), 123),
        ("r".repeat(124), 123),
        ("é".repeat(70), 122),
        (format!("r{}", "é".repeat(70)), 123),
        ("🏠".repeat(40), 120),
    ] {
        let wire = encoded(|out| close_frame(Some(1008), &reason, out));
        let (opcode, body, rest) = read_frame(&wire);
        assert_eq!((opcode, rest.len()), (8, 0));
        assert_eq!(body, [b"\x03\xf0", &reason.as_bytes()[..kept]].concat());
    }
}

/// The zeros are never read, so they use address space but no memory.
#[cfg(target_pointer_width = "64")]
#[test]
fn failed_encoding_leaves_no_header() {
    let huge = vec![0; 1 << 32];
    let packet = PacketRef { payload: &huge, ..PacketRef::default() };
    let wire = encoded(|out| {
        let error = packet_frame(&packet, out).unwrap_err();
        assert_eq!((error.field, error.len), (Field::Payload, 1 << 32));
    });
    assert_eq!(wire, b"");
}

proptest! {
    #[test]
    fn batch_round_trips_frame_by_frame(
        lengths in proptest::collection::vec(prop_oneof![0..300usize, 65_530..65_540usize], 0..8)
    ) {
        let mut wire = Vec::new();
        for length in &lengths {
            message_frame(Kind::Binary, &filler(*length), &mut wire);
            ping_frame(&mut wire);
        }
        let mut rest = &wire[..];
        for length in lengths {
            let (opcode, payload, behind) = read_frame(rest);
            prop_assert_eq!(opcode, 2);
            prop_assert!(payload == filler(length));
            let (opcode, payload, behind) = read_frame(behind);
            prop_assert_eq!((opcode, payload.len()), (9, 0));
            rest = behind;
        }
        prop_assert!(rest.is_empty());
    }
}

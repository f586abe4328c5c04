//! Property tests for the packet codec, with arbitrary packets and bytes.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use roomer_proto::{DecodeError, Field, MIN_PACKET, Packet, PacketRef, is_built_in, is_reserved};

const FIELDS: [Field; 5] = [Field::Room, Field::Event, Field::Dst, Field::Src, Field::Payload];

/// Generates short and long names, with and without non-ASCII characters.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z_]{1,12}", any::<String>(), "\\PC{0,300}"]
}

fn packet() -> impl Strategy<Value = Packet> {
    (name(), name(), name(), name(), vec(any::<u8>(), 0..600)).prop_map(
        |(room, event, dst, src, payload)| Packet {
            room: room.into(),
            event: event.into(),
            dst: dst.into(),
            src: src.into(),
            payload: payload.into(),
        },
    )
}

fn fields<'a>(packet: &PacketRef<'a>) -> [&'a [u8]; 5] {
    [
        packet.room.as_bytes(),
        packet.event.as_bytes(),
        packet.dst.as_bytes(),
        packet.src.as_bytes(),
        packet.payload,
    ]
}

/// A second, independent encoder.
fn layout(packet: &PacketRef<'_>) -> Vec<u8> {
    fields(packet)
        .iter()
        .flat_map(|bytes| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat())
        .collect()
}

/// Returns the expected error for a packet truncated to `cut` bytes.
fn error_of_cut(packet: &PacketRef<'_>, cut: usize) -> DecodeError {
    let mut at = 0;
    for (field, bytes) in FIELDS.into_iter().zip(fields(packet)) {
        if cut < at + 4 {
            let left = cut - at;
            return DecodeError::NoLength { field, left };
        }
        at += 4;
        if cut < at + bytes.len() {
            return DecodeError::PastEnd { field, claimed: bytes.len() as u32, left: cut - at };
        }
        at += bytes.len();
    }
    panic!("nothing is cut");
}

/// Checks that nothing was copied: every field must be within `message`, in wire order, directly
/// after its length. Decoding therefore allocates nothing, whatever lengths are announced.
fn assert_borrowed(packet: &PacketRef<'_>, message: &[u8]) {
    let mut at = message.as_ptr() as usize;
    for bytes in fields(packet) {
        assert_eq!(bytes.as_ptr() as usize, at + 4);
        at += 4 + bytes.len();
    }
    assert_eq!(at, message.as_ptr_range().end as usize);
}

proptest! {
    #[test]
    fn both_types_round_trip(packet in packet()) {
        let borrowed = packet.borrowed();
        let bytes = borrowed.to_bytes();
        prop_assert_eq!(&bytes, &layout(&borrowed));
        prop_assert_eq!(bytes.len(), borrowed.encoded_len());
        prop_assert_eq!(PacketRef::decode(&bytes), Ok(borrowed));
        prop_assert_eq!(Packet::decode(bytes), Ok(packet.clone()));
    }

    #[test]
    fn encode_appends_to_buffer(packet in packet(), before in vec(any::<u8>(), 0..40)) {
        let mut out = before.clone();
        packet.borrowed().encode(&mut out).unwrap();
        prop_assert_eq!(&out[..before.len()], &before);
        prop_assert_eq!(&out[before.len()..], &packet.borrowed().to_bytes());
    }

    #[test]
    fn packet_truncated_at_any_byte_is_rejected_by_field(packet in packet()) {
        let bytes = packet.borrowed().to_bytes();
        for cut in 0..bytes.len() {
            let expected = error_of_cut(&packet.borrowed(), cut);
            prop_assert_eq!(PacketRef::decode(&bytes[..cut]), Err(expected));
            prop_assert_eq!(Packet::decode(bytes.slice(..cut)), Err(expected));
        }
    }

    #[test]
    fn trailing_bytes_are_rejected(packet in packet(), more in vec(any::<u8>(), 1..40)) {
        let mut bytes = packet.borrowed().to_bytes().to_vec();
        let whole = bytes.len();
        bytes.extend(more);
        for end in whole + 1..=bytes.len() {
            let expected = DecodeError::TrailingBytes { extra: end - whole };
            prop_assert_eq!(PacketRef::decode(&bytes[..end]), Err(expected));
        }
    }

    #[test]
    fn decoding_borrows_from_input(packet in packet()) {
        let bytes = packet.borrowed().to_bytes();
        assert_borrowed(&PacketRef::decode(&bytes).unwrap(), &bytes);
    }

    #[test]
    fn owned_packet_shares_message_buffer(packet in packet()) {
        let bytes = packet.borrowed().to_bytes();
        let within = bytes.as_ptr_range();
        let owned = Packet::decode(bytes.clone()).unwrap();
        for field in fields(&owned.borrowed()) {
            // An empty `Bytes` need not point into the message.
            prop_assert!(field.is_empty() || within.contains(&field.as_ptr()));
        }
    }

    #[test]
    fn arbitrary_bytes_decode_deterministically(bytes in vec(any::<u8>(), 0..400)) {
        check_reading(&bytes);
    }

    // Random bytes rarely start with a valid length. With small values, decoding often reaches the
    // later fields.
    #[test]
    fn near_valid_packets_decode_deterministically(
        bytes in vec(prop_oneof![8 => Just(0u8), 4 => 1..6u8, 1 => any::<u8>()], 0..60)
    ) {
        check_reading(&bytes);
    }

    #[test]
    fn damaged_packet_decodes_deterministically(
        packet in packet(), at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let mut bytes = packet.borrowed().to_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        check_reading(&bytes);
    }
}

/// Checks that `PacketRef` and `Packet` agree, and that a decoded packet encodes to the same bytes.
fn check_reading(bytes: &[u8]) {
    let borrowed = PacketRef::decode(bytes);
    let owned = Packet::decode(Bytes::copy_from_slice(bytes));
    assert_eq!(owned.as_ref().map(Packet::borrowed), borrowed.as_ref().copied());
    if let Ok(packet) = borrowed {
        assert!(bytes.len() >= MIN_PACKET);
        assert_eq!(packet.to_bytes(), bytes);
    }
}

/// An announced length is only compared; nothing is allocated for it. The error contains the length
/// unchanged. Arithmetic that overflows would panic in debug builds.
#[test]
fn lengths_beyond_input_are_rejected_in_every_field() {
    let claims = [0xFFFF_FFFF, 0xFFFF_FFFC, 0x8000_0000, 0x7FFF_FFFF, 1 << 24, 6];
    for (index, field) in FIELDS.into_iter().enumerate() {
        for claimed in claims {
            let mut bytes = vec![0; 4 * index];
            bytes.extend(u32::to_be_bytes(claimed));
            bytes.extend(b"fives");
            let expected = DecodeError::PastEnd { field, claimed, left: 5 };
            assert_eq!(PacketRef::decode(&bytes), Err(expected));
            assert_eq!(Packet::decode(bytes.into()), Err(expected));
        }
    }
}

#[test]
fn first_error_in_wire_order_is_reported() {
    // The room is not UTF-8, and the event is too long.
    let bytes = b"\0\0\0\x01\xff\0\0\0\x09e";
    let expected = DecodeError::NotUtf8 { field: Field::Room };
    assert_eq!(PacketRef::decode(bytes), Err(expected));
}

#[test]
fn names_must_be_utf8_but_payload_need_not() {
    for (index, field) in FIELDS.into_iter().enumerate() {
        let mut bytes = vec![0; 4 * index];
        bytes.extend(b"\0\0\0\x02\xc3\x28");
        bytes.resize(MIN_PACKET + 2, 0);
        match field {
            Field::Payload => assert_eq!(PacketRef::decode(&bytes).unwrap().payload, b"\xc3\x28"),
            _ => assert_eq!(PacketRef::decode(&bytes), Err(DecodeError::NotUtf8 { field })),
        }
    }
}

#[test]
fn names_are_compared_bytewise() {
    let rooms = ["lobby", "Lobby", "lobby\0", " lobby", "\u{e9}", "e\u{301}", "\u{feff}lobby"];
    for (index, room) in rooms.into_iter().enumerate() {
        let bytes = PacketRef { room, ..PacketRef::default() }.to_bytes();
        let read = Packet::decode(bytes).unwrap();
        for (other, name) in rooms.into_iter().enumerate() {
            assert_eq!(read.room == name, other == index, "{room:?} and {name:?}");
        }
    }
}

#[test]
fn errors_name_fault_and_field() {
    let cut = PacketRef::decode(b"\0\0\0\0\0\0").unwrap_err();
    assert_eq!(cut.to_string(), "message ends inside the length of event: 2 of 4 bytes");
    assert_eq!(cut.close_code(), 1002);
    let past = PacketRef::decode(b"\0\0\0\x05lob").unwrap_err();
    assert_eq!(past.to_string(), "room claims 5 bytes, but only 3 are left");
    let extra = PacketRef::decode(&[0; 22]).unwrap_err();
    assert_eq!(extra.to_string(), "2 bytes after the payload");
}

/// The zeros are never read, so they use address space but no memory.
#[cfg(target_pointer_width = "64")]
#[test]
fn field_of_4_gib_is_rejected_without_output() {
    let huge = vec![0; 1 << 32];
    let packet = PacketRef { payload: &huge, ..PacketRef::default() };
    let mut out = b"before".to_vec();
    let error = packet.encode(&mut out).unwrap_err();
    assert_eq!((error.field, error.len), (Field::Payload, 1 << 32));
    assert_eq!(
        error.to_string(),
        "payload has 4294967296 bytes, but a field's length must fit into 32 bits"
    );
    assert_eq!(out, b"before");
}

#[test]
fn eight_events_are_reserved_and_six_are_server_only() {
    let six = ["join_ack", "leave_ack", "new_member", "member_left", "open", "close"];
    assert!(six.iter().all(|event| is_reserved(event) && is_built_in(event)));
    assert!(["join", "leave"].iter().all(|event| is_built_in(event) && !is_reserved(event)));
    let others = ["", "chat", "Join", "joi", "joined", "join_ac", "leave ", "ping", "error"];
    assert!(others.iter().all(|event| !is_built_in(event) && !is_reserved(event)));
}

#[test]
fn utf8_payload_is_text() {
    let cases: [(&[u8], Result<&str, usize>); 3] =
        [(b"", Ok("")), ("h\u{e4}llo".as_bytes(), Ok("h\u{e4}llo")), (b"ab\xff", Err(2))];
    for (payload, expected) in cases {
        let packet = PacketRef { payload, ..PacketRef::default() };
        assert_eq!(packet.text().map_err(|error| error.valid_up_to()), expected);
        let packet = Packet::decode(packet.to_bytes()).unwrap();
        assert_eq!(packet.text().map_err(|error| error.valid_up_to()), expected);
    }
}

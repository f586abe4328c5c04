//! The golden vectors: packets encoded by the Go original, in `vectors.json`.

use bytes::Bytes;
use roomer_proto::{DecodeError, Field, Packet, PacketRef};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Returns a section of the vectors. `count` is the expected number of entries, to detect missing
/// ones.
fn section(name: &str, count: usize) -> Vec<Value> {
    let vectors: Value = serde_json::from_str(include_str!("vectors.json")).unwrap();
    let entries = vectors[name].as_array().unwrap().clone();
    assert_eq!(entries.len(), count, "entries of section {name}");
    entries
}

fn text<'a>(entry: &'a Value, key: &str) -> &'a str {
    entry[key].as_str().unwrap()
}

fn hex(entry: &Value, key: &str) -> Vec<u8> {
    let digits = text(entry, key);
    assert!(digits.len().is_multiple_of(2), "odd hex in {key}");
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

fn field(word: &str) -> Option<Field> {
    match word {
        "room" => Some(Field::Room),
        "event" => Some(Field::Event),
        "dst" => Some(Field::Dst),
        "src" => Some(Field::Src),
        "payload" => Some(Field::Payload),
        _ => None,
    }
}

/// Checks that `PacketRef` and `Packet` decode `frame` into `packet`, and encode it to exactly
/// `frame`.
fn assert_both_ways(name: &str, packet: PacketRef<'_>, frame: &[u8]) {
    // Do not use `assert_eq`, because it would print 16 MiB.
    assert!(packet.to_bytes() == frame, "{name}: PacketRef encodes");
    assert_eq!(packet.encoded_len(), frame.len(), "{name}");
    let decoded = PacketRef::decode(frame);
    assert!(decoded == Ok(packet), "{name}: PacketRef decodes");
    let owned = Packet::decode(Bytes::copy_from_slice(frame)).unwrap();
    assert!(owned.borrowed() == packet, "{name}: Packet decodes");
    let again = owned.borrowed().to_bytes();
    assert!(again == frame, "{name}: Packet encodes");
}

#[test]
fn valid_packets_decode_and_encode_exactly() {
    for entry in section("valid", 46) {
        let payload = hex(&entry, "payload_hex");
        let packet = PacketRef {
            room: text(&entry, "room"),
            event: text(&entry, "event"),
            dst: text(&entry, "dst"),
            src: text(&entry, "src"),
            payload: &payload,
        };
        assert_both_ways(text(&entry, "name"), packet, &hex(&entry, "frame_hex"));
    }
}

#[test]
fn large_packets_match_by_length_and_digest() {
    for entry in section("rules", 7) {
        let field = |key: &str| {
            let count = entry[key]["count"].as_u64().unwrap();
            hex(&entry[key], "repeat_hex").repeat(count as usize)
        };
        let name = |key: &str| String::from_utf8(field(key)).unwrap();
        let (room, event, dst, src) = (name("room"), name("event"), name("dst"), name("src"));
        let payload = field("payload");
        let packet =
            PacketRef { room: &room, event: &event, dst: &dst, src: &src, payload: &payload };
        let name = text(&entry, "name");
        let frame = packet.to_bytes();
        assert_eq!(frame.len() as u64, entry["frame_len"].as_u64().unwrap(), "{name}");
        let digest: String =
            Sha256::digest(&frame).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, text(&entry, "frame_sha256"), "{name}");
        assert_both_ways(name, packet, &frame);
    }
}

#[test]
fn non_utf8_names_are_rejected_by_field() {
    for entry in section("non_utf8", 6) {
        let name = text(&entry, "name");
        let guilty = name.split(':').next().and_then(field).unwrap();
        let expected = DecodeError::NotUtf8 { field: guilty };
        let frame = hex(&entry, "frame_hex");
        assert_eq!(PacketRef::decode(&frame), Err(expected), "{name}");
        assert_eq!(Packet::decode(frame.into()), Err(expected), "{name}");
        assert_eq!(expected.close_code(), 1007);
    }
}

#[test]
fn src_is_rewritten_like_original() {
    for entry in section("rewrite", 6) {
        let name = text(&entry, "name");
        let came = hex(&entry, "in_hex");
        let forwarded =
            PacketRef { src: text(&entry, "conn_id"), ..PacketRef::decode(&came).unwrap() };
        assert_both_ways(name, forwarded, &hex(&entry, "out_hex"));
    }
}

#[test]
fn invalid_packets_are_rejected_with_expected_error() {
    let mut named = 0;
    for entry in section("invalid", 53) {
        let (name, why) = (text(&entry, "name"), text(&entry, "why"));
        let frame = hex(&entry, "frame_hex");
        let error = PacketRef::decode(&frame).expect_err(name);
        assert_eq!(Packet::decode(frame.into()), Err(error), "{name}");
        assert_eq!(error.close_code(), 1002, "{name}");

        // The vectors have names like "cut inside the length of dst" or "dst length 0xffffffff".
        let mut words = name.split(' ');
        let guilty = words.next().and_then(field).or(words.next_back().and_then(field));
        match why {
            "field length incomplete" => {
                assert!(
                    matches!(error, DecodeError::NoLength { field, .. } if Some(field) == guilty),
                    "{name}: {error}"
                );
                named += 1;
            }
            _ if why.starts_with("field content") || why.starts_with("length past the end") => {
                assert!(
                    matches!(error, DecodeError::PastEnd { field, .. } if Some(field) == guilty),
                    "{name}: {error}"
                );
                named += 1;
            }
            _ if why.contains("trailing byte") => {
                assert!(matches!(error, DecodeError::TrailingBytes { .. }), "{name}: {error}")
            }
            _ => {}
        }
    }
    assert_eq!(named, 40, "entries whose field was checked");
}

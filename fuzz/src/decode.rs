//! Fuzzes the packet decoder, which is compared with an independent parser.

use bytes::Bytes;
use roomer_proto::{DecodeError, Field, Packet, PacketRef};

/// Checks that arbitrary bytes are either decoded as the format requires, or rejected because of
/// their first error, without a panic. Both packet types must agree. A packet must borrow from the
/// input, and its encoding must be the same bytes.
pub fn decode(data: &[u8]) {
    let borrowed = PacketRef::decode(data);
    let owned = Packet::decode(Bytes::copy_from_slice(data));
    assert_eq!(owned.as_ref().map(Packet::borrowed), borrowed.as_ref().copied());
    match (borrowed, layout(data)) {
        (Ok(packet), Ok(fields)) => check_packet(&packet, fields, data),
        (Ok(packet), Err(error)) => panic!("{packet:?} instead of {error}"),
        (Err(error), expected) => assert_eq!(Err(error), expected),
    }
}

fn check_packet(packet: &PacketRef<'_>, fields: [&[u8]; 5], data: &[u8]) {
    let decoded = [
        packet.room.as_bytes(),
        packet.event.as_bytes(),
        packet.dst.as_bytes(),
        packet.src.as_bytes(),
        packet.payload,
    ];
    for (decoded, expected) in decoded.into_iter().zip(fields) {
        // The addresses are equal, so nothing was copied.
        assert_eq!(decoded.as_ptr_range(), expected.as_ptr_range());
    }
    assert_eq!(packet.encoded_len(), data.len());
    assert_eq!(packet.to_bytes(), data);
}

/// Parses the format a second time: five lengths, each of which is followed by that many bytes.
fn layout(data: &[u8]) -> Result<[&[u8]; 5], DecodeError> {
    let mut fields = [&data[..0]; 5];
    let mut at = 0;
    for (index, field) in
        [Field::Room, Field::Event, Field::Dst, Field::Src, Field::Payload].into_iter().enumerate()
    {
        let left = data.len() - at;
        if left < 4 {
            return Err(DecodeError::NoLength { field, left });
        }
        let claimed = (0..4).fold(0u64, |sum, byte| sum * 256 + u64::from(data[at + byte]));
        let left = left - 4;
        if claimed > left as u64 {
            let claimed = claimed as u32;
            return Err(DecodeError::PastEnd { field, claimed, left });
        }
        let start = at + 4;
        at = start + claimed as usize;
        fields[index] = &data[start..at];
        if field != Field::Payload && std::str::from_utf8(fields[index]).is_err() {
            return Err(DecodeError::NotUtf8 { field });
        }
    }
    if at < data.len() {
        let extra = data.len() - at;
        return Err(DecodeError::TrailingBytes { extra });
    }
    Ok(fields)
}

//! Zero-copy slices of frames, for names and packets.

use bytes::Bytes;
use bytestring::ByteString;
use roomer_proto::PacketRef;

/// Returns a name as a slice of the frame from which it was decoded.
pub(super) fn name(bytes: &Bytes, name: &str) -> ByteString {
    ByteString::try_from(bytes.slice_ref(name.as_bytes())).unwrap_or_default()
}

/// Returns the packet at the end of an item as a slice of the frame.
pub(super) fn last_packet(bytes: &Bytes, packet: &PacketRef<'_>) -> Bytes {
    bytes.slice(bytes.len() - packet.encoded_len()..)
}

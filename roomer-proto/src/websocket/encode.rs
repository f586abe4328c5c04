//! Frame encoding.
//!
//! A server's frames are unmasked and never fragmented (RFC 6455 section 5.1), so one encoding
//! serves all receivers. A client's frames are masked individually.

use alloc::vec::Vec;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::message::Kind;
use crate::{EncodeError, PacketRef};

/// The maximum length of a control frame's payload in bytes (RFC 6455 section 5.5).
pub const CONTROL_MAX: usize = 125;

/// The length of a close code in bytes.
const CODE_LEN: usize = 2;

/// Appends a packet as a binary message frame.
///
/// # Errors
///
/// Returns an [`EncodeError`] if a field is 4 GiB or longer; `out` is then unchanged.
pub fn packet_frame(packet: &PacketRef<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    // The header is written first and removed again if encoding fails. Checking the lengths up
    // front would do that work twice for every message.
    let start = out.len();
    let length = packet.encoded_len();
    header(OpCode::Data(Data::Binary), length, length, out);
    packet.encode(out).inspect_err(|_| out.truncate(start))
}

/// Appends a packet's binary message frame without its payload, for payloads in several buffers.
/// The caller must append exactly `payload_len` bytes. Reserves space in `out` for the first
/// `appended` of them.
///
/// # Errors
///
/// Returns an [`EncodeError`] if a field is 4 GiB or longer; `out` is then unchanged.
pub fn packet_frame_head(
    packet: &PacketRef<'_>,
    payload_len: usize,
    appended: usize,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let start = out.len();
    // `encoded_len` includes this packet's own payload, which is replaced.
    let head_len = packet.encoded_len() - packet.payload.len();
    header(OpCode::Data(Data::Binary), head_len + payload_len, head_len + appended, out);
    packet.encode_head(payload_len, out).inspect_err(|_| out.truncate(start))
}

/// Appends a message with arbitrary content.
pub fn message_frame(kind: Kind, data: &[u8], out: &mut Vec<u8>) {
    frame(opcode(kind), data, out);
}

/// Appends a compressed message. `data` is its compressed content (RFC 7692 section 6.1).
#[cfg(feature = "deflate")]
pub(super) fn compressed_frame(kind: Kind, data: &[u8], out: &mut Vec<u8>) {
    let header = FrameHeader { opcode: opcode(kind), rsv1: true, ..FrameHeader::default() };
    let length = data.len() as u64;
    // Allocate at most once for both header and content.
    out.reserve(header.len(length) + data.len());
    header.format(length, out).expect("writing to a Vec never fails");
    out.extend_from_slice(data);
}

/// Appends a ping with an empty payload.
pub fn ping_frame(out: &mut Vec<u8>) {
    frame(OpCode::Control(Control::Ping), &[], out);
}

/// Appends a pong in reply to a ping. A payload above [`CONTROL_MAX`] is truncated, but a
/// [`Decoder`] never reports such a ping.
///
/// [`Decoder`]: super::Decoder
pub fn pong_frame(payload: &[u8], out: &mut Vec<u8>) {
    // A longer control frame would violate RFC 6455 section 5.5.
    frame(OpCode::Control(Control::Pong), &payload[..payload.len().min(CONTROL_MAX)], out);
}

/// Appends a close frame. Without a code, its body is empty. A reason that is too long is
/// truncated at a character boundary.
pub fn close_frame(code: Option<u16>, reason: &str, out: &mut Vec<u8>) {
    let opcode = OpCode::Control(Control::Close);
    // A close frame cannot have a reason without a code (RFC 6455 section 5.5.1).
    let Some(code) = code else {
        return frame(opcode, &[], out);
    };
    // Truncating inside a character would make the reason invalid UTF-8, which is a protocol violation.
    let reason = &reason[..reason.floor_char_boundary(CONTROL_MAX - CODE_LEN)];
    header(opcode, CODE_LEN + reason.len(), CODE_LEN + reason.len(), out);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

/// Appends a client frame, masked with a key that must be unpredictable to the server (RFC 6455
/// section 10.3).
#[cfg(feature = "client")]
pub(crate) fn masked_frame(opcode: OpCode, key: [u8; 4], payload: &[u8], out: &mut Vec<u8>) {
    masked(FrameHeader { opcode, mask: Some(key), ..FrameHeader::default() }, payload, out);
}

/// Appends a client's compressed binary message. `data` is its compressed content.
#[cfg(all(feature = "client", feature = "deflate"))]
pub(crate) fn masked_compressed_frame(data: &[u8], key: [u8; 4], out: &mut Vec<u8>) {
    let opcode = OpCode::Data(Data::Binary);
    let header = FrameHeader { opcode, rsv1: true, mask: Some(key), ..FrameHeader::default() };
    masked(header, data, out);
}

#[cfg(feature = "client")]
fn masked(header: FrameHeader, payload: &[u8], out: &mut Vec<u8>) {
    let key = header.mask.unwrap_or_default();
    let length = payload.len() as u64;
    out.reserve(header.len(length) + payload.len());
    header.format(length, out).expect("writing to a Vec never fails");
    let start = out.len();
    // Mask in `out`, because the caller may write the same payload again with a different key.
    out.extend_from_slice(payload);
    super::mask::unmask(&mut out[start..], key);
}

fn opcode(kind: Kind) -> OpCode {
    OpCode::Data(match kind {
        Kind::Text => Data::Text,
        Kind::Binary => Data::Binary,
    })
}

fn frame(opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) {
    header(opcode, payload.len(), payload.len(), out);
    out.extend_from_slice(payload);
}

/// Appends a header for a payload of `length` bytes, and reserves space for its first `follow`
/// bytes.
fn header(opcode: OpCode, length: usize, follow: usize, out: &mut Vec<u8>) {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    out.reserve(header.len(length as u64) + follow);
    header.format(length as u64, out).expect("writing to a Vec never fails");
}

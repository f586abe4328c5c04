//! Parsing of frame headers (RFC 6455 section 5.2) and close bodies (section 5.5.1).

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::OpCode;

use super::violation::{Violation, valid_close_code};

/// The length of a control frame's header, without a client's masking key. Payloads of up to 125
/// bytes, the maximum of control frames, need no extended length.
const CONTROL_HEADER_LEN: usize = 2;
const MASKING_KEY_LEN: usize = 4;

/// The error for a reserved bit without a negotiated meaning.
pub(super) const RESERVED_BITS: Violation = Violation::protocol("reserved bits are set");

/// A parsed frame header, and the lengths derived from it.
pub(super) struct FrameHead {
    pub(super) header: FrameHeader,
    /// The masking key; zero if the frame is not masked.
    pub(super) key: [u8; 4],
    /// The header's length in bytes.
    pub(super) header_len: usize,
    /// The payload's announced length in bytes, which may exceed `usize`.
    pub(super) announced_len: u64,
    /// The payload's length in bytes; truncated, and unused, if it exceeds the message limit.
    pub(super) payload_len: usize,
}

impl FrameHead {
    /// Parses the frame header at the start of `bytes`. Returns `None` if it is incomplete.
    #[inline]
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, Violation> {
        // tungstenite checks this too. The explicit check ensures that the parser agrees with
        // `fill_buffer`, which fetches `header_len` bytes of a buffered frame.
        if bytes.len() < header_len(bytes) {
            return Ok(None);
        }
        let mut cursor = Cursor::new(bytes);
        match FrameHeader::parse(&mut cursor) {
            // RFC 6455 section 5.2: the most significant bit of a 64-bit length is zero.
            Ok(Some((header, length))) if length >> 63 == 0 => Ok(Some(FrameHead {
                // Masking with a zero key has no effect, so frames without a key need no branch.
                key: header.mask.unwrap_or_default(),
                header,
                header_len: cursor.position() as usize,
                announced_len: length,
                payload_len: length as usize,
            })),
            Ok(Some(_)) => Err(Violation::protocol("frame length has its top bit set")),
            Ok(None) => Ok(None),
            // The opcode is the only part of a complete header that can be invalid.
            Err(_) => Err(Violation::protocol("unknown opcode")),
        }
    }

    /// Returns the length of the whole frame.
    pub(super) fn frame_len(&self) -> usize {
        self.header_len + self.payload_len
    }

    /// Checks the rules that depend only on a frame's header. Frames from clients must be masked,
    /// and frames from servers must not. Only permessage-deflate gives a reserved bit a meaning;
    /// `accepts_compressed` is true if it was negotiated.
    #[inline]
    pub(super) fn check(&self, is_client: bool, accepts_compressed: bool) -> Result<(), Violation> {
        let header = &self.header;
        if header.rsv1 && !accepts_compressed || header.rsv2 || header.rsv3 {
            return Err(RESERVED_BITS);
        }
        // RFC 6455 section 5.1: clients mask their frames, servers never do.
        if header.mask.is_none() != is_client {
            return Err(Violation::protocol(match is_client {
                true => "server frame is masked",
                false => "frame is not masked",
            }));
        }
        if matches!(header.opcode, OpCode::Control(_)) {
            if !header.is_final {
                return Err(Violation::protocol("control frame is fragmented"));
            }
            // RFC 7692 section 6.1: only the first frame of a message may set RSV1.
            if header.rsv1 {
                return Err(RESERVED_BITS);
            }
            // Like the Go original, reject an extended length here, even if its value is at most
            // 125.
            let key_len = if is_client { 0 } else { MASKING_KEY_LEN };
            if self.header_len > CONTROL_HEADER_LEN + key_len {
                return Err(Violation::protocol("control frame is above 125 bytes"));
            }
        }
        Ok(())
    }
}

/// Returns the length of the header at the start of `bytes`, or a lower bound if the available
/// bytes do not determine it.
#[inline]
pub(super) fn header_len(bytes: &[u8]) -> usize {
    let Some(second) = bytes.get(1) else { return 2 };
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    // The top bit of the second byte is set if a masking key is present.
    let mask = if second & 0x80 != 0 { 4 } else { 0 };
    2 + length + mask
}

/// Parses the code in the body of a close frame, and validates the reason.
pub(super) fn close_code(body: &[u8]) -> Result<Option<u16>, Violation> {
    let (code, reason) = match body {
        [] => return Ok(None),
        // RFC 6455 section 5.5.1: a nonempty body starts with a two-byte code.
        [_] => return Err(Violation::protocol("close frame with half a code")),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    // The invalid codes include 1005, 1006 and 1015, which must not be sent (section 7.4.1).
    if !valid_close_code(code) {
        return Err(Violation::protocol("close code must not be sent"));
    }
    match core::str::from_utf8(reason) {
        Ok(_) => Ok(Some(code)),
        Err(_) => Err(Violation::invalid_payload("close reason is not UTF-8")),
    }
}

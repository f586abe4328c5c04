//! The syntax of frames (RFC 6455 section 5.2) and of close bodies (section 5.5.1).

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::OpCode;

use super::violation::{Violation, valid_close_code};

/// The length of a masked control frame's header. A payload of up to 125 bytes, the maximum of such
/// a frame, needs no more length bytes than the one that every header has.
const CONTROL_HEADER_LEN: usize = 2 + 4;

/// A frame has a reserved bit without a meaning.
pub(super) const RESERVED_BITS: Violation = Violation::protocol("reserved bits are set");

/// A frame's header, and the lengths that follow from it.
pub(super) struct FrameHead {
    pub(super) header: FrameHeader,
    /// The masking key; zero for a frame that is not masked.
    pub(super) key: [u8; 4],
    /// The length of the header.
    pub(super) header_len: usize,
    /// The length of the payload as announced, which may exceed `usize`.
    pub(super) announced_len: u64,
    /// The length of the payload; meaningless above the limit on messages.
    pub(super) payload_len: usize,
}

impl FrameHead {
    /// Reads the header that starts with these bytes. Returns `None` if it is incomplete.
    #[inline]
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, Violation> {
        // tungstenite finds that as well. This check makes sure that the parser agrees with
        // `fill_buffer`, which fetches `header_len` bytes of a buffered frame.
        if bytes.len() < header_len(bytes) {
            return Ok(None);
        }
        let mut cursor = Cursor::new(bytes);
        match FrameHeader::parse(&mut cursor) {
            // RFC 6455 section 5.2: the most significant bit of a 64-bit length is zero.
            Ok(Some((header, length))) if length >> 63 == 0 => Ok(Some(FrameHead {
                // A key of zero masks nothing, so that frames without one need no branch.
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

    /// Checks the rules for a single frame that need only its header. Frames of a client are masked,
    /// those that a client receives are not. Only permessage-deflate gives a reserved bit a meaning:
    /// `takes_compressed` is true if it was negotiated.
    #[inline]
    pub(super) fn check(&self, is_client: bool, takes_compressed: bool) -> Result<(), Violation> {
        let header = &self.header;
        if header.rsv1 && !takes_compressed || header.rsv2 || header.rsv3 {
            return Err(RESERVED_BITS);
        }
        // RFC 6455 section 5.1, both directions: a client masks, a server never does.
        if header.mask.is_none() != is_client {
            return Err(Violation::protocol(match is_client {
                true => "frame of a server is masked",
                false => "frame is not masked",
            }));
        }
        if matches!(header.opcode, OpCode::Control(_)) {
            if !header.is_final {
                return Err(Violation::protocol("control frame is fragmented"));
            }
            // RFC 7692 section 6.1: only the first frame of a message has it.
            if header.rsv1 {
                return Err(RESERVED_BITS);
            }
            // As in the Go original, a short length in more length bytes than necessary counts as
            // too long.
            if self.header_len > CONTROL_HEADER_LEN {
                return Err(Violation::protocol("control frame is above 125 bytes"));
            }
        }
        Ok(())
    }
}

/// Returns the length of the header that starts with these bytes, or of the part of it that they
/// determine.
#[inline]
pub(super) fn header_len(bytes: &[u8]) -> usize {
    let Some(second) = bytes.get(1) else { return 2 };
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    // The top bit of the second byte is set if a masking key follows the length.
    let mask = if second & 0x80 != 0 { 4 } else { 0 };
    2 + length + mask
}

/// Reads the code of a close frame's body, and checks the reason after it.
pub(super) fn close_code(body: &[u8]) -> Result<Option<u16>, Violation> {
    let (code, reason) = match body {
        [] => return Ok(None),
        // RFC 6455 section 5.5.1: a body begins with the two bytes of a code.
        [_] => return Err(Violation::protocol("close frame with half a code")),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    // Among others 1005, 1006 and 1015, which exist for local use only (section 7.4.1).
    if !valid_close_code(code) {
        return Err(Violation::protocol("close code is not for the wire"));
    }
    match core::str::from_utf8(reason) {
        Ok(_) => Ok(Some(code)),
        Err(_) => Err(Violation::invalid_payload("close reason is not UTF-8")),
    }
}

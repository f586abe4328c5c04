//! Encoding and decoding of numbers, names, ids and packets.

use alloc::vec::Vec;

use super::FrameError;
use crate::{ConnId, PacketRef};

/// The maximum length of a varint in bytes, at seven bits each.
const VARINT_MAX: usize = 10;

/// The undecoded rest of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], FrameError> {
        let truncated = FrameError::Truncated { what };
        // On an error, the cursor does not advance; the caller drops the frame.
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(truncated)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], FrameError> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(FrameError::Truncated { what })?;
        self.0 = rest;
        Ok(*bytes)
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, FrameError> {
        Ok(u8::from_be_bytes(self.array(what)?))
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, FrameError> {
        Ok(u32::from_be_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, FrameError> {
        Ok(u64::from_be_bytes(self.array(what)?))
    }

    /// Decodes a varint: seven bits per byte, least significant first, as in Protocol Buffers.
    pub(super) fn varint(&mut self, what: &'static str) -> Result<u64, FrameError> {
        let mut value = 0_u64;
        for shift in (0..VARINT_MAX as u32).map(|byte| 7 * byte) {
            let byte = self.u8(what)?;
            let bits = u64::from(byte & 0x7f);
            value |= bits << shift;
            if byte < 0x80 {
                // Of the tenth byte, only the lowest bit fits into 64 bits.
                return match bits << shift >> shift == bits {
                    true => Ok(value),
                    false => Err(FrameError::Impossible { what }),
                };
            }
        }
        // The value is too long: the tenth byte has its continuation bit set.
        Err(FrameError::Impossible { what })
    }

    /// Decodes a length prefix and returns that many bytes, which must be present.
    pub(super) fn prefixed(&mut self, what: &'static str) -> Result<&'a [u8], FrameError> {
        let len = self.varint(what)?;
        let len = usize::try_from(len).map_err(|_| FrameError::Truncated { what })?;
        self.take(len, what)
    }

    pub(super) fn name(&mut self, what: &'static str) -> Result<&'a str, FrameError> {
        text(self.prefixed(what)?, what)
    }

    pub(super) fn id(&mut self, what: &'static str) -> Result<ConnId, FrameError> {
        Ok(ConnId::from_bytes(self.array(what)?))
    }

    /// Returns the remaining bytes as a name.
    pub(super) fn last_name(&mut self, what: &'static str) -> Result<&'a str, FrameError> {
        text(core::mem::take(&mut self.0), what)
    }

    pub(super) fn finish(self) -> Result<(), FrameError> {
        match self.0.len() {
            0 => Ok(()),
            extra => Err(FrameError::TrailingBytes { extra }),
        }
    }
}

fn text<'a>(bytes: &'a [u8], what: &'static str) -> Result<&'a str, FrameError> {
    core::str::from_utf8(bytes).map_err(|_| FrameError::Impossible { what })
}

pub(super) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn varint_len(value: u64) -> usize {
    // Set the lowest bit, because zero also takes one byte.
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

pub(super) fn put_prefixed(bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

pub(super) fn prefixed_len(len: usize) -> usize {
    varint_len(len as u64) + len
}

/// Appends a packet. Inlined, because it runs for every message to a peer.
#[inline]
pub(super) fn encode_packet(packet: &PacketRef<'_>, out: &mut Vec<u8>) {
    let encoded = packet.encode(out);
    debug_assert!(encoded.is_ok(), "fields came from a message below 4 GiB");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip() {
        let shifts = (0..64).map(|shift| 1_u64 << shift);
        for value in shifts.flat_map(|value| [value - 1, value, value | 1]).chain([u64::MAX]) {
            let mut out = Vec::new();
            put_varint(value, &mut out);
            assert_eq!(out.len(), varint_len(value), "{value}");
            let mut cursor = Cursor(&out);
            assert_eq!(cursor.varint("value"), Ok(value));
            assert_eq!(cursor.finish(), Ok(()));
            let cut = Cursor(&out[..out.len() - 1]).varint("value");
            assert_eq!(cut, Err(FrameError::Truncated { what: "value" }));
        }
    }

    #[test]
    fn varint_above_64_bits_is_rejected() {
        let mut bytes = [0xff; VARINT_MAX];
        assert_eq!(Cursor(&bytes).varint("n"), Err(FrameError::Impossible { what: "n" }));
        bytes[VARINT_MAX - 1] = 2;
        assert_eq!(Cursor(&bytes).varint("n"), Err(FrameError::Impossible { what: "n" }));
        bytes[VARINT_MAX - 1] = 1;
        assert_eq!(Cursor(&bytes).varint("n"), Ok(u64::MAX));
    }
}

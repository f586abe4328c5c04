//! Packets, and their encoding as five length-prefixed fields.

use alloc::vec::Vec;

use bytes::Bytes;
use bytestring::ByteString;

use crate::error::{DecodeError, EncodeError, Field};

/// The minimum length of a packet, with five empty fields, in bytes.
pub const MIN_PACKET: usize = 5 * LEN;

/// The room that every connection joins when it opens.
pub const ROOT: &str = "root";

/// The size of a length prefix in bytes.
const LEN: usize = 4;

/// A packet that borrows its fields. Copying it is cheap, and decoding and routing never copy a payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PacketRef<'a> {
    /// The room that the packet belongs to.
    pub room: &'a str,
    /// The event's name.
    pub event: &'a str,
    /// The receiver's id; empty for a message to the room.
    pub dst: &'a str,
    /// The sender's id. A server ignores a client's value and sets its own.
    pub src: &'a str,
    /// The content: arbitrary bytes.
    pub payload: &'a [u8],
}

impl<'a> PacketRef<'a> {
    /// Decodes a packet from one complete message.
    ///
    /// # Errors
    ///
    /// Returns a [`DecodeError`] if the message is truncated, claims more bytes than it has,
    /// contains names that are not UTF-8, or has bytes after the payload. There is no partial
    /// result.
    pub fn decode(message: &'a [u8]) -> Result<Self, DecodeError> {
        let rest = &mut { message };
        let packet = PacketRef {
            room: take_name(rest, Field::Room)?,
            event: take_name(rest, Field::Event)?,
            dst: take_name(rest, Field::Dst)?,
            src: take_name(rest, Field::Src)?,
            payload: take(rest, Field::Payload)?,
        };
        // Each packet has exactly one encoding. Otherwise, a filter and a receiver could
        // interpret the same bytes differently.
        match rest.len() {
            0 => Ok(packet),
            extra => Err(DecodeError::TrailingBytes { extra }),
        }
    }

    /// Returns the number of bytes that [`encode`](Self::encode) appends.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let names = self.room.len() + self.event.len() + self.dst.len() + self.src.len();
        MIN_PACKET + names + self.payload.len()
    }

    /// Appends the packet's canonical encoding to `out`.
    ///
    /// # Errors
    ///
    /// Returns an [`EncodeError`] if a field is 4 GiB or longer; `out` is then unchanged.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.reserve(self.encoded_len());
        self.encode_head(self.payload.len(), out)?;
        out.extend_from_slice(self.payload);
        Ok(())
    }

    /// Appends the encoding without the payload, for payloads in several buffers. The caller
    /// must append exactly `payload_len` bytes. The payload of this packet is ignored.
    ///
    /// # Errors
    ///
    /// Returns an [`EncodeError`] if a field is 4 GiB or longer; `out` is then unchanged.
    pub fn encode_head(&self, payload_len: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let names = [self.room, self.event, self.dst, self.src];
        // Check all lengths before writing the first byte so that `out` is unchanged after an
        // error. If any length exceeds `u32`, so does their bitwise or.
        let lengths = names.iter().fold(payload_len, |lengths, name| lengths | name.len());
        if u32::try_from(lengths).is_err() {
            return Err(self.too_long(payload_len));
        }
        for name in names {
            // The cast cannot truncate, because of the check above.
            out.extend_from_slice(&(name.len() as u32).to_be_bytes());
            out.extend_from_slice(name.as_bytes());
        }
        out.extend_from_slice(&(payload_len as u32).to_be_bytes());
        Ok(())
    }

    /// Returns the packet's encoding in a new buffer.
    ///
    /// # Panics
    ///
    /// Panics if a field is 4 GiB or longer; use [`encode`](Self::encode) to handle this case.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::new();
        match self.encode(&mut out) {
            Ok(()) => out.into(),
            Err(error) => panic!("{error}"),
        }
    }

    /// Returns the payload as text.
    ///
    /// # Errors
    ///
    /// Returns a [`Utf8Error`](core::str::Utf8Error) if the payload is not UTF-8.
    pub fn text(&self) -> Result<&'a str, core::str::Utf8Error> {
        core::str::from_utf8(self.payload)
    }

    /// Returns the error of [`encode_head`](Self::encode_head) for the first field that is too long.
    #[cold]
    fn too_long(&self, payload_len: usize) -> EncodeError {
        let lengths = [
            (Field::Room, self.room.len()),
            (Field::Event, self.event.len()),
            (Field::Dst, self.dst.len()),
            (Field::Src, self.src.len()),
        ];
        let too_long = lengths.into_iter().find(|(_, len)| u32::try_from(*len).is_err());
        let (field, len) = too_long.unwrap_or((Field::Payload, payload_len));
        EncodeError { field, len }
    }
}

fn take<'a>(rest: &mut &'a [u8], field: Field) -> Result<&'a [u8], DecodeError> {
    let Some((length, behind)) = rest.split_first_chunk::<LEN>() else {
        return Err(DecodeError::NoLength { field, left: rest.len() });
    };
    let claimed = u32::from_be_bytes(*length);
    // The length is compared with the remaining bytes before it is used, so a bogus length cannot
    // cause a large allocation.
    let past_end = DecodeError::PastEnd { field, claimed, left: behind.len() };
    // The conversion fails only if `usize` has 16 bits.
    let length = usize::try_from(claimed).map_err(|_| past_end)?;
    let (bytes, behind) = behind.split_at_checked(length).ok_or(past_end)?;
    *rest = behind;
    Ok(bytes)
}

fn take_name<'a>(rest: &mut &'a [u8], field: Field) -> Result<&'a str, DecodeError> {
    let bytes = take(rest, field)?;
    core::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8 { field })
}

/// A packet that owns its fields. Decoding shares the message's buffer instead of copying it,
/// so each field keeps the whole message in memory.
///
/// ```
/// use roomer_proto::{Packet, PacketRef};
///
/// let bytes = PacketRef { room: "lobby", event: "chat", ..PacketRef::default() }.to_bytes();
/// let packet = Packet::decode(bytes.clone())?;
/// assert_eq!(packet.room, "lobby");
/// assert_eq!(packet.borrowed().to_bytes(), bytes);
/// # Ok::<(), roomer_proto::DecodeError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Packet {
    /// The room that the packet belongs to.
    pub room: ByteString,
    /// The event's name.
    pub event: ByteString,
    /// The receiver's id; empty for a message to the room.
    pub dst: ByteString,
    /// The sender's id.
    pub src: ByteString,
    /// The content: arbitrary bytes.
    pub payload: Bytes,
}

impl Packet {
    /// Decodes a packet from one complete message without copying.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`PacketRef::decode`].
    pub fn decode(message: Bytes) -> Result<Self, DecodeError> {
        let packet = PacketRef::decode(&message)?;
        let name = |field, text: &str| {
            // This validates UTF-8 a second time: `bytestring` can skip the check only through
            // `unsafe`, which is forbidden.
            ByteString::try_from(message.slice_ref(text.as_bytes()))
                .map_err(|_| DecodeError::NotUtf8 { field })
        };
        Ok(Packet {
            room: name(Field::Room, packet.room)?,
            event: name(Field::Event, packet.event)?,
            dst: name(Field::Dst, packet.dst)?,
            src: name(Field::Src, packet.src)?,
            payload: message.slice_ref(packet.payload),
        })
    }

    /// Returns the payload as text.
    ///
    /// # Errors
    ///
    /// Returns a [`Utf8Error`](core::str::Utf8Error) if the payload is not UTF-8.
    pub fn text(&self) -> Result<&str, core::str::Utf8Error> {
        core::str::from_utf8(&self.payload)
    }

    /// Borrows the packet.
    #[must_use]
    pub fn borrowed(&self) -> PacketRef<'_> {
        PacketRef {
            room: &self.room,
            event: &self.event,
            dst: &self.dst,
            src: &self.src,
            payload: &self.payload,
        }
    }
}

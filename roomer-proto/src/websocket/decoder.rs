//! Parsing of received bytes into messages and control frames, for one connection.
//!
//! Chunks of bytes arrive with arbitrary boundaries. Frames that are complete within a chunk are
//! unmasked and reported in place. An incomplete frame at the end of a chunk is copied to the *buffer*.
//! The next chunk first completes that frame, after which parsing continues in place. The fragments of a
//! message are collected in a [`FragmentedMessage`]. Between messages, both are empty and own no memory.

use alloc::boxed::Box;
use core::ops::Range;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::frame::{FrameHead, RESERVED_BITS, close_code, header_len};
use super::mask::unmask;
use super::message::{FragmentedMessage, Kind, Limits};
use super::unfinished::Unfinished;
use super::violation::Violation;

/// A complete message or control frame. The enum is exhaustive: RFC 6455 defines no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A message, reassembled from its fragments.
    Message {
        /// The message's kind.
        kind: Kind,
        /// The message's unmasked content.
        data: &'a [u8],
    },
    /// A compressed message, reassembled from its fragments. Reported only by a decoder that
    /// [accepts compressed messages](Decoder::accept_compressed).
    Compressed {
        /// The message's kind.
        kind: Kind,
        /// The unmasked compressed content, for `deflate::Inflater`. Its length is within the
        /// limit, but the inflated length has not been checked.
        data: &'a [u8],
    },
    /// A ping, to be answered by a pong with the same payload.
    Ping(&'a [u8]),
    /// A pong, solicited or not.
    Pong(&'a [u8]),
    /// A close frame. Bytes after it are ignored.
    Close {
        /// The close code, if the frame has one.
        code: Option<u16>,
        /// The close reason; empty if the frame has none.
        reason: &'a str,
    },
}

/// The receiving side of one connection. `CLIENT` is true on a client, whose peer does not mask its
/// frames (RFC 6455 section 5.1).
#[derive(Debug, Default)]
pub struct Decoder<const CLIENT: bool = false> {
    /// The buffers for an incomplete frame or message. `None` on idle connections.
    unfinished: Option<Box<Unfinished>>,
    pub(super) accepts_compressed: bool,
    /// True from the first frame of a compressed message until its event is reported.
    is_compressed: bool,
    pub(super) is_over: bool,
    is_closed: bool,
}

impl Decoder {
    /// Creates a server-side decoder.
    #[must_use]
    pub fn new() -> Self {
        Decoder::default()
    }
}

impl Decoder<true> {
    /// Creates a client-side decoder.
    #[must_use]
    pub fn client() -> Self {
        Decoder::default()
    }
}

impl<const CLIENT: bool> Decoder<CLIENT> {
    /// Feeds a chunk of bytes to the decoder. Payloads are unmasked in place, so the chunk's
    /// contents are unspecified afterwards.
    ///
    /// Take events from the [`Feed`] until it returns `None`. If the feed is dropped earlier,
    /// the rest of the chunk is kept for the next feed.
    pub fn feed<'s>(&'s mut self, limits: &'s Limits, chunk: &'s mut [u8]) -> Feed<'s, CLIENT> {
        Feed { decoder: self, limits, chunk, at: 0 }
    }

    /// Accepts compressed messages from now on, after permessage-deflate was negotiated (RFC 7692).
    pub fn accept_compressed(&mut self) {
        self.accepts_compressed = true;
    }

    /// Returns the number of bytes allocated for incomplete frames and messages.
    #[must_use]
    pub fn held(&self) -> usize {
        self.unfinished.as_ref().map_or(0, |unfinished| unfinished.held())
    }

    /// Returns the number of bytes received for incomplete frames and messages, or for frames
    /// whose events have not been taken.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.unfinished.as_ref().map_or(0, |unfinished| unfinished.len())
    }

    /// Returns true if the peer has sent a close frame or violated the protocol; no events follow.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Returns true if the peer has sent a close frame.
    #[must_use]
    pub fn is_closed_by_peer(&self) -> bool {
        self.is_closed
    }
}

/// The events of one chunk. See [`Decoder::feed`].
#[derive(Debug)]
pub struct Feed<'s, const CLIENT: bool = false> {
    decoder: &'s mut Decoder<CLIENT>,
    limits: &'s Limits,
    chunk: &'s mut [u8],
    /// The number of the chunk's bytes that have been consumed.
    at: usize,
}

/// The kind of event that a frame produces.
#[derive(Clone, Copy)]
enum FrameKind {
    Message(Kind),
    Ping,
    Pong,
    Close(Option<u16>),
}

/// The location of an event's bytes.
enum Location {
    Chunk(Range<usize>),
    Buffer(Range<usize>),
    Message,
}

impl<const CLIENT: bool> Feed<'_, CLIENT> {
    /// Returns the next event, or `None` if more bytes are needed or the decoder has finished. An
    /// error reports a violation by the peer, after which the decoder has finished.
    // This is not an `Iterator`, because events borrow from the feed.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Result<Event<'_>, Violation>> {
        self.decoder.release_consumed();
        if self.decoder.is_over {
            return None;
        }
        let (kind, location) = match self.step() {
            Ok(found) => found?,
            Err(violation) => {
                self.decoder.is_over = true;
                // Framing may be lost, so nothing after a violation is parsed (RFC 6455 section 7.1.7).
                return Some(Err(violation));
            }
        };
        if let FrameKind::Close(_) = kind {
            (self.decoder.is_over, self.decoder.is_closed) = (true, true);
        }
        // Control frames may be interleaved with the fragments of a compressed message.
        let is_message = matches!(kind, FrameKind::Message(_));
        let is_compressed = is_message && core::mem::take(&mut self.decoder.is_compressed);
        let data = self.bytes(&location);
        Some(Ok(match kind {
            FrameKind::Message(kind) if is_compressed => Event::Compressed { kind, data },
            FrameKind::Message(kind) => Event::Message { kind, data },
            FrameKind::Ping => Event::Ping(data),
            FrameKind::Pong => Event::Pong(data),
            FrameKind::Close(code) => {
                // `close_code` has validated the reason as UTF-8.
                Event::Close { code, reason: core::str::from_utf8(data).unwrap_or_default() }
            }
        }))
    }

    /// Returns the bytes at `location`.
    fn bytes(&self, location: &Location) -> &[u8] {
        let unfinished = self.decoder.unfinished.as_deref();
        match location {
            Location::Chunk(range) => &self.chunk[range.clone()],
            Location::Buffer(range) => unfinished.map_or(&[], |all| &all.buffer[range.clone()]),
            Location::Message => {
                unfinished.and_then(|all| all.message.as_ref()).map_or(&[], |message| &message.data)
            }
        }
    }

    /// Consumes frames until one of them produces an event.
    fn step(&mut self) -> Result<Option<(FrameKind, Location)>, Violation> {
        while let Some((header, location)) = self.next_frame()? {
            if let Some(found) = self.accept(&header, location)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Unmasks and returns the next frame; `None` if it is still incomplete.
    fn next_frame(&mut self) -> Result<Option<(FrameHeader, Location)>, Violation> {
        if self.decoder.rest().is_empty() {
            // The common case is parsing in place. An incomplete frame stays in the chunk, and
            // is buffered when the feed is dropped.
            let rest = &mut self.chunk[self.at..];
            if rest.is_empty() {
                return Ok(None);
            }
            let Some(head) = FrameHead::parse(rest)? else {
                return Ok(None);
            };
            // Check the header before using its lengths: `payload_len` may be truncated if it
            // exceeds the limit.
            self.decoder.admit(&head, self.limits)?;
            let end = head.header_len + head.payload_len;
            let Some(payload) = rest.get_mut(head.header_len..end) else {
                return Ok(None);
            };
            // Unmask only a complete frame: otherwise its first part would be buffered unmasked,
            // and then unmasked again.
            unmask(payload, head.key);
            let start = self.at + head.header_len;
            self.at = start + head.payload_len;
            return Ok(Some((head.header, Location::Chunk(start..self.at))));
        }
        // Complete the buffered frame, taking only the bytes that it lacks: first the rest of its
        // header, which contains the length of the payload, then the rest of the payload.
        if !self.fill_buffer(header_len) {
            return Ok(None);
        }
        let Some(head) = FrameHead::parse(self.decoder.rest())? else {
            return Ok(None);
        };
        // Check the header before buffering the payload: an announced length must not cost memory.
        self.decoder.admit(&head, self.limits)?;
        if !self.fill_buffer(|_| head.frame_len()) {
            return Ok(None);
        }
        let Unfinished { buffer, consumed, .. } = self.decoder.unfinished_mut();
        let start = *consumed + head.header_len;
        let end = start + head.payload_len;
        unmask(&mut buffer[start..end], head.key);
        *consumed = end;
        Ok(Some((head.header, Location::Buffer(start..end))))
    }

    /// Moves bytes from the chunk to the buffer until the number of unconsumed bytes reaches `needed`,
    /// which is evaluated again after each step. Returns false if the chunk has too few bytes.
    fn fill_buffer(&mut self, needed: impl Fn(&[u8]) -> usize) -> bool {
        loop {
            let decoder = &mut *self.decoder;
            let needed = needed(decoder.rest());
            let available = decoder.rest().len();
            if available >= needed {
                return true;
            }
            let rest = &self.chunk[self.at..];
            if rest.is_empty() {
                return false;
            }
            // Take nothing beyond this frame so that the frames after it are parsed in place.
            let more = &rest[..rest.len().min(needed - available)];
            decoder.unfinished_mut().push(more, needed);
            self.at += more.len();
        }
    }

    /// Applies RFC 6455 sections 5.4 and 5.5 to a complete frame.
    fn accept(
        &mut self,
        header: &FrameHeader,
        location: Location,
    ) -> Result<Option<(FrameKind, Location)>, Violation> {
        match header.opcode {
            OpCode::Control(Control::Ping) => Ok(Some((FrameKind::Ping, location))),
            OpCode::Control(Control::Pong) => Ok(Some((FrameKind::Pong, location))),
            // This is a close frame, because the parser has rejected reserved opcodes.
            OpCode::Control(_) => {
                let code = close_code(self.bytes(&location))?;
                // The event contains the reason, which follows the two-byte code.
                let skip = code.map_or(0, |_| 2);
                Ok(Some((FrameKind::Close(code), location.without(skip))))
            }
            // This is an unfragmented message, which `admit` rejects inside a fragmented one.
            OpCode::Data(Data::Text) if header.is_final => {
                // Compressed text is validated after inflating.
                if !self.decoder.is_compressed
                    && core::str::from_utf8(self.bytes(&location)).is_err()
                {
                    return Err(Violation::invalid_payload("text is not UTF-8"));
                }
                Ok(Some((FrameKind::Message(Kind::Text), location)))
            }
            OpCode::Data(Data::Binary) if header.is_final => {
                Ok(Some((FrameKind::Message(Kind::Binary), location)))
            }
            OpCode::Data(opcode) => {
                // Continuations do not use this kind, since their message already has one.
                let kind = if opcode == Data::Text { Kind::Text } else { Kind::Binary };
                let is_compressed = self.decoder.is_compressed;
                let Unfinished { buffer, message, .. } = self.decoder.unfinished_mut();
                let data = match &location {
                    Location::Chunk(range) => &self.chunk[range.clone()],
                    Location::Buffer(range) => &buffer[range.clone()],
                    Location::Message => &[],
                };
                let new = || FragmentedMessage::new(kind, is_compressed);
                let message = message.get_or_insert_with(new);
                message.add(data, header.is_final, self.limits)?;
                let kind = message.kind;
                Ok(header.is_final.then_some((FrameKind::Message(kind), Location::Message)))
            }
        }
    }
}

impl<const CLIENT: bool> Drop for Feed<'_, CLIENT> {
    fn drop(&mut self) {
        self.decoder.release_consumed();
        // RFC 6455 section 1.4: anything after a close frame is discarded.
        if self.decoder.is_over {
            self.decoder.unfinished = None;
            return;
        }
        let rest = &self.chunk[self.at..];
        if !rest.is_empty() {
            // Pass no frame length: if the feed was dropped early, the rest may contain several
            // frames.
            self.decoder.unfinished_mut().push(rest, 0);
        }
    }
}

impl<const CLIENT: bool> Decoder<CLIENT> {
    /// Returns the buffered bytes that have not been consumed.
    #[inline]
    fn rest(&self) -> &[u8] {
        self.unfinished.as_ref().map_or(&[], |unfinished| unfinished.rest())
    }

    pub(super) fn unfinished_mut(&mut self) -> &mut Unfinished {
        self.unfinished.get_or_insert_default()
    }

    /// Frees the memory that the last event borrowed.
    #[inline]
    fn release_consumed(&mut self) {
        self.unfinished.take_if(|unfinished| unfinished.release_consumed());
    }

    /// Checks a frame's header against the rules and limits, before its payload is received.
    fn admit(&mut self, head: &FrameHead, limits: &Limits) -> Result<(), Violation> {
        head.check(CLIENT, self.accepts_compressed)?;
        // Control frames may be interleaved with fragments (section 5.4), and have their own limit.
        let OpCode::Data(opcode) = head.header.opcode else {
            return Ok(());
        };
        let message = self.unfinished.as_ref().and_then(|all| all.message.as_ref());
        match (opcode, message) {
            (Data::Continue, None) => {
                return Err(Violation::protocol("continuation without a start"));
            }
            (Data::Text | Data::Binary, Some(_)) => {
                return Err(Violation::protocol("new message inside a fragmented one"));
            }
            // RFC 7692 section 6.1: only the first frame of a message may set RSV1.
            (Data::Continue, Some(_)) if head.header.rsv1 => return Err(RESERVED_BITS),
            _ => {}
        }
        let received = message.map_or(0, |message| message.data.len());
        // Saturate, because this feed's limit may be lower than the previous one's.
        let left = limits.max_message.saturating_sub(received);
        if head.announced_len > left as u64 {
            return Err(Violation::too_big("message is above the limit"));
        }
        if head.header.rsv1 {
            self.is_compressed = true;
        }
        Ok(())
    }
}

impl Location {
    /// Skips the first `skip` bytes.
    fn without(self, skip: usize) -> Self {
        match self {
            Location::Chunk(range) => Location::Chunk(range.start + skip..range.end),
            Location::Buffer(range) => Location::Buffer(range.start + skip..range.end),
            Location::Message => Location::Message,
        }
    }
}

//! One connection's inbound side: bytes in, messages and control frames out.
//!
//! The theory: bytes come in chunks that know nothing of frames. As long as frames lie whole in
//! the chunk they are unmasked and reported in place. What is left at a chunk's end, the start of
//! a frame, goes into the *stash*; the next chunk first gives the stash exactly what its frame
//! still lacks, and reading goes on in place behind that. Fragments of a message are collected in
//! the *assembly*. Both are empty, and own no memory, whenever the peer is between two messages.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;
use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::mask::unmask;
use super::violation::{Violation, valid_close_code};

/// What a peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most bytes of one message, all fragments added up, inclusive. Checked when a frame's
    /// header arrives, before its payload is read. Default 16 MiB, the Go original's.
    pub max_message: usize,
    /// The most fragments of one message, so that endless empty ones come to an end; large messages
    /// may have more, see [`mean_fragment`](Self::mean_fragment). Default 1,024.
    pub max_fragments: u32,
    /// The bytes of a message for each of which it may have one fragment above
    /// [`max_fragments`](Self::max_fragments). What fragments cost is then bounded by what they
    /// bring along, however large the message is. Default 256: a message of 5 MiB may come in
    /// 21,504 fragments. 0 is none: `max_fragments` is all.
    pub mean_fragment: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_message: 16 * 1024 * 1024, max_fragments: 1024, mean_fragment: 256 }
    }
}

impl Limits {
    /// Whether a message that has so many bytes may have so many fragments.
    fn allow(&self, fragments: u32, bytes: usize) -> bool {
        let more = bytes.checked_div(self.mean_fragment).unwrap_or(0);
        u64::from(fragments) <= u64::from(self.max_fragments) + more as u64
    }
}

/// Whether a message was sent as text or as binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text; a session has checked that it is UTF-8.
    Text,
    /// Binary.
    Binary,
}

/// Something whole that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A message, its fragments put together.
    Message {
        /// How it was sent.
        kind: Kind,
        /// Its content, unmasked.
        data: &'a [u8],
    },
    /// A ping, to be answered with a pong of the same payload.
    Ping(&'a [u8]),
    /// A pong, asked for or not.
    Pong(&'a [u8]),
    /// The peer closes. Nothing after it is looked at.
    Close {
        /// The code, if there was one.
        code: Option<u16>,
        /// The reason; empty if there was none.
        reason: &'a str,
    },
}

/// Bytes of a masked control frame's header. A length up to 125, the most that such a frame may
/// have, is told in the second byte; more takes more bytes.
const CONTROL_HEADER: usize = 2 + 4;

/// The inbound side of one connection.
#[derive(Debug, Default)]
pub struct Session {
    /// Bytes that no event has used yet; at most one frame's, unless a feed was dropped early.
    stash: Vec<u8>,
    /// How much of the stash has been used.
    used: usize,
    assembly: Option<Box<Assembly>>,
    over: bool,
    closed: bool,
}

/// A message whose last fragment is still to come.
#[derive(Debug)]
struct Assembly {
    kind: Kind,
    data: Vec<u8>,
    fragments: u32,
    /// How much of a text is known to be UTF-8.
    checked: usize,
    /// Reported; to be dropped before anything else is looked at.
    complete: bool,
}

impl Session {
    /// A session between two messages.
    #[must_use]
    pub fn new() -> Self {
        Session::default()
    }

    /// Takes in a chunk of bytes. The chunk is scratch space: payloads are unmasked in place.
    ///
    /// Draw events from the [`Feed`] until it has no more. A feed that is dropped before that
    /// keeps what it did not use for the next one.
    pub fn feed<'s>(&'s mut self, limits: &'s Limits, chunk: &'s mut [u8]) -> Feed<'s> {
        Feed { session: self, limits, chunk, at: 0 }
    }

    /// The bytes of memory held for unfinished frames and messages.
    #[must_use]
    pub fn held(&self) -> usize {
        self.stash.capacity() + self.assembly.as_ref().map_or(0, |a| a.data.capacity())
    }

    /// The bytes that have come in of a frame or message that is not complete, or of several that no
    /// feed has been drawn for.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        let assembly = self.assembly.as_ref().filter(|assembly| !assembly.complete);
        self.stash.len() - self.used + assembly.map_or(0, |assembly| assembly.data.len())
    }

    /// Whether the peer has closed or broken the rules: nothing more will come of this session.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Whether a close frame of the peer's has been seen.
    #[must_use]
    pub fn is_closed_by_peer(&self) -> bool {
        self.closed
    }
}

/// The events of one chunk. See [`Session::feed`].
#[derive(Debug)]
pub struct Feed<'s> {
    session: &'s mut Session,
    limits: &'s Limits,
    chunk: &'s mut [u8],
    at: usize,
}

/// What a frame turned out to be.
#[derive(Clone, Copy)]
enum What {
    Message(Kind),
    Ping,
    Pong,
    Close(Option<u16>),
}

/// Where an event's bytes lie.
enum Place {
    Chunk(Range<usize>),
    Stash(Range<usize>),
    Assembly,
}

impl Feed<'_> {
    /// The next event, `None` when more bytes are needed or the session is over, an error when
    /// the peer broke a rule, which ends the session.
    // Not an Iterator: an event lends the feed's own bytes.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Result<Event<'_>, Violation>> {
        self.session.forget_used();
        if self.session.over {
            return None;
        }
        let (what, place) = match self.step() {
            Ok(found) => found?,
            Err(violation) => {
                self.session.over = true;
                return Some(Err(violation));
            }
        };
        let data = match place {
            Place::Chunk(range) => &self.chunk[range],
            Place::Stash(range) => &self.session.stash[range],
            Place::Assembly => self.session.assembly.as_ref().map_or(&[][..], |a| &a.data),
        };
        Some(Ok(match what {
            What::Message(kind) => Event::Message { kind, data },
            What::Ping => Event::Ping(data),
            What::Pong => Event::Pong(data),
            What::Close(code) => {
                self.session.over = true;
                self.session.closed = true;
                Event::Close { code, reason: core::str::from_utf8(data).unwrap_or_default() }
            }
        }))
    }

    /// Uses up frames until one makes an event.
    fn step(&mut self) -> Result<Option<(What, Place)>, Violation> {
        while let Some((header, place)) = self.next_frame()? {
            if let Some(found) = self.accept(&header, place)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The next whole frame, unmasked; `None` when it is not all there yet.
    fn next_frame(&mut self) -> Result<Option<(FrameHeader, Place)>, Violation> {
        if self.session.used == self.session.stash.len() {
            self.session.stash = Vec::new();
            self.session.used = 0;
            let rest = &mut self.chunk[self.at..];
            let Some(head) = Head::parse(rest)? else {
                return Ok(None);
            };
            self.session.admit(&head, self.limits)?;
            let Some(payload) = rest.get_mut(head.size..head.size + head.payload) else {
                return Ok(None);
            };
            unmask(payload, head.key);
            let start = self.at + head.size;
            self.at = start + head.payload;
            return Ok(Some((head.header, Place::Chunk(start..self.at))));
        }
        if !self.top_up(head_size) {
            return Ok(None);
        }
        let Some(head) = Head::parse(&self.session.stash[self.session.used..])? else {
            return Ok(None);
        };
        self.session.admit(&head, self.limits)?;
        if !self.top_up(|_| head.size + head.payload) {
            return Ok(None);
        }
        let start = self.session.used + head.size;
        let end = start + head.payload;
        unmask(&mut self.session.stash[start..end], head.key);
        self.session.used = end;
        Ok(Some((head.header, Place::Stash(start..end))))
    }

    /// Moves bytes from the chunk to the stash until the stash's frame has what `needed` says.
    fn top_up(&mut self, needed: impl Fn(&[u8]) -> usize) -> bool {
        loop {
            let session = &mut *self.session;
            let needed = needed(&session.stash[session.used..]);
            let have = session.stash.len() - session.used;
            if have >= needed {
                return true;
            }
            let rest = &self.chunk[self.at..];
            if rest.is_empty() {
                return false;
            }
            let more = &rest[..rest.len().min(needed - have)];
            session.stash_bytes(more, needed);
            self.at += more.len();
        }
    }

    /// Applies RFC 6455 section 5.4 and 5.5 to a whole frame.
    fn accept(
        &mut self,
        header: &FrameHeader,
        place: Place,
    ) -> Result<Option<(What, Place)>, Violation> {
        let session = &mut *self.session;
        let data = match &place {
            Place::Chunk(range) => &self.chunk[range.clone()],
            Place::Stash(range) => &session.stash[range.clone()],
            Place::Assembly => &[],
        };
        match header.opcode {
            OpCode::Control(Control::Ping) => Ok(Some((What::Ping, place))),
            OpCode::Control(Control::Pong) => Ok(Some((What::Pong, place))),
            OpCode::Control(_) => {
                let code = close_code(data)?;
                let skip = code.map_or(0, |_| 2);
                Ok(Some((What::Close(code), place.without(skip))))
            }
            OpCode::Data(Data::Text) if header.is_final => {
                let text = core::str::from_utf8(data);
                text.map_err(|_| Violation::not_utf8("text is not UTF-8"))?;
                Ok(Some((What::Message(Kind::Text), place)))
            }
            OpCode::Data(Data::Binary) if header.is_final => {
                Ok(Some((What::Message(Kind::Binary), place)))
            }
            OpCode::Data(opcode) => {
                let kind = if opcode == Data::Text { Kind::Text } else { Kind::Binary };
                let assembly =
                    session.assembly.get_or_insert_with(|| Box::new(Assembly::new(kind)));
                assembly.add(data, header.is_final, self.limits)?;
                let kind = assembly.kind;
                Ok(header.is_final.then_some((What::Message(kind), Place::Assembly)))
            }
        }
    }
}

impl Drop for Feed<'_> {
    fn drop(&mut self) {
        self.session.forget_used();
        if self.session.over {
            self.session.stash = Vec::new();
            self.session.used = 0;
            self.session.assembly = None;
            return;
        }
        let rest = &self.chunk[self.at..];
        self.session.stash_bytes(rest, 0);
    }
}

impl Session {
    /// Drops what the last event lent.
    fn forget_used(&mut self) {
        if self.used == self.stash.len() {
            self.stash = Vec::new();
            self.used = 0;
        }
        if self.assembly.as_ref().is_some_and(|assembly| assembly.complete) {
            self.assembly = None;
        }
    }

    /// Appends to the stash. Memory follows what has come in, not what was announced: it at most
    /// doubles, and never beyond `whole`, the size of the frame that the unused bytes start.
    fn stash_bytes(&mut self, bytes: &[u8], whole: usize) {
        if self.stash.len() + bytes.len() > self.stash.capacity() {
            // Used bytes make room first, or a driver that always lags would pile them up.
            self.stash.drain(..core::mem::take(&mut self.used));
            let len = self.stash.len() + bytes.len();
            let roomy = (2 * self.stash.capacity()).min(whole).max(len);
            self.stash.reserve_exact(roomy - self.stash.len());
        }
        self.stash.extend_from_slice(bytes);
    }

    /// Checks a frame by its header alone, before its payload is waited for.
    fn admit(&self, head: &Head, limits: &Limits) -> Result<(), Violation> {
        let header = &head.header;
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Violation::protocol("reserved bits are set"));
        }
        if header.mask.is_none() {
            return Err(Violation::protocol("frame is not masked"));
        }
        match header.opcode {
            OpCode::Control(_) => {
                if !header.is_final {
                    return Err(Violation::protocol("control frame is fragmented"));
                }
                // Whatever is not told in one byte, be it short: as the Go original judges.
                if head.size > CONTROL_HEADER {
                    return Err(Violation::protocol("control frame is above 125 bytes"));
                }
            }
            OpCode::Data(opcode) => {
                match (opcode, &self.assembly) {
                    (Data::Continue, None) => {
                        return Err(Violation::protocol("continuation without a start"));
                    }
                    (Data::Text | Data::Binary, Some(_)) => {
                        return Err(Violation::protocol("new message inside a fragmented one"));
                    }
                    _ => {}
                }
                let before = self.assembly.as_ref().map_or(0, |a| a.data.len());
                let left = limits.max_message.saturating_sub(before);
                if head.length > left as u64 {
                    return Err(Violation::too_big("message is above the limit"));
                }
            }
        }
        Ok(())
    }
}

impl Assembly {
    fn new(kind: Kind) -> Self {
        Assembly { kind, data: Vec::new(), fragments: 0, checked: 0, complete: false }
    }

    fn add(&mut self, data: &[u8], last: bool, limits: &Limits) -> Result<(), Violation> {
        self.fragments += 1;
        if !limits.allow(self.fragments, self.data.len() + data.len()) {
            return Err(Violation::too_big("message has too many fragments"));
        }
        self.data.extend_from_slice(data);
        self.complete = last;
        if self.kind == Kind::Text {
            self.check_text(last)?;
        }
        Ok(())
    }

    /// Checks what is new of a text; an incomplete character may only stand at the end.
    fn check_text(&mut self, last: bool) -> Result<(), Violation> {
        match core::str::from_utf8(&self.data[self.checked..]) {
            Ok(_) => self.checked = self.data.len(),
            Err(error) if error.error_len().is_none() && !last => {
                self.checked += error.valid_up_to();
            }
            Err(_) => return Err(Violation::not_utf8("text is not UTF-8")),
        }
        Ok(())
    }
}

impl Place {
    fn without(self, skip: usize) -> Self {
        match self {
            Place::Chunk(range) => Place::Chunk(range.start + skip..range.end),
            Place::Stash(range) => Place::Stash(range.start + skip..range.end),
            Place::Assembly => Place::Assembly,
        }
    }
}

/// A frame's header.
struct Head {
    header: FrameHeader,
    key: [u8; 4],
    /// Bytes of the header.
    size: usize,
    /// The payload's length as it was announced, and as an index.
    length: u64,
    payload: usize,
}

impl Head {
    /// `None` when the header is not all there yet.
    fn parse(bytes: &[u8]) -> Result<Option<Head>, Violation> {
        if bytes.len() < head_size(bytes) {
            return Ok(None);
        }
        let mut cursor = Cursor::new(bytes);
        match FrameHeader::parse(&mut cursor) {
            Ok(Some((header, length))) if length >> 63 == 0 => Ok(Some(Head {
                key: header.mask.unwrap_or_default(),
                header,
                size: cursor.position() as usize,
                length,
                payload: length as usize,
            })),
            Ok(Some(_)) => Err(Violation::protocol("frame length has its top bit set")),
            Ok(None) => Ok(None),
            // What bytes alone can get wrong here is the opcode.
            Err(_) => Err(Violation::protocol("unknown opcode")),
        }
    }
}

/// The size of the header that starts with these bytes, as far as they tell (RFC 6455 section
/// 5.2).
fn head_size(bytes: &[u8]) -> usize {
    let Some(second) = bytes.get(1) else { return 2 };
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mask = if second & 0x80 != 0 { 4 } else { 0 };
    2 + length + mask
}

/// Reads a close frame's body (RFC 6455 section 5.5.1).
fn close_code(body: &[u8]) -> Result<Option<u16>, Violation> {
    let (code, reason) = match body {
        [] => return Ok(None),
        [_] => return Err(Violation::protocol("close frame with half a code")),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    if !valid_close_code(code) {
        return Err(Violation::protocol("close code is not for the wire"));
    }
    match core::str::from_utf8(reason) {
        Ok(_) => Ok(Some(code)),
        Err(_) => Err(Violation::not_utf8("close reason is not UTF-8")),
    }
}

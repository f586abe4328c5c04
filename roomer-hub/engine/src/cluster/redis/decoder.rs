//! An incremental RESP3 decoder for a Redis server's replies and pushes.
//!
//! It is implemented here because the available codec, `redis-protocol` 6.0.0, recurses into nested
//! lists (4 KB of them overflow the stack in a debug build, and 80 KB do in a release build);
//! parses a value from its start again whenever more of it arrives; does not limit lengths; accepts
//! strings that do not end at their length; and depends on 9 crates.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use thiserror::Error;

/// The maximum length of a frame. Every server accepts a frame of this length, since the smallest
/// value of `proto-max-bulk-len` is 1 MiB. A node's frames are smaller, unless a single item needs
/// a larger one.
pub(super) const MAX_PAYLOAD: usize = 1024 * 1024;

/// The maximum length of a line. The longest lines are error messages.
const MAX_LINE: usize = 16 * 1024;

/// The maximum size of a value, including its content. The largest values are a frame with its
/// channel, and the answer to HELLO, which lists the server's modules.
const MAX_VALUE: usize = MAX_PAYLOAD + 64 * 1024;

/// The maximum number of values that one value may contain, including nested ones.
const MAX_COUNT: usize = 4096;

/// The maximum number of bytes shown from a server's error text.
const MAX_TEXT: usize = 300;

/// The number of values recorded for each top-level value, including that value. A push with a
/// frame consists of its head, its kind, the channel and the frame.
const MAX_PARTS: usize = 4;

/// An error in the bytes received from a Redis server.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum DecodeError {
    #[error("this is not a Redis server: it sends {0:?}")]
    Unknown(String),
    #[error("it expects TLS: write rediss:// instead of redis://")]
    Tls,
    #[error("it sends a line of more than {MAX_LINE} bytes, which no Redis server does")]
    Line,
    #[error("it sends {0} bytes at once, more than any frame has")]
    Size(u64),
    #[error("it sends a list of {0} values, more than any answer has")]
    Count(u64),
    #[error("it sends a string that does not end where its length says")]
    End,
}

/// One complete value: a reply or a push.
#[derive(Debug)]
pub(super) struct Value {
    bytes: Bytes,
    /// The recorded values, in the order received: the top-level value, followed by its first
    /// nested values.
    parts: [Part; MAX_PARTS],
    /// The number of received values, including those that are not recorded.
    count: usize,
}

/// A value's type byte, and the range of its content.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    kind: u8,
    start: usize,
    end: usize,
}

impl Value {
    /// Returns the first byte, which is the value's type.
    pub(super) fn kind(&self) -> u8 {
        self.parts[0].kind
    }

    /// Returns the text of a line or string as a single line of limited length.
    pub(super) fn text(&self) -> String {
        text(&self.bytes[self.parts[0].range()])
    }

    /// Returns the kind and the first argument of a push with two arguments, if both are strings.
    pub(super) fn push(&self) -> Option<(&[u8], &[u8])> {
        let [head, kind, channel, _] = &self.parts;
        let is_push = self.count == 4 && head.kind == b'>';
        (is_push && [kind.kind, channel.kind] == *b"$$")
            .then(|| (&self.bytes[kind.range()], &self.bytes[channel.range()]))
    }

    /// Returns the second argument of a push with two arguments, if it is a string.
    pub(super) fn payload(&self) -> Option<Bytes> {
        let payload = &self.parts[3];
        (payload.kind == b'$').then(|| self.bytes.slice(payload.range()))
    }
}

impl Part {
    fn range(&self) -> Range<usize> {
        self.start..self.end
    }
}

/// Buffers the bytes of an incomplete value, plus the rest of the last read.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    buffer: BytesMut,
    /// The length of the buffer's decoded prefix: whole lines and strings of the current value.
    decoded: usize,
    /// The number of bytes after the decoded prefix that have already been searched for the end of
    /// a line.
    searched: usize,
    /// The string whose line has been decoded: its type, and its length.
    string: Option<(u8, usize)>,
    parts: [Part; MAX_PARTS],
    count: usize,
    /// The number of nested values still missing from the current value.
    due: usize,
}

impl Decoder {
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next value, or `None` if more bytes must be received first. Must not be called
    /// again after an error.
    pub(super) fn next(&mut self) -> Result<Option<Value>, DecodeError> {
        loop {
            let part = match self.string {
                Some((kind, length)) => self.string(kind, length)?,
                None => self.line()?,
            };
            let Some(part) = part else { return Ok(None) };
            // The line of a string does not complete a value. Its content is decoded next.
            if self.string.is_some() {
                continue;
            }
            if let Some(recorded) = self.parts.get_mut(self.count) {
                *recorded = part;
            }
            self.count += 1;
            // The top-level value is not counted in `due`.
            self.due = self.due.max(1) - 1;
            self.due += self.members(part)?;
            if self.due == 0 {
                let bytes = self.buffer.split_to(self.decoded).freeze();
                let value = Value { bytes, parts: self.parts, count: self.count };
                (self.decoded, self.searched, self.count) = (0, 0, 0);
                return Ok(Some(value));
            }
        }
    }

    /// Decodes a line. The line of a string only records the string's length.
    fn line(&mut self) -> Result<Option<Part>, DecodeError> {
        // Check for the first byte of a TLS record before searching for the end of a line, which
        // the record need not contain.
        if self.count == 0 && matches!(self.buffer.first(), Some(0x15 | 0x16)) {
            return Err(DecodeError::Tls);
        }
        let (start, from) = (self.decoded, self.decoded.max(self.searched));
        let end = self.buffer[from..].iter().position(|byte| *byte == b'\n');
        let length = end.map_or(self.buffer.len(), |at| from + at) - start;
        if length > MAX_LINE {
            return Err(DecodeError::Line);
        }
        if end.is_none() {
            self.searched = self.buffer.len();
            return Ok(None);
        }
        let line = &self.buffer[start..start + length];
        let Some(([kind], content)) = line.strip_suffix(b"\r").and_then(<[u8]>::split_first_chunk)
        else {
            return Err(unknown(line));
        };
        let part = Part { kind: *kind, start: start + 1, end: start + 1 + content.len() };
        match kind {
            b'$' | b'!' | b'=' => {
                let length = number(content).ok_or_else(|| unknown(line))?;
                let is_bounded = |length: &usize| start + length <= MAX_VALUE;
                // Check the length alone first, so that the sum in `is_bounded` cannot overflow.
                let bounded = usize::try_from(length).ok().filter(|it| *it <= MAX_VALUE);
                let bounded = bounded.filter(is_bounded).ok_or(DecodeError::Size(length))?;
                self.string = Some((*kind, bounded));
            }
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' | b'*' | b'~' | b'>' | b'%' => {}
            _ => return Err(unknown(line)),
        }
        self.decoded += length + 1;
        if self.decoded > MAX_VALUE {
            return Err(DecodeError::Size(self.decoded as u64));
        }
        if let Some((_, length)) = self.string {
            // Reserve space for the whole string, instead of growing the buffer by doubling.
            self.buffer.reserve((self.decoded + length + 2).saturating_sub(self.buffer.len()));
        }
        Ok(Some(part))
    }

    fn string(&mut self, kind: u8, length: usize) -> Result<Option<Part>, DecodeError> {
        let (start, end) = (self.decoded, self.decoded + length);
        let Some(rest) = self.buffer.get(end..end + 2) else { return Ok(None) };
        if rest != b"\r\n" {
            return Err(DecodeError::End);
        }
        self.string = None;
        self.decoded = end + 2;
        Ok(Some(Part { kind, start, end }))
    }

    /// Returns the number of values that must follow a line as its members.
    fn members(&self, part: Part) -> Result<usize, DecodeError> {
        let each = match part.kind {
            b'*' | b'~' | b'>' => 1,
            // A map has a key and a value for each entry.
            b'%' => 2,
            _ => return Ok(0),
        };
        // The type is the byte before the content.
        let line = &self.buffer[part.start - 1..part.end];
        let number = number(&line[1..]).ok_or_else(|| unknown(line))?;
        // Count the values that are already due too, so that nested lists do not multiply the
        // limit.
        let room = MAX_COUNT.saturating_sub(self.count + self.due);
        let fits = |count: &usize| *count <= room;
        let count = usize::try_from(number.saturating_mul(each)).ok().filter(fits);
        count.ok_or(DecodeError::Count(number))
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    let number = digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    });
    number.filter(|_| !digits.is_empty())
}

fn unknown(line: &[u8]) -> DecodeError {
    DecodeError::Unknown(text(line.trim_ascii_end()))
}

/// Returns a server's text as a single line of limited length.
fn text(bytes: &[u8]) -> String {
    // Limit the text and replace its control characters, since it is printed to logs and terminals.
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_TEXT)]);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

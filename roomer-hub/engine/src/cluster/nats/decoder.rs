//! An incremental decoder for a NATS server's operations.
//!
//! It is implemented here because the available codec, `watermelon-proto` 0.2.1, rejects a server whose
//! INFO contains a host name instead of an IP address, leaves an operation in its buffer if INFO
//! arrives in certain pieces, drops the subject of a permissions violation, buffers up to 128 MiB if a
//! length requires it, and panics on some bytes in debug builds.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

/// The maximum length of a line. The longest line is INFO, which lists all servers of a NATS cluster.
const MAX_LINE: usize = 64 * 1024;

/// The maximum number of bytes shown from a server's error text.
const MAX_TEXT: usize = 300;

/// One operation from the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// The JSON in INFO.
    Info(Bytes),
    /// A message for the subscription `sid`.
    Message {
        sid: u64,
        payload: Bytes,
    },
    /// The text in -ERR.
    Error(String),
    Ping,
    Pong,
    Ok,
}

/// An error in the bytes received from a NATS server.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum DecodeError {
    #[error("this is not a NATS server: it sends {0:?}")]
    Unknown(String),
    #[error("it sends a line of more than {MAX_LINE} bytes, which no NATS server does")]
    Line,
    #[error("it sends a message of {0} bytes, more than its own max_payload")]
    Payload(u64),
    #[error("it sends a message that does not end where its length says")]
    End,
}

/// Buffers the bytes that are not decoded yet: at most one line or one message, plus the rest of
/// the last read.
#[derive(Debug)]
pub(super) struct Decoder {
    buffer: BytesMut,
    /// The length of the buffer's prefix that has already been searched for the end of a line.
    searched: usize,
    /// The message whose first line has been decoded: its subscription id, and the length of its
    /// payload.
    message: Option<(u64, usize)>,
    /// The maximum length of an accepted message.
    pub(super) max_payload: usize,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Decoder { buffer: BytesMut::new(), searched: 0, message: None, max_payload: 0 }
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns true if all received bytes are decoded.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.message.is_none()
    }

    /// Returns the next operation, or `None` if more bytes must be received first. Must not be
    /// called again after an error.
    pub(super) fn next(&mut self) -> Result<Option<Operation>, DecodeError> {
        if self.message.is_none() {
            let Some(line) = self.line()? else { return Ok(None) };
            match operation(line)? {
                Line::Whole(operation) => return Ok(Some(operation)),
                Line::Message { sid, length } => {
                    let length = usize::try_from(length)
                        .ok()
                        .filter(|length| *length <= self.max_payload)
                        .ok_or(DecodeError::Payload(length))?;
                    self.message = Some((sid, length));
                    // Reserve space for the whole message, instead of growing the buffer by
                    // doubling.
                    self.buffer.reserve((length + 2).saturating_sub(self.buffer.len()));
                }
            }
        }
        self.message()
    }

    /// Returns the next line without its line ending.
    fn line(&mut self) -> Result<Option<Bytes>, DecodeError> {
        // Continue after the prefix that was already searched: otherwise, a line that arrives byte
        // by byte would take quadratic time.
        let end = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
        let Some(end) = end.map(|at| self.searched + at) else {
            self.searched = self.buffer.len();
            return if self.searched > MAX_LINE { Err(DecodeError::Line) } else { Ok(None) };
        };
        self.searched = 0;
        if end > MAX_LINE {
            return Err(DecodeError::Line);
        }
        let mut line = self.buffer.split_to(end + 1).freeze();
        if !line.ends_with(b"\r\n") {
            return Err(unknown(&line));
        }
        // The line ends with CRLF, so `end` is at least 1.
        line.truncate(end - 1);
        Ok(Some(line))
    }

    fn message(&mut self) -> Result<Option<Operation>, DecodeError> {
        let Some((sid, length)) =
            self.message.filter(|(_, length)| self.buffer.len() >= length + 2)
        else {
            return Ok(None);
        };
        self.message = None;
        let payload = self.buffer.split_to(length).freeze();
        if !self.buffer.starts_with(b"\r\n") {
            return Err(DecodeError::End);
        }
        self.buffer.advance(2);
        Ok(Some(Operation::Message { sid, payload }))
    }
}

enum Line {
    Whole(Operation),
    /// The first line of a message with a payload of `length` bytes.
    Message {
        sid: u64,
        length: u64,
    },
}

fn operation(line: Bytes) -> Result<Line, DecodeError> {
    let (verb, rest) = match line.iter().position(|byte| *byte == b' ') {
        Some(space) => (&line[..space], &line[space + 1..]),
        None => (&line[..], &[][..]),
    };
    let operation = match verb {
        b"MSG" => return message_line(rest).ok_or_else(|| unknown(&line)),
        b"INFO" => Operation::Info(line.slice_ref(rest)),
        b"-ERR" => Operation::Error(text(unquoted(rest.trim_ascii()))),
        b"PING" => Operation::Ping,
        b"PONG" => Operation::Pong,
        b"+OK" => Operation::Ok,
        // Reject HMSG too, which servers send only to clients that announce support for headers.
        _ => return Err(unknown(&line)),
    };
    Ok(Line::Whole(operation))
}

/// Reads `subject sid [reply-to] length`.
fn message_line(rest: &[u8]) -> Option<Line> {
    let mut parts = rest.split(|byte| *byte == b' ').filter(|part| !part.is_empty());
    let (_subject, sid, third) = (parts.next()?, parts.next()?, parts.next()?);
    let length = parts.next().unwrap_or(third);
    if parts.next().is_some() {
        return None;
    }
    Some(Line::Message { sid: number(sid)?, length: number(length)? })
}

/// Removes the quotes around the text in -ERR.
fn unquoted(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"'").and_then(|text| text.strip_suffix(b"'")).unwrap_or(text)
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

fn unknown(line: &[u8]) -> DecodeError {
    DecodeError::Unknown(text(line.trim_ascii_end()))
}

/// Returns a server's text as a single line of limited length.
pub(super) fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_TEXT)]);
    // Replace control characters, since the text is printed to logs and terminals.
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

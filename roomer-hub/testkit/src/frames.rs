//! A second implementation of client-side WebSocket framing (RFC 6455).
//!
//! It shares no code with the server, so an error in either implementation shows as a difference.

/// The first bytes of frames, which consist of the FIN bit and the opcode.
pub mod first_byte {
    /// A continuation frame that is not the last of its message.
    pub const CONTINUATION: u8 = 0x00;
    /// The FIN bit, set on the last frame of a message.
    pub const FINAL: u8 = 0x80;
    /// The opcode of a text message.
    pub const TEXT: u8 = 0x01;
    /// The opcode of a binary message.
    pub const BINARY: u8 = 0x02;
    /// A close frame, with the FIN bit set.
    pub const CLOSE: u8 = 0x88;
    /// A ping, with the FIN bit set.
    pub const PING: u8 = 0x89;
    /// A pong, with the FIN bit set.
    pub const PONG: u8 = 0x8a;
}

/// Appends a client's frame: masked, with the length in its shortest form. `start` is the first
/// byte (see [`first_byte`]).
pub fn write(start: u8, payload: &[u8], key: [u8; 4], out: &mut Vec<u8>) {
    write_head(start, payload.len() as u64, key, out);
    let masked = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key);
    out.extend(masked);
}

/// Appends a frame's header without its payload.
pub fn write_head(start: u8, length: u64, key: [u8; 4], out: &mut Vec<u8>) {
    out.push(start);
    match length {
        0..=125 => out.push(0x80 | length as u8),
        126..=0xffff => {
            out.push(0x80 | 126);
            out.extend((length as u16).to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend(length.to_be_bytes());
        }
    }
    out.extend(key);
}

/// A frame sent by a server.
///
/// The enum is exhaustive: roomer's servers send no other frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A binary message in one frame.
    Binary(&'a [u8]),
    /// A text message in one frame.
    Text(&'a [u8]),
    /// A ping and its payload.
    Ping(&'a [u8]),
    /// A pong and its payload.
    Pong(&'a [u8]),
    /// A close frame: its code, if it has one, and its reason.
    Close(Option<u16>, &'a [u8]),
}

/// Parses the frame at the start of `bytes`. Returns the frame and its size in bytes, or `None` if
/// the frame is incomplete.
///
/// # Errors
///
/// Returns a description of the RFC 6455 violation.
pub fn read(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, String> {
    let &[start, second, ref rest @ ..] = bytes else {
        return Ok(None);
    };
    // The mask bit is set. Servers must not mask frames (RFC 6455 section 5.1).
    if second & 0x80 != 0 {
        return Err("the server masks a frame".into());
    }
    let (length, rest) = match (second, rest) {
        (126, [a, b, rest @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), rest),
        (127, [a, b, c, d, e, f, g, h, rest @ ..]) => {
            (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), rest)
        }
        // The extended length has not arrived completely.
        (126 | 127, _) => return Ok(None),
        (short, rest) => (u64::from(short), rest),
    };
    // Check the length before the payload has arrived: a wrong length may announce bytes that never
    // arrive.
    let shortest = match length {
        0..=125 => second < 126,
        126..=0xffff => second == 126,
        _ => second == 127,
    };
    if !shortest {
        return Err(format!("a length of {length} is not in its shortest form"));
    }
    // RFC 6455 section 5.2: the most significant bit must be 0.
    if length > i64::MAX as u64 {
        return Err(format!("a frame of {length} bytes"));
    }
    // The opcode's high bit marks control frames (RFC 6455 section 5.5).
    if start & 0x08 != 0 && length > 125 {
        return Err(format!("a control frame of {length} bytes"));
    }
    if (rest.len() as u64) < length {
        return Ok(None);
    }
    let (payload, after) = rest.split_at(length as usize);
    let frame = match start {
        0x81 => Frame::Text(payload),
        0x82 => Frame::Binary(payload),
        first_byte::PING => Frame::Ping(payload),
        first_byte::PONG => Frame::Pong(payload),
        first_byte::CLOSE => match payload {
            [] => Frame::Close(None, payload),
            [_] => return Err("a close frame with half a code".into()),
            [high, low, reason @ ..] => {
                if std::str::from_utf8(reason).is_err() {
                    return Err("a close reason that is not UTF-8".into());
                }
                Frame::Close(Some(u16::from_be_bytes([*high, *low])), reason)
            }
        },
        // Fragments are also errors: the server sends each message in one frame.
        _ => return Err(format!("a frame that begins with {start:#04x}")),
    };
    Ok(Some((frame, bytes.len() - after.len())))
}

/// The headers in an upgrade request.
pub const REQUEST_HEADERS: &[(&str, &str)] = &[
    ("Host", "testkit"),
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// Returns a client's upgrade request. `extra` contains additional header lines, each with its line
/// ending.
#[must_use]
pub fn request(target: &str, extra: &str) -> Vec<u8> {
    let mut request = format!("GET {target} HTTP/1.1\r\n");
    for (name, value) in REQUEST_HEADERS {
        request += &format!("{name}: {value}\r\n");
    }
    (request + extra + "\r\n").into_bytes()
}

/// The response that accepts [`request`]. The key and the accept value are the example in RFC 6455.
pub const SWITCHING_PROTOCOLS: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Returns the subprotocol in a response head that accepts [`request`]. Except for that one header,
/// which may be missing, the head must equal [`SWITCHING_PROTOCOLS`].
///
/// # Errors
///
/// Returns a description of the difference.
pub fn accepted_subprotocol(head: &[u8]) -> Result<Option<String>, String> {
    let (head, agreed) =
        (String::from_utf8_lossy(head), String::from_utf8_lossy(SWITCHING_PROTOCOLS));
    let lines = |head: &str| -> Vec<(String, String)> {
        let lines = head.trim_end().split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
        lines.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect()
    };
    let (mut found, due) = (lines(&head), lines(&agreed));
    let place = found.iter().position(|(name, _)| name == "sec-websocket-protocol");
    let subprotocol = place.map(|place| found.remove(place).1);
    match found == due {
        true => Ok(subprotocol),
        false => Err(format!("unexpected response to the handshake: {head:?}")),
    }
}

/// Parses the HTTP response at the start of `bytes`. Returns its status and its size, including the
/// body, or `None` if the response is incomplete.
///
/// # Errors
///
/// Returns a description of the part of the response that is invalid.
pub fn read_response(bytes: &[u8]) -> Result<Option<(u16, usize)>, String> {
    let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| "a head that is not UTF-8")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
    let status = status.and_then(|line| line.get(..3)?.parse().ok());
    let status: u16 = status.ok_or_else(|| format!("no status line: {head:?}"))?;
    // A missing header means an empty body, as in a 101 response.
    let mut length = 0;
    for line in lines {
        let (name, value) = line.split_once(": ").ok_or_else(|| format!("no header: {line:?}"))?;
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().map_err(|_| format!("no length: {value:?}"))?;
        }
    }
    let size =
        usize::checked_add(end + 4, length).ok_or_else(|| format!("a body of {length} bytes"))?;
    Ok((bytes.len() >= size).then_some((status, size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_server_frames() {
        let mut masked = Vec::new();
        write(
            first_byte::FINAL | first_byte::BINARY,
            b"Hello",
            [0x37, 0xfa, 0x21, 0x3d],
            &mut masked,
        );
        assert_eq!(masked, b"\x82\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
        assert_eq!(read(b"\x82\x02hi!"), Ok(Some((Frame::Binary(b"hi"), 4))));
        assert_eq!(read(b"\x82\x02h"), Ok(None));
        assert_eq!(read(b"\x88\x04\x03\xe9ok"), Ok(Some((Frame::Close(Some(1001), b"ok"), 6))));
        for wrong in [&b"\x82\x82"[..], b"\x82\x7e\0\x01h", b"\x88\x01\x03", b"\x02\0", b"\xc2\0"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn lengths_do_not_overflow() {
        assert!(read(&[0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255]).is_err());
        assert_eq!(read(&[0x82, 127, 127, 255, 255, 255, 255, 255, 255, 255]), Ok(None));
        let response =
            format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\n\r\n", usize::MAX);
        assert!(read_response(response.as_bytes()).is_err());
    }
}

//! Extracts captured bytes from hexadecimal digits, hex dumps and HAR files.

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use serde_json::Value;

use crate::args::Bytes;

/// The bit in a frame's second byte that is set if the frame is masked.
const MASKED: u8 = 0x80;
/// The indentation with which Wireshark marks the bytes of the side that sent second.
const INDENT: &str = "    ";

/// The direction in which captured bytes were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Direction {
    ToServer,
    ToClient,
}

/// A piece of captured bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// The next bytes in one direction of a stream of WebSocket frames, which may begin with an
    /// HTTP handshake. The number identifies the stream.
    Stream(u64, Direction, Vec<u8>),
    /// The contents of one message.
    Message(Option<Direction>, Vec<u8>),
}

/// Extracts captured bytes from text.
pub(super) fn pieces(text: &str, bytes: Bytes) -> Result<Vec<Piece>, String> {
    if text.trim_start().starts_with('{') {
        return har(text);
    }
    let is_dump = text.lines().any(|line| dump_line(line).is_some());
    let mut dump = Dump::default();
    let mut pieces = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let found = match dump_line(line) {
            Some(line) => {
                dump.add(line, &mut pieces);
                Ok(())
            }
            None if is_dump => {
                // This line is a heading between the packets of a dump.
                dump.end_of_block(&mut pieces);
                Ok(())
            }
            None if line.trim().is_empty() => Ok(()),
            None => digits(line).map(|found| {
                let stream = pieces.len() as u64;
                pieces.push(plain(stream, found, bytes));
            }),
        };
        found.map_err(|why| format!("line {}: {why}", number + 1))?;
    }
    dump.end_of_block(&mut pieces);
    match pieces.is_empty() {
        true => Err("there are no bytes in it".into()),
        false => Ok(pieces),
    }
}

/// Parses hexadecimal digits. Bytes may be separated by spaces, colons, commas or `0x`.
fn digits(line: &str) -> Result<Vec<u8>, String> {
    let line = line.replace("0x", " ").replace("\\x", " ");
    let digits: String = line.chars().filter(|c| !matches!(c, ' ' | '\t' | ':' | ',')).collect();
    let wrong = |_| "not hexadecimal digits, two for each byte".to_owned();
    HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map_err(wrong)
}

/// Determines whether the bytes of a line are frames or a packet.
fn plain(stream: u64, found: Vec<u8>, bytes: Bytes) -> Piece {
    let is_masked = found.get(1).is_some_and(|second| second & MASKED != 0);
    let direction = if is_masked { Direction::ToServer } else { Direction::ToClient };
    let are_frames = match bytes {
        Bytes::Auto => are_whole_frames(&found),
        Bytes::Frames => true,
        Bytes::Packet => false,
    };
    match are_frames {
        true => Piece::Stream(stream, direction, found),
        false => Piece::Message(None, found),
    }
}

/// Returns true if the bytes are whole frames, and false if they are a packet. A packet's first byte
/// is part of the length of a room's name, while a frame begins with a byte of at least 0x80 or,
/// within a fragmented message, with 0.
fn are_whole_frames(mut bytes: &[u8]) -> bool {
    if bytes.first().is_none_or(|first| first & 0x80 == 0) {
        return false;
    }
    while let [_, second, rest @ ..] = bytes {
        let mask = if second & MASKED != 0 { 4 } else { 0 };
        let (size, length) = match (second & !MASKED, rest) {
            (126, [a, b, ..]) => (2, u64::from(u16::from_be_bytes([*a, *b]))),
            (127, [a, b, c, d, e, f, g, h, ..]) => {
                (8, u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]))
            }
            (126 | 127, _) => return false,
            (length, _) => (0, u64::from(length)),
        };
        let rest = rest.get(size + mask..).unwrap_or_default();
        let Some(next) = usize::try_from(length).ok().and_then(|length| rest.get(length..)) else {
            return false;
        };
        bytes = next;
    }
    bytes.is_empty()
}

/// A line of a hex dump.
struct DumpLine {
    offset: usize,
    is_indented: bool,
    bytes: Vec<u8>,
}

/// Parses a line of a hex dump: an offset of eight hexadecimal digits, or of at least four after
/// `0x`, and up to 16 bytes, as in `0x0010:  4500 003c` or `00000010  45 00 00 3c  E..<`. Returns
/// `None` for other lines.
fn dump_line(line: &str) -> Option<DumpLine> {
    let is_indented = line.starts_with(INDENT);
    let (offset, rest) = line.trim_start().split_once([' ', ':', '\t'])?;
    let is_marked = offset.starts_with("0x");
    let offset = offset.strip_prefix("0x").unwrap_or(offset);
    // An offset has eight digits, or at least four after 0x, while a byte has two.
    if !(is_marked && offset.len() >= 4 || offset.len() == 8) {
        return None;
    }
    let offset = usize::from_str_radix(offset, 16).ok()?;
    let rest = rest.trim_start_matches([':', ' ', '\t']);
    let mut bytes = Vec::new();
    // The bytes end at three spaces, or at two spaces that are followed by a column of characters.
    let mut has_gap = false;
    for group in rest.split(' ') {
        if group.is_empty() {
            // After eight bytes, a gap is permitted once: it divides sixteen bytes in the middle.
            // At any other gap, the column of characters begins.
            if bytes.len() != 8 || has_gap {
                break;
            }
            has_gap = true;
            continue;
        }
        let Ok(mut group) = HEXLOWER_PERMISSIVE.decode(group.as_bytes()) else { break };
        if bytes.len() + group.len() > 16 {
            break;
        }
        bytes.append(&mut group);
    }
    // tcpdump, whose offsets begin with 0x, indents every line, so its indentation does not mark the
    // second side.
    (!bytes.is_empty()).then_some(DumpLine {
        offset,
        is_indented: is_indented && !is_marked,
        bytes,
    })
}

/// The state of the parser for a dump, which is read line by line.
#[derive(Default)]
struct Dump {
    is_indented: bool,
    block: Vec<u8>,
    /// True if the dump contains network packets instead of the contents of a stream.
    has_packets: bool,
    /// The direction of the side that is not indented. It depends on whether that side's first
    /// bytes are a client's.
    first: Option<Direction>,
}

impl Dump {
    fn add(&mut self, line: DumpLine, pieces: &mut Vec<Piece>) {
        if line.is_indented != self.is_indented || line.offset == 0 {
            self.end_of_block(pieces);
            self.is_indented = line.is_indented;
        }
        self.block.extend(line.bytes);
    }

    fn end_of_block(&mut self, pieces: &mut Vec<Piece>) {
        let block = std::mem::take(&mut self.block);
        if block.is_empty() {
            return;
        }
        self.has_packets |= self.first.is_none() && tcp(&block).is_some();
        if self.has_packets {
            // Report only TCP segments with contents. The side with the higher port is assumed
            // to be the client.
            if let Some((source, target, content)) = tcp(&block).filter(|tcp| !tcp.2.is_empty()) {
                let to_server = source > target;
                let direction = if to_server { Direction::ToServer } else { Direction::ToClient };
                let (low, high) = (source.min(target), source.max(target));
                let stream = u64::from(low) << 16 | u64::from(high);
                pieces.push(Piece::Stream(stream, direction, content.to_vec()));
            }
            return;
        }
        let is_masked = block.get(1).is_some_and(|second| second & MASKED != 0);
        let guess = match block.first() {
            Some(b'G') => Direction::ToServer,
            Some(b'H') => Direction::ToClient,
            _ if is_masked => Direction::ToServer,
            _ => Direction::ToClient,
        };
        let plain = *self.first.get_or_insert(match (self.is_indented, guess) {
            (false, guess) => guess,
            (true, guess) => opposite(guess),
        });
        let direction = if self.is_indented { opposite(plain) } else { plain };
        pieces.push(Piece::Stream(0, direction, block));
    }
}

fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::ToServer => Direction::ToClient,
        Direction::ToClient => Direction::ToServer,
    }
}

/// Returns the two ports, and the contents of the TCP segment in an IP packet.
fn tcp(packet: &[u8]) -> Option<(u16, u16, &[u8])> {
    let (total, head) = match packet.first()? >> 4 {
        4 if *packet.get(9)? == 6 => {
            let total = u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]);
            // The length of the header is given in words of four bytes.
            (usize::from(total), usize::from(packet.first()? & 15) * 4)
        }
        // Extension headers are not supported. With TCP they are rare.
        6 if *packet.get(6)? == 6 => {
            let content = u16::from_be_bytes([*packet.get(4)?, *packet.get(5)?]);
            (usize::from(content) + 40, 40)
        }
        _ => return None,
    };
    // Short packets are padded, so cut the packet at its length.
    let segment = packet.get(head..total.min(packet.len()))?;
    let port = |at: usize| Some(u16::from_be_bytes([*segment.get(at)?, *segment.get(at + 1)?]));
    let content = segment.get(usize::from(segment.get(12)? >> 4) * 4..)?;
    Some((port(0)?, port(2)?, content))
}

/// Extracts the WebSocket messages from a HAR file, which browsers export.
fn har(text: &str) -> Result<Vec<Piece>, String> {
    let har: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let entries = har.pointer("/log/entries").and_then(Value::as_array);
    let entries = entries.ok_or("not a HAR file: it has no log.entries")?;
    let mut pieces = Vec::new();
    for entry in entries {
        let messages = entry.get("_webSocketMessages").and_then(Value::as_array);
        for message in messages.into_iter().flatten() {
            let text = |key: &str| message.get(key).and_then(Value::as_str);
            // Chrome exports errors of the connection as messages of this type.
            if text("type") == Some("error") {
                continue;
            }
            let direction = match text("type") {
                Some("send") => Some(Direction::ToServer),
                Some("receive") => Some(Direction::ToClient),
                _ => None,
            };
            let data = text("data").unwrap_or_default();
            let bytes = match message.get("opcode").and_then(Value::as_u64) {
                Some(1) => data.as_bytes().to_vec(),
                // Messages that are not text are exported in Base64.
                _ => BASE64
                    .decode(data.as_bytes())
                    .map_err(|error| format!("a message is not base64: {error}"))?,
            };
            pieces.push(Piece::Message(direction, bytes));
        }
    }
    match pieces.is_empty() {
        true => Err("no request in it has WebSocket messages".into()),
        false => Ok(pieces),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_is_decoded_as_frames_only_if_complete() {
        assert!(are_whole_frames(&[0x82, 2, 1, 2, 0x89, 0]));
        assert!(!are_whole_frames(&[0x82, 3, 1, 2]));
        assert!(!are_whole_frames(&[0x82]));
        assert!(!are_whole_frames(&[4, 0, 0, 0, b'r', b'o', b'o', b'm']));
        assert!(!are_whole_frames(&[]));
    }

    #[test]
    fn character_column_of_dump_is_ignored() {
        let line =
            dump_line("00000010  82 05 00 01 02 03 04 61  62 63                 ....... abc");
        assert_eq!(line.unwrap().bytes, [0x82, 5, 0, 1, 2, 3, 4, 0x61, 0x62, 0x63]);
        let line = dump_line("\t0x0000:  4500 003c 1c46").unwrap();
        assert_eq!((line.offset, line.bytes), (0, vec![0x45, 0, 0, 0x3c, 0x1c, 0x46]));
        let line =
            dump_line("00000000  61 62 63 64 65 66 61 63                           abcdefac");
        assert_eq!(line.unwrap().bytes, *b"abcdefac");
        assert!(dump_line("82060000").is_none());
        assert!(dump_line("12:01:02.123 IP localhost.1 > localhost.2").is_none());
    }

    #[test]
    fn indentation_separates_sides_of_followed_stream() {
        let text = "00000000  47 45 54 20                 GET \n    00000000  82 00    ..\n";
        let expected = [
            Piece::Stream(0, Direction::ToServer, b"GET ".to_vec()),
            Piece::Stream(0, Direction::ToClient, vec![0x82, 0]),
        ];
        assert_eq!(pieces(text, Bytes::Auto).unwrap(), expected);
    }
}

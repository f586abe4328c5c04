//! A second implementation of the server's side of RFC 6455.
//!
//! It is slow and simple, and reads only complete streams.

use roomer_proto::websocket::{Event, Kind, Limits, Violation};

/// An event or a violation, with copies of its data.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Compressed(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    /// A violation, with the close code for it.
    Violation(u16),
}

impl From<Result<Event<'_>, Violation>> for Seen {
    fn from(event: Result<Event<'_>, Violation>) -> Self {
        match event {
            Ok(Event::Message { kind, data }) => match kind {
                Kind::Text => Seen::Text(data.to_vec()),
                Kind::Binary => Seen::Binary(data.to_vec()),
            },
            Ok(Event::Compressed { data, .. }) => Seen::Compressed(data.to_vec()),
            Ok(Event::Ping(data)) => Seen::Ping(data.to_vec()),
            Ok(Event::Pong(data)) => Seen::Pong(data.to_vec()),
            Ok(Event::Close { code, reason }) => Seen::Close(code, reason.to_owned()),
            Err(violation) => Seen::Violation(violation.code),
        }
    }
}

/// The results that a decoder must return for a stream.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) seen: Vec<Seen>,
    /// True if the stream contains a close frame or a violation, after which nothing is read.
    pub(crate) over: bool,
    /// The last position in the stream that is between two messages.
    pub(crate) last_boundary: usize,
}

/// A message that is not complete yet.
struct Unfinished {
    text: bool,
    compressed: bool,
    data: Vec<u8>,
    fragments: u32,
}

struct Frame {
    fin: bool,
    opcode: u8,
    compressed: bool,
    payload: Vec<u8>,
}

/// Reads a stream. `deflate` is true if compression was negotiated for it.
pub(crate) fn read(wire: &[u8], limits: &Limits, deflate: bool) -> Expected {
    let mut expected = Expected::default();
    let mut unfinished = None;
    let mut at = 0;
    while !expected.over {
        let before = unfinished.as_ref().map(|unfinished: &Unfinished| unfinished.data.len());
        let found = match take_frame(wire, &mut at, before, limits, deflate) {
            Ok(None) => break,
            Ok(Some(frame)) => meaning(frame, &mut unfinished, limits),
            Err(code) => Err(code),
        };
        match found {
            Ok(None) => {}
            Ok(Some(seen)) => {
                expected.over = matches!(seen, Seen::Close(..));
                expected.seen.push(seen);
            }
            Err(code) => {
                expected.over = true;
                expected.seen.push(Seen::Violation(code));
            }
        }
        if unfinished.is_none() {
            expected.last_boundary = at;
        }
    }
    expected
}

/// Returns the frame at position `at`; `None` if it is incomplete. If the frame's header is
/// invalid, returns the close code for it.
fn take_frame(
    wire: &[u8],
    at: &mut usize,
    before: Option<usize>,
    limits: &Limits,
    deflate: bool,
) -> Result<Option<Frame>, u16> {
    let [first, second, rest @ ..] = &wire[*at..] else {
        return Ok(None);
    };
    let long = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let masked = second & 0x80 != 0;
    let header = long + if masked { 4 } else { 0 };
    if rest.len() < header {
        return Ok(None);
    }
    let mut length = u128::from(second & 0x7f);
    if long > 0 {
        length = rest[..long].iter().fold(0, |sum, byte| sum << 8 | u128::from(*byte));
    }
    let (fin, reserved, opcode) = (first & 0x80 != 0, first & 0x70, first & 0x0f);
    let fine = match opcode {
        0 => before.is_some(),
        1 | 2 => before.is_none(),
        8..=10 => fin && long == 0,
        _ => false,
    };
    let compressed = deflate && reserved == 0x40 && matches!(opcode, 1 | 2);
    if !fine || !masked || (reserved != 0 && !compressed) || length >> 63 != 0 {
        return Err(1002);
    }
    if opcode < 8 && before.unwrap_or(0) as u128 + length > limits.max_message as u128 {
        return Err(1009);
    }
    let payload = &rest[header..];
    if (payload.len() as u128) < length {
        return Ok(None);
    }
    let key = &rest[long..header];
    let payload: Vec<u8> = payload[..length as usize]
        .iter()
        .enumerate()
        .map(|(index, byte)| byte ^ key[index % 4])
        .collect();
    *at += 2 + header + payload.len();
    Ok(Some(Frame { fin, opcode, compressed, payload }))
}

/// Interprets a complete frame. Returns an event, `None` if the message is not complete yet, or a
/// close code.
fn meaning(
    frame: Frame,
    unfinished: &mut Option<Unfinished>,
    limits: &Limits,
) -> Result<Option<Seen>, u16> {
    let payload = frame.payload;
    match frame.opcode {
        8 => return close(&payload).map(Some),
        9 => return Ok(Some(Seen::Ping(payload))),
        10 => return Ok(Some(Seen::Pong(payload))),
        _ => {}
    }
    let mut message = unfinished.take().unwrap_or(Unfinished {
        text: frame.opcode == 1,
        compressed: frame.compressed,
        data: Vec::new(),
        fragments: 0,
    });
    message.data.extend(payload);
    message.fragments += 1;
    let whole = frame.fin && message.fragments == 1;
    let most = limits.max_fragments as usize + message.data.len() / limits.mean_fragment;
    if message.fragments as usize > most && !whole {
        return Err(1009);
    }
    if message.text && !message.compressed && !may_be_text(&message.data, frame.fin) {
        return Err(1007);
    }
    if !frame.fin {
        *unfinished = Some(message);
        return Ok(None);
    }
    if message.compressed {
        return Ok(Some(Seen::Compressed(message.data)));
    }
    Ok(Some(if message.text { Seen::Text(message.data) } else { Seen::Binary(message.data) }))
}

/// Returns true if the data is UTF-8. Unless `complete` is true, it may end within a character.
fn may_be_text(data: &[u8], complete: bool) -> bool {
    match std::str::from_utf8(data) {
        Ok(_) => true,
        Err(error) => !complete && error.error_len().is_none(),
    }
}

fn close(body: &[u8]) -> Result<Seen, u16> {
    let (code, reason) = match body {
        [] => return Ok(Seen::Close(None, String::new())),
        [_] => return Err(1002),
        [high, low, reason @ ..] => (u16::from(*high) << 8 | u16::from(*low), reason),
    };
    let is_allowed = (1000..5000).contains(&code)
        && !(1004..1007).contains(&code)
        && !(1015..3000).contains(&code);
    if !is_allowed {
        return Err(1002);
    }
    match String::from_utf8(reason.to_vec()) {
        Ok(reason) => Ok(Seen::Close(Some(code), reason)),
        Err(_) => Err(1007),
    }
}

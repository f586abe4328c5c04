//! The payload of an error event, and the protocol's error codes.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// The reason that a request failed or a packet was rejected: the `code` of an
/// [`ERROR`](super::ERROR).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The event has no request handler, or the answer has no pending request.
    Unknown,
    /// A server or application rule rejected the packet.
    Refused,
    /// The handler failed.
    Failed,
    /// The payload, a name or a tag is invalid.
    Invalid,
    /// There are too many unanswered requests, or packets exceed a rate.
    Busy,
    /// The receiver is no longer connected.
    Gone,
    /// The receiver uses the plain protocol, which has no requests.
    Plain,
}

impl ErrorCode {
    /// All codes, in declaration order.
    pub const ALL: [ErrorCode; 7] = [
        ErrorCode::Unknown,
        ErrorCode::Refused,
        ErrorCode::Failed,
        ErrorCode::Invalid,
        ErrorCode::Busy,
        ErrorCode::Gone,
        ErrorCode::Plain,
    ];

    /// Returns the code as written on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::Unknown => "unknown",
            ErrorCode::Refused => "refused",
            ErrorCode::Failed => "failed",
            ErrorCode::Invalid => "invalid",
            ErrorCode::Busy => "busy",
            ErrorCode::Gone => "gone",
            ErrorCode::Plain => "plain",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The payload of an [`ERROR`](super::ERROR), a JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    /// An [`ErrorCode`], or a code that a client has chosen for its own answers.
    pub code: &'a str,
    /// A description for developers, in English.
    pub message: &'a str,
    /// The rejected packet's room and event; `None` if the error answers a request.
    pub packet: Option<(&'a str, &'a str)>,
    /// The number of other packets rejected since the last error, for which the server sends no
    /// separate errors.
    pub more: u64,
}

impl Failure<'_> {
    /// Appends the payload as JSON.
    ///
    /// ```
    /// use roomer_proto::extended::Failure;
    /// let mut payload = Vec::new();
    /// let failure = Failure { code: "gone", message: "it \"left\"", packet: None, more: 0 };
    /// failure.write_json(&mut payload);
    /// assert_eq!(payload, br#"{"code":"gone","message":"it \"left\""}"#);
    /// ```
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let Failure { code, message, packet, more } = *self;
        let fields = [("code", Some(code)), ("message", Some(message))];
        let names = [("room", packet.map(|it| it.0)), ("event", packet.map(|it| it.1))];
        let mut begin = b'{';
        for (key, value) in fields.into_iter().chain(names) {
            let Some(value) = value else { continue };
            out.push(begin);
            write_string(key, out);
            out.push(b':');
            write_string(value, out);
            begin = b',';
        }
        if more > 0 {
            out.extend_from_slice(b",\"more\":");
            out.extend_from_slice(more.to_string().as_bytes());
        }
        out.push(b'}');
    }
}

/// Appends `text` as a JSON string.
fn write_string(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for &byte in text.as_bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            // Write byte by byte: in UTF-8, all bytes of non-ASCII characters are above 0x7f, and
            // JSON does not require escaping them.
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.extend([byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]));
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Parses the code and message of an error sent by a client. A missing or empty code becomes
/// `failed`, and a missing message becomes empty. A payload that is not a JSON object has neither.
///
/// ```
/// use roomer_proto::extended::read_failure;
/// let (code, message) = read_failure(br#"{"code":"busy","more":[1,"]"],"message":"later"}"#);
/// assert_eq!((code.as_str(), message.as_str()), ("busy", "later"));
/// assert_eq!(read_failure(b"?").0, "failed");
/// ```
#[must_use]
pub fn read_failure(payload: &[u8]) -> (String, String) {
    let (mut code, mut message) = (None, None);
    let text = core::str::from_utf8(payload).unwrap_or_default();
    let mut reader = Reader { rest: text };
    let mut is_open = reader.take('{');
    while is_open {
        // If the payload is malformed, use the parts before the error: the request has failed
        // anyway, and the sender's error code is better than none.
        let Some(key) = reader.string() else { break };
        if !reader.take(':') {
            break;
        }
        match (key.as_str(), reader.string()) {
            // The last of several equal keys wins, as in `JSON.parse`.
            ("code", Some(value)) => code = Some(value),
            ("message", Some(value)) => message = Some(value),
            (_, Some(_)) => {}
            (_, None) => reader.skip_value(),
        }
        is_open = reader.take(',');
    }
    let code = code.filter(|code| !code.is_empty());
    (code.unwrap_or_else(|| ErrorCode::Failed.as_str().into()), message.unwrap_or_default())
}

/// A lenient parser for flat JSON objects. It accepts all JSON and some malformed text, never
/// panics, and takes time linear in the length of the text.
struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn take(&mut self, expected: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(expected) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Consumes a string. Consumes nothing if the text does not start with a quote.
    fn string(&mut self) -> Option<String> {
        if !self.take('"') {
            return None;
        }
        let mut text = String::new();
        let mut chars = self.rest.chars();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => match chars.next()? {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'r' => text.push('\r'),
                    'b' => text.push('\u{8}'),
                    'f' => text.push('\u{c}'),
                    'u' => text.push(escaped(&mut chars)?),
                    other => text.push(other),
                },
                other => text.push(other),
            }
        }
        self.rest = chars.as_str();
        Some(text)
    }

    /// Skips a value that is not a string.
    fn skip_value(&mut self) {
        let mut depth = 0_usize;
        loop {
            self.rest = self.rest.trim_start();
            match self.rest.chars().next() {
                None => return,
                // Skip a string as a whole, since brackets and commas inside it are not syntax. An
                // unterminated string leaves nothing to parse.
                Some('"') if self.string().is_none() => {
                    self.rest = "";
                    return;
                }
                Some('"') => continue,
                Some(',' | '}' | ']') if depth == 0 => return,
                Some('{' | '[') => depth += 1,
                // The depth is above zero here, since the arm for zero precedes this one.
                // Accepting `]` as the end of `{` is harmless, because the value is dropped.
                Some('}' | ']') => depth -= 1,
                Some(_) => {}
            }
            let mut chars = self.rest.chars();
            chars.next();
            self.rest = chars.as_str();
        }
    }
}

/// Parses the digits of `\uXXXX`, including the second half of a surrogate pair.
fn escaped(chars: &mut core::str::Chars<'_>) -> Option<char> {
    let unit = |chars: &mut core::str::Chars<'_>| {
        // `get` returns `None` inside a multi-byte character, where slicing would panic.
        let digits = chars.as_str().get(..4)?;
        let unit = u32::from_str_radix(digits, 16).ok()?;
        *chars = chars.as_str()[4..].chars();
        Some(unit)
    };
    let first = unit(chars)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    // Use a copy so that the text after an unpaired surrogate is parsed again.
    let mut ahead = chars.clone();
    let second = match (ahead.next(), ahead.next()) {
        (Some('\\'), Some('u')) => unit(&mut ahead).filter(|unit| (0xdc00..0xe000).contains(unit)),
        _ => None,
    };
    let Some(second) = second else { return Some(char::REPLACEMENT_CHARACTER) };
    *chars = ahead;
    char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn failure_round_trips_as_json(code in "[a-z]{1,9}", message: String, room: String, more: u64) {
            let mut payload = Vec::new();
            let packet = Some((room.as_str(), "chat"));
            Failure { code: &code, message: &message, packet, more }.write_json(&mut payload);
            let value: serde_json::Value = serde_json::from_slice(&payload).unwrap();
            let mut expected = serde_json::json!({
                "code": code, "message": message, "room": room, "event": "chat",
            });
            if more > 0 {
                expected["more"] = more.into();
            }
            prop_assert_eq!(&value, &expected);
            prop_assert_eq!(read_failure(&payload), (code, message));
        }

        #[test]
        fn failures_of_other_encoders_are_parsed(message: String, number: f64, list: Vec<String>) {
            let value = serde_json::json!({
                "before": { "code": "wrong", "deep": [[list], null] }, "code": "x",
                "number": number, "message": message, "after": true,
            });
            let mut text = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(read_failure(text.as_bytes()), ("x".into(), message.clone()));
            text = text.chars().map(|c| match c {
                c if c.is_ascii() => String::from(c),
                c => {
                    let mut units = [0; 2];
                    let units = c.encode_utf16(&mut units).iter();
                    units.map(|unit| alloc::format!("\\u{unit:04x}")).collect()
                }
            }).collect();
            prop_assert_eq!(read_failure(text.as_bytes()), ("x".into(), message));
        }

        #[test]
        fn arbitrary_payloads_do_not_panic(payload: Vec<u8>, text in "[{}\\[\\]\":,\\\\ucode0-9 ]{0,40}") {
            let _ = read_failure(&payload);
            let _ = read_failure(text.as_bytes());
        }
    }

    #[test]
    fn each_code_has_distinct_text() {
        let texts = ErrorCode::ALL.map(ErrorCode::as_str);
        assert_eq!(texts, ["unknown", "refused", "failed", "invalid", "busy", "gone", "plain"]);
    }
}

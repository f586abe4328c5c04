//! A strict scanner for JSON text that is embedded into packets for other clients.
//!
//! It accepts only text that every parser accepts: RFC 8259, without lone surrogates, without numbers
//! beyond the range of a double, and nested at most [`MAX_DEPTH`] levels deep. It does not allocate.

use alloc::string::String;
use core::fmt::Write;

/// The maximum nesting of arrays and objects. Common parsers also limit nesting; the lowest limit
/// is about 100.
pub(crate) const MAX_DEPTH: u32 = 64;

/// A cursor in a JSON text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// Returns true if the text is exactly one JSON value, possibly surrounded by whitespace.
pub(crate) fn is_json(text: &str) -> bool {
    let mut scanner = Scanner::new(text);
    scanner.value().is_some() && scanner.is_at_end()
}

/// Appends `text` as a JSON string.
pub(crate) fn quote(text: &str, out: &mut String) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            // JSON permits control characters in strings only in escaped form.
            '\0'..='\u{1f}' => _ = write!(out, "\\u{:04x}", u32::from(char)),
            _ => out.push(char),
        }
    }
    out.push('"');
}

/// Decodes a JSON string that the scanner has accepted.
pub(crate) fn unquote(string: &str) -> String {
    let inner = string.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let mut chars = inner.unwrap_or_default().chars();
    let mut out = String::new();
    let mut high = None;
    while let Some(char) = chars.next() {
        let meant = match (char, char == '\\') {
            (char, false) => char,
            (_, true) => match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('u') => {
                    let unit = (0..4).fold(0, |unit, _| {
                        unit * 16 + chars.next().and_then(|digit| digit.to_digit(16)).unwrap_or(0)
                    });
                    match (high.take(), unit) {
                        (None, 0xd800..0xdc00) => {
                            // This is the first half of a surrogate pair. The character is appended
                            // with the second half.
                            high = Some(unit);
                            continue;
                        }
                        // The scanner accepts a high surrogate only directly before a low one.
                        (Some(high), low) => {
                            let code =
                                0x1_0000 + ((high - 0xd800) << 10) + low.wrapping_sub(0xdc00);
                            char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
                        }
                        (None, unit) => char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER),
                    }
                }
                Some(other) => other,
                None => break,
            },
        };
        out.push(meant);
    }
    out
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Scanner { text, at: 0 }
    }

    /// Scans one value and returns its text. Returns `None` if the text at the current position is
    /// not a value.
    pub(crate) fn value(&mut self) -> Option<&'a str> {
        self.nested(0)
    }

    /// Skips whitespace, then consumes `byte`. Returns false if the next byte is a different one.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        self.skip_spaces();
        let is_here = self.peek() == Some(byte);
        self.at += usize::from(is_here);
        is_here
    }

    /// Returns true if only whitespace is left.
    pub(crate) fn is_at_end(&mut self) -> bool {
        self.skip_spaces();
        self.at == self.text.len()
    }

    fn nested(&mut self, depth: u32) -> Option<&'a str> {
        self.skip_spaces();
        let start = self.at;
        match self.peek()? {
            // This limit also bounds the recursion, since the text may come from a client.
            b'{' | b'[' if depth == MAX_DEPTH => return None,
            b'{' => self.list(depth, b'}', true)?,
            b'[' => self.list(depth, b']', false)?,
            b'"' => self.string()?,
            b'-' | b'0'..=b'9' => self.number()?,
            _ => self.word()?,
        }
        // The bytes at both ends are ASCII, so the slice never splits a character.
        self.text.get(start..self.at)
    }

    /// Scans an array or object starting at the current position.
    fn list(&mut self, depth: u32, end: u8, has_names: bool) -> Option<()> {
        self.at += 1;
        if self.take(end) {
            return Some(());
        }
        loop {
            if has_names {
                self.skip_spaces();
                self.string()?;
                self.take(b':').then_some(())?;
            }
            self.nested(depth + 1)?;
            if !self.take(b',') {
                return self.take(end).then_some(());
            }
        }
    }

    fn string(&mut self) -> Option<()> {
        (self.next()? == b'"').then_some(())?;
        loop {
            match self.next()? {
                // Scan byte by byte: in UTF-8, no byte of a non-ASCII character is a quote,
                // backslash or control character.
                b'"' => return Some(()),
                b'\\' => self.escape()?,
                0..=0x1f => return None,
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => match self.hex()? {
                // Some parsers reject a whole text because it contains one lone surrogate.
                0xdc00..=0xdfff => None,
                0xd800..=0xdbff => {
                    let is_escape = self.next()? == b'\\' && self.next()? == b'u';
                    (is_escape && (0xdc00..=0xdfff).contains(&self.hex()?)).then_some(())
                }
                _ => Some(()),
            },
            _ => None,
        }
    }

    fn hex(&mut self) -> Option<u32> {
        // Use `get`, because the next four bytes may extend past the end or split a character.
        let digits = self.text.get(self.at..self.at + 4)?;
        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        self.at += 4;
        // `from_str_radix` accepts a sign, but JSON does not.
        u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        match self.digits()? {
            1 => {}
            // RFC 8259 section 6 forbids leading zeros.
            _ if self.text.as_bytes()[start..].starts_with(b"0")
                || self.text.as_bytes()[start..].starts_with(b"-0") =>
            {
                return None;
            }
            _ => {}
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        let value: f64 = self.text.get(start..self.at)?.parse().ok()?;
        // Parsers disagree on larger numbers: some reject them, others return infinity.
        value.is_finite().then_some(())
    }

    /// Scans digits and returns their number; `None` if there are none.
    fn digits(&mut self) -> Option<usize> {
        let rest = &self.text.as_bytes()[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        (count > 0).then_some(count)
    }

    fn word(&mut self) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        let word = ["true", "false", "null"].into_iter().find(|word| rest.starts_with(word))?;
        self.at += word.len();
        Some(())
    }

    fn skip_spaces(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn agrees(text: &str) {
        let expected = serde_json::from_str::<Value>(text);
        assert_eq!(is_json(text), expected.is_ok(), "{text:?}: {expected:?}");
        if let Ok(Value::String(meant)) = expected {
            assert_eq!(unquote(text.trim()), meant, "{text:?}");
        }
    }

    #[test]
    fn accepts_same_texts_as_serde_json() {
        for text in [
            "",
            " ",
            "null",
            " null ",
            "nul",
            "nulll",
            "true",
            "false",
            "0",
            "-0",
            "00",
            "-",
            "01",
            "-01",
            "10",
            "1.",
            "1.5",
            ".5",
            "1e5",
            "1e",
            "1E+5",
            "1e-999",
            "1e999",
            "-1e999",
            "+1",
            "1 2",
            "1,",
            "[]",
            "[",
            "]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1,2]",
            "{}",
            "{\"a\"}",
            "{a:1}",
            "{\"a\":1}",
            "{\"a\":1,}",
            "{\"a\":1,\"a\":2}",
            "{\"a\" : [ {} ] }",
            "\"\"",
            "\"",
            "\"a\nb\"",
            "\"\\n\\u00e9\\/\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\\ud800\"",
            "\"\\udc00\"",
            "\"\\ud83d\\ude00\"",
            "\"\\ud83d\\u0041\"",
            "\"\\ud83d x\"",
            "\"é\"",
            "'a'",
            "NaN",
            "Infinity",
            "\u{feff}1",
            "\u{a0}1",
            "\"\\u+123\"",
            "\"\u{7f}\"",
            "1],[2",
            "1}",
            "{\"a\":1]",
            "[1}",
            "\"a\",\"b\"",
            "123456789012345678901234567890",
        ] {
            agrees(text);
        }
    }

    #[test]
    fn nesting_is_limited_to_64() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_json(&nested(64)) && !is_json(&nested(65)));
        assert!(!is_json(&"[".repeat(1_000_000)));
        let objects = |depth| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert!(is_json(&objects(64)) && !is_json(&objects(65)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn agrees_with_serde_json_on_short_texts(
            text in r#"[\[\]{},:"0-2eE.+\-nultrfase\\ ud8c]{0,12}"#
        ) {
            agrees(&text);
        }

        #[test]
        fn quoted_text_round_trips(text in any::<String>()) {
            let mut quoted = String::new();
            quote(&text, &mut quoted);
            prop_assert!(is_json(&quoted));
            prop_assert_eq!(unquote(&quoted), text.clone());
            prop_assert_eq!(serde_json::from_str::<Value>(&quoted).unwrap(), Value::from(text));
        }

        #[test]
        fn texts_of_other_encoders_are_accepted(text in any::<String>(), number in any::<f64>()) {
            let value = serde_json::json!({ "text": [&text], "number": number }).to_string();
            prop_assert!(is_json(&value));
        }
    }
}

//! A parser for `Sec-WebSocket-Extensions` headers (RFC 6455 section 9.1).

use alloc::string::String;
use alloc::vec::Vec;

/// An extension and its parameters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Extension<'a> {
    pub(super) name: &'a str,
    pub(super) params: Vec<(&'a str, Option<String>)>,
}

/// Parses the extensions in one header line. Parsing stops at the first malformed element,
/// since the start of the next one is unknown.
pub(super) fn parse(line: &[u8]) -> impl Iterator<Item = Extension<'_>> {
    let mut rest = Some(Input(core::str::from_utf8(line).unwrap_or_default()));
    core::iter::from_fn(move || {
        let mut input = rest.take()?;
        // A list may contain empty elements (RFC 9110 section 5.6.1).
        while input.take(',') {}
        let extension = input.extension()?;
        // More elements follow only after a comma.
        if input.take(',') {
            rest = Some(input);
        // Something other than a comma follows, so the element is malformed and dropped.
        } else if !input.is_empty() {
            return None;
        }
        Some(extension)
    })
}

/// The unparsed rest of a line.
struct Input<'a>(&'a str);

impl<'a> Input<'a> {
    fn is_empty(&mut self) -> bool {
        self.0 = self.0.trim_start_matches([' ', '\t']);
        self.0.is_empty()
    }

    /// Consumes a separator and the whitespace around it.
    fn take(&mut self, separator: char) -> bool {
        self.0 = self.0.trim_start_matches([' ', '\t']);
        let rest = self.0.strip_prefix(separator);
        self.0 = rest.unwrap_or(self.0).trim_start_matches([' ', '\t']);
        rest.is_some()
    }

    fn extension(&mut self) -> Option<Extension<'a>> {
        let name = self.token()?;
        let mut params = Vec::new();
        while self.take(';') {
            let name = self.token()?;
            let value = if self.take('=') { Some(self.value()?) } else { None };
            params.push((name, value));
        }
        Some(Extension { name, params })
    }

    fn token(&mut self) -> Option<&'a str> {
        let end = self.0.find(|char| !is_token_char(char)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    /// Parses a token or a quoted string.
    fn value(&mut self) -> Option<String> {
        let Some(quoted) = self.0.strip_prefix('"') else {
            return self.token().map(String::from);
        };
        let mut value = String::new();
        let mut chars = quoted.chars();
        loop {
            match chars.next()? {
                '"' => break,
                // RFC 9110 section 5.6.4: a backslash quotes the next character.
                '\\' => value.push(chars.next()?),
                char => value.push(char),
            }
        }
        self.0 = chars.as_str();
        // RFC 6455 section 9.1: a quoted value must be a valid token once it is unquoted.
        (!value.is_empty() && value.chars().all(is_token_char)).then_some(value)
    }
}

fn is_token_char(char: char) -> bool {
    char.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(char)
}

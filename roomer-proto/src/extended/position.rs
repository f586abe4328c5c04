//! Positions in a room's history, and requests for missed messages.

use core::fmt::{self, Display};

use crate::extended::json_text::Scanner;

/// A position in a room's history. Each time a history starts, it gets a new epoch; its messages
/// are numbered from 1. Both numbers are below 2^53, so JavaScript represents them exactly.
///
/// ```
/// use roomer_proto::extended::Position;
/// assert_eq!(Position { epoch: 7, number: 12 }.to_string(), "[7,12]");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The history's epoch.
    pub epoch: u64,
    /// The number of the last message; 0 before the first message.
    pub number: u64,
}

/// Formats the position as a JSON array.
impl Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{},{}]", self.epoch, self.number)
    }
}

/// The payload of a `join` for a room with history: the JSON object
/// `{"at":[EPOCH,NUMBER],"last":N}`, in which either key may be omitted.
///
/// ```
/// use roomer_proto::extended::{Position, Recall};
/// let recall = Recall::parse(br#"{"at": [7, 12]}"#).unwrap();
/// assert_eq!((recall.at, recall.last), (Some(Position { epoch: 7, number: 12 }), None));
/// assert_eq!(Recall::parse(br#"{"last":20}"#).unwrap().last, Some(20));
/// assert_eq!(Recall::parse(b"hello"), None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recall {
    /// The last position that the client has seen. The server sends the messages after it.
    pub at: Option<Position>,
    /// The number of latest messages to send if the client has not seen any, or if the messages
    /// after its position are no longer complete.
    pub last: Option<u32>,
}

impl Recall {
    /// The maximum length of a payload in bytes. A longer one is not parsed.
    const MAX_LEN: usize = 256;

    /// Parses the payload of a `join`, ignoring unknown keys. Returns `None` if the payload does
    /// not request messages; the join is then an ordinary one.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        // A join's payload may be as long as any message, but a recall never exceeds this length.
        let text = core::str::from_utf8(payload).ok().filter(|text| text.len() <= Self::MAX_LEN)?;
        let mut scanner = Scanner::new(text);
        let mut recall = Recall::default();
        scanner.take(b'{').then_some(())?;
        loop {
            let key = scanner.value()?;
            scanner.take(b':').then_some(())?;
            let value = scanner.value()?;
            match key {
                "\"at\"" => recall.at = Some(Position::parse(value)?),
                "\"last\"" => recall.last = Some(value.parse().ok()?),
                _ if key.starts_with('"') => {}
                _ => return None,
            }
            if !scanner.take(b',') {
                break;
            }
        }
        // A payload with trailing bytes belongs to the application, and the join is an ordinary
        // one.
        let is_whole = scanner.take(b'}') && scanner.is_at_end();
        (is_whole && recall != Recall::default()).then_some(recall)
    }
}

impl Position {
    /// Parses a position from JSON.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let parts = text.strip_prefix('[')?.strip_suffix(']')?;
        // The scanner has validated the text as JSON. Parsing as `u64` also rejects fractions,
        // negative numbers and additional elements.
        let (epoch, number) = parts.split_once(',')?;
        Some(Position { epoch: epoch.trim().parse().ok()?, number: number.trim().parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parsed = (Option<(u64, u64)>, Option<u32>);

    fn parse(payload: &str) -> Option<Parsed> {
        let recall = Recall::parse(payload.as_bytes())?;
        Some((recall.at.map(|at| (at.epoch, at.number)), recall.last))
    }

    #[test]
    fn recall_keys_in_any_order_and_spacing() {
        assert_eq!(parse(r#"{"at":[1,2]}"#), Some((Some((1, 2)), None)));
        assert_eq!(parse(r#"{"last":3,"at":[1,2]}"#), Some((Some((1, 2)), Some(3))));
        let spaced = " {\n\t\"at\" : [ 1 , 9007199254740991 ] ,\r\n \"last\" : 0 } ";
        assert_eq!(parse(spaced), Some((Some((1, (1 << 53) - 1)), Some(0))));
    }

    #[test]
    fn other_payloads_are_not_recalls() {
        for payload in [
            "",
            "{}",
            "[1,2]",
            r#"{"at":[1]}"#,
            r#"{"at":[1,2],}"#,
            r#"{"at":[1,-2]}"#,
            r#"{"at":[1,2.5]}"#,
            r#"{"at":[,2]}"#,
            r#"{"at":[1,123456789012345678901]}"#,
            r#"{"last":4294967296}"#,
            r#"{"last":3} x"#,
            r#"{"last" 3}"#,
            r#"{"lasting":3}"#,
            r#"{"last":3"#,
            r#"{"other":3}"#,
            r#"{"at":[1,2,3]}"#,
            r#"{"at":null}"#,
            r#"{"at":[1,2]"last":3}"#,
        ] {
            assert_eq!(parse(payload), None, "{payload}");
        }
        assert_eq!(Recall::parse(b"{\"at\":[\xff,1]}"), None);
        let long = format!("{{\"last\":3{}}}", " ".repeat(300));
        assert_eq!(parse(&long), None);
        assert_eq!(parse(r#"{"new":[{}],"last":3}"#), Some((None, Some(3))));
    }
}

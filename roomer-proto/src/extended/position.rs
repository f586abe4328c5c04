//! Positions in the memory of a room, and how a client asks for what it has missed.

use core::fmt::{self, Display};

use crate::extended::json_text::Scanner;

/// A position in the memory of a room: the epoch is new whenever the memory begins, the number
/// counts its messages from 1. Both are below 2^53, so that JavaScript reads them exactly.
///
/// ```
/// use roomer_proto::extended::Position;
/// assert_eq!(Position { epoch: 7, number: 12 }.to_string(), "[7,12]");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The epoch of the memory.
    pub epoch: u64,
    /// The number of the last message; 0 before the first.
    pub number: u64,
}

/// Formats the position as JSON.
impl Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{},{}]", self.epoch, self.number)
    }
}

/// The payload of a `join` to a room that remembers: JSON, `{"at":[EPOCH,NUMBER],"last":N}`, of which
/// either may be left out.
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
    /// The last position that the client has seen; it requests the messages after it.
    pub at: Option<Position>,
    /// The number of messages that the client wants if it has not seen any, or if those after its
    /// position are not complete.
    pub last: Option<u32>,
}

impl Recall {
    /// The longest payload that is read.
    const MAX_LEN: usize = 256;

    /// Reads the payload of a `join`; unknown keys are ignored. Returns `None` if it does not ask for
    /// anything, so that the join is an ordinary one.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        // A join's payload may have any length up to that of a message; a recall never needs more
        // than this.
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
        // A payload that merely begins like one is the application's own, and the join an ordinary
        // one.
        let is_whole = scanner.take(b'}') && scanner.is_at_end();
        (is_whole && recall != Recall::default()).then_some(recall)
    }
}

impl Position {
    /// Reads a position from JSON.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let parts = text.strip_prefix('[')?.strip_suffix(']')?;
        // The scanner has accepted the text as JSON; `u64` also rejects fractions, negative numbers
        // and a second comma.
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
    fn both_keys_in_any_order_and_spacing() {
        assert_eq!(parse(r#"{"at":[1,2]}"#), Some((Some((1, 2)), None)));
        assert_eq!(parse(r#"{"last":3,"at":[1,2]}"#), Some((Some((1, 2)), Some(3))));
        let spaced = " {\n\t\"at\" : [ 1 , 9007199254740991 ] ,\r\n \"last\" : 0 } ";
        assert_eq!(parse(spaced), Some((Some((1, (1 << 53) - 1)), Some(0))));
    }

    #[test]
    fn anything_else_is_not_a_recall() {
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

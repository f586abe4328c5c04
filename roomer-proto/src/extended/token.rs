//! The token for resuming a session.

use alloc::string::String;
use core::fmt;

use crate::ConnId;

/// The length of a [`SessionToken`] as text.
pub const TOKEN_LEN: usize = ConnId::LEN + 1 + 32;

/// The credential for a session: the id of its connection, by which the server finds the
/// session, and a secret of 16 random bytes. Each token can be used once.
///
/// ```
/// use roomer_proto::{ConnId, extended::SessionToken};
///
/// let token = SessionToken::new(ConnId::from_random_bytes([7; 16]), [1; 16]);
/// let text = token.to_text();
/// assert_eq!(text, "07070707-0707-4707-8707-070707070707.01010101010101010101010101010101");
/// assert_eq!(SessionToken::parse(&text), Some(token));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SessionToken {
    id: ConnId,
    secret: [u8; 16],
}

impl SessionToken {
    /// Creates a token from 16 random bytes, which must come from the operating system or a
    /// cryptographically secure generator.
    #[must_use]
    pub fn new(id: ConnId, secret: [u8; 16]) -> Self {
        SessionToken { id, secret }
    }

    /// Parses a token. Only the canonical form is accepted.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, digits) = text.split_once('.')?;
        let digits: &[u8; 32] = digits.as_bytes().try_into().ok()?;
        let mut secret = [0; 16];
        for (byte, pair) in secret.iter_mut().zip(digits.chunks_exact(2)) {
            // Accept only lower case, so that each token has exactly one textual form, like an id.
            *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
        }
        Some(SessionToken { id: ConnId::parse(id)?, secret })
    }

    /// Returns the id of the session's connection.
    #[must_use]
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// Returns the secret.
    #[must_use]
    pub fn secret(&self) -> [u8; 16] {
        self.secret
    }

    /// Returns true if the token has this secret. The comparison takes constant time so that a
    /// client cannot guess the secret byte by byte.
    #[must_use]
    pub fn has_secret(&self, secret: &[u8; 16]) -> bool {
        let pairs = self.secret.iter().zip(secret);
        let difference = pairs.fold(0, |seen, (one, other)| {
            // Keep the compiler from exiting the loop early.
            core::hint::black_box(seen | (one ^ other))
        });
        difference == 0
    }

    /// Returns the token as text, [`TOKEN_LEN`] bytes of ASCII.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(TOKEN_LEN);
        text.push_str(self.id.as_str());
        text.push('.');
        let digits = self.secret.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        text.extend(digits.map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])));
        text
    }
}

/// Returns the value of a lower-case hexadecimal digit.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// Omits the secret to keep it out of logs.
impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionToken").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    fn token() -> SessionToken {
        let secret = core::array::from_fn(|index| index as u8 * 16 + 1);
        SessionToken::new(ConnId::from_random_bytes([9; 16]), secret)
    }

    #[test]
    fn only_wire_form_is_parsed() {
        let text = token().to_text();
        assert_eq!(text.len(), TOKEN_LEN);
        assert_eq!(SessionToken::parse(&text), Some(token()));
        let changed = [
            text.to_uppercase(),
            text.replace('.', ":"),
            format!("{text}0"),
            text[..text.len() - 1].into(),
            text.replace("f1", "g1"),
            text[1..].into(),
            String::new(),
        ];
        for text in changed {
            assert_eq!(SessionToken::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn secret_with_flipped_bit_is_not_equal() {
        let token = token();
        assert!(token.has_secret(&token.secret));
        for bit in 0..128 {
            let mut other = token.secret;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!token.has_secret(&other), "{bit}");
        }
    }

    #[test]
    fn debug_output_hides_secret() {
        assert!(!format!("{:?}", token()).contains("f1"));
    }
}

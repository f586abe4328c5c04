//! Negotiating permessage-deflate (RFC 7692 sections 5 and 7.1).

use core::fmt;

use super::header::{self, Extension};

const NAME: &str = "permessage-deflate";
const SERVER_NO_CONTEXT: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT: &str = "client_no_context_takeover";
const SERVER_WINDOW: &str = "server_max_window_bits";
const CLIENT_WINDOW: &str = "client_max_window_bits";

/// The value of `Sec-WebSocket-Extensions` in a client's request.
pub const OFFER: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// The maximum window size, 32 KiB, which is the default for both sides.
const MAX_WINDOW_BITS: u8 = 15;

/// The negotiated parameters of permessage-deflate, without context takeover in either direction.
///
/// Its `Display` output is the value of the `Sec-WebSocket-Extensions` header in the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The limit on the server's window, if the client has set one.
    server_window_bits: Option<u8>,
}

/// The error for a response that accepts an offer in a way that the client does not support. The
/// client fails the connection (RFC 7692 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the response selects extensions that were not offered")]
pub struct WrongAnswer;

impl Agreement {
    /// Accepts the first of a client's offers that a server supports; `None` if there is none.
    /// An offer is declined if it is malformed, or has an unknown, repeated or out-of-range
    /// parameter (RFC 7692 section 7.1).
    ///
    /// `lines` are the values of `Sec-WebSocket-Extensions` in the request.
    #[must_use]
    pub fn accept<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut offers = lines.into_iter().flat_map(header::parse);
        offers.find_map(|offer| Agreement::of(&offer, Side::Offer))
    }

    /// Parses a server's response to [`OFFER`]. Returns `None` if the server declined the offer.
    ///
    /// `lines` are the values of `Sec-WebSocket-Extensions` in the response.
    ///
    /// # Errors
    ///
    /// Returns a [`WrongAnswer`] if the response lacks one of the two offered parameters, or
    /// contains a parameter other than these and the server's window.
    pub fn confirm<'a>(
        lines: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Option<Self>, WrongAnswer> {
        let mut lines = lines.into_iter().filter(|line| !line.trim_ascii().is_empty());
        let Some(line) = lines.next() else { return Ok(None) };
        let mut answers = header::parse(line);
        let answer = answers.next().ok_or(WrongAnswer)?;
        let agreement = Agreement::of(&answer, Side::Answer).ok_or(WrongAnswer)?;
        // Nothing may follow the answer, not even a malformed element, which other parsers might
        // accept.
        let is_only = answers.next().is_none() && lines.next().is_none() && !line.contains(&b',');
        if is_only { Ok(Some(agreement)) } else { Err(WrongAnswer) }
    }

    /// Returns true if the server may use a window of 32 KiB, as a [`Deflater`](super::Deflater)
    /// does. Otherwise, the server sends its messages uncompressed, which is always permitted.
    #[must_use]
    pub fn has_full_window(&self) -> bool {
        self.server_window_bits.is_none_or(|bits| bits == MAX_WINDOW_BITS)
    }

    fn of(extension: &Extension<'_>, side: Side) -> Option<Self> {
        if extension.name != NAME {
            return None;
        }
        let mut agreement = Agreement { server_window_bits: None };
        for (at, (name, value)) in extension.params.iter().enumerate() {
            // RFC 7692 section 7.1: a repeated parameter invalidates the offer or response.
            if extension.params[..at].iter().any(|(earlier, _)| earlier == name) {
                return None;
            }
            match (*name, value.as_deref()) {
                (SERVER_NO_CONTEXT | CLIENT_NO_CONTEXT, None) => {}
                (SERVER_WINDOW, Some(bits)) => {
                    agreement.server_window_bits = Some(window_bits(bits)?);
                }
                // The client offers to limit its window on request. The server can inflate any
                // window size.
                (CLIENT_WINDOW, None) if side == Side::Offer => {}
                (CLIENT_WINDOW, Some(bits)) if side == Side::Offer => {
                    window_bits(bits)?;
                }
                _ => return None,
            }
        }
        let has = |param| extension.params.iter().any(|(name, _)| *name == param);
        // A response must repeat both parameters. Without the server's parameter, a message could
        // refer to earlier messages, which an `Inflater` does not keep.
        let is_complete = side == Side::Offer || has(SERVER_NO_CONTEXT) && has(CLIENT_NO_CONTEXT);
        is_complete.then_some(agreement)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Offer,
    Answer,
}

/// Parses a number from 8 to 15 without leading zeros (RFC 7692 sections 7.1.2.1 and 7.1.2.2).
fn window_bits(text: &str) -> Option<u8> {
    match text {
        "8" | "9" | "10" | "11" | "12" | "13" | "14" | "15" => text.parse().ok(),
        _ => None,
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A server may include the client's parameter even if the client did not offer it
        // (section 7.1.1.2).
        write!(f, "{NAME}; {SERVER_NO_CONTEXT}; {CLIENT_NO_CONTEXT}")?;
        match self.server_window_bits {
            Some(bits) => write!(f, "; {SERVER_WINDOW}={bits}"),
            None => Ok(()),
        }
    }
}

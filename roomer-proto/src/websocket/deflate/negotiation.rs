//! The negotiation of permessage-deflate (RFC 7692 sections 5 and 7.1).

use core::fmt;

use super::header::{self, Extension};

const NAME: &str = "permessage-deflate";
const SERVER_NO_CONTEXT: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT: &str = "client_no_context_takeover";
const SERVER_WINDOW: &str = "server_max_window_bits";
const CLIENT_WINDOW: &str = "client_max_window_bits";

/// The value of `Sec-WebSocket-Extensions` in the request of a client.
pub const OFFER: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// The largest window, 32 KiB, which is the default of both sides.
const MAX_WINDOW_BITS: u8 = 15;

/// permessage-deflate as both sides have agreed on it, without context takeover in either direction.
///
/// Displayed, it is the value of the header `Sec-WebSocket-Extensions` in the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The client's limit on the server's window, if it has one.
    server_window_bits: Option<u8>,
}

/// The server has answered an offer with what the client cannot accept. The client fails the
/// connection (RFC 7692 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the response selects extensions that were not offered")]
pub struct WrongAnswer;

impl Agreement {
    /// Returns the agreement on the first of a client's offers that a server can accept, or `None`. An
    /// offer that is malformed, or has a parameter that is unknown, repeated or out of range, is declined
    /// (RFC 7692 section 7.1).
    ///
    /// `lines` are the values of `Sec-WebSocket-Extensions` in the request.
    #[must_use]
    pub fn accept<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut offers = lines.into_iter().flat_map(header::parse);
        offers.find_map(|offer| Agreement::of(&offer, Side::Offer))
    }

    /// Reads a server's answer to [`OFFER`]. `None` if the server has declined it.
    ///
    /// `lines` are the values of `Sec-WebSocket-Extensions` in the response.
    ///
    /// # Errors
    ///
    /// [`WrongAnswer`] if the answer has anything but this offer's parameters, or not both of them.
    pub fn confirm<'a>(
        lines: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Option<Self>, WrongAnswer> {
        let mut lines = lines.into_iter().filter(|line| !line.trim_ascii().is_empty());
        let Some(line) = lines.next() else { return Ok(None) };
        let mut answers = header::parse(line);
        let answer = answers.next().ok_or(WrongAnswer)?;
        let agreement = Agreement::of(&answer, Side::Answer).ok_or(WrongAnswer)?;
        // Also what follows and is not an extension: nothing is agreed on that only one side reads.
        let is_only = answers.next().is_none() && lines.next().is_none() && !line.contains(&b',');
        if is_only { Ok(Some(agreement)) } else { Err(WrongAnswer) }
    }

    /// Returns true if the server may use a window of 32 KiB, as a [`Deflater`](super::Deflater) does. A
    /// client with a smaller window gets its messages as they are, which is always permitted.
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
            // RFC 7692 section 7.1: the same parameter twice makes the offer or the answer invalid.
            if extension.params[..at].iter().any(|(earlier, _)| earlier == name) {
                return None;
            }
            match (*name, value.as_deref()) {
                (SERVER_NO_CONTEXT | CLIENT_NO_CONTEXT, None) => {}
                (SERVER_WINDOW, Some(bits)) => {
                    agreement.server_window_bits = Some(window_bits(bits)?);
                }
                // The client can limit its window if it is asked to. The server inflates any.
                (CLIENT_WINDOW, None) if side == Side::Offer => {}
                (CLIENT_WINDOW, Some(bits)) if side == Side::Offer => {
                    window_bits(bits)?;
                }
                _ => return None,
            }
        }
        let has = |param| extension.params.iter().any(|(name, _)| *name == param);
        // An answer has to repeat both: without the server's, a message could refer to earlier
        // ones, which an `Inflater` does not keep.
        let is_complete = side == Side::Offer || has(SERVER_NO_CONTEXT) && has(CLIENT_NO_CONTEXT);
        is_complete.then_some(agreement)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Offer,
    Answer,
}

/// Reads a number from 8 to 15 without leading zeros (RFC 7692 sections 7.1.2.1 and 7.1.2.2).
fn window_bits(text: &str) -> Option<u8> {
    match text {
        "8" | "9" | "10" | "11" | "12" | "13" | "14" | "15" => text.parse().ok(),
        _ => None,
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A server may ask for the client's parameter although the client has not offered it (section
        // 7.1.1.2).
        write!(f, "{NAME}; {SERVER_NO_CONTEXT}; {CLIENT_NO_CONTEXT}")?;
        match self.server_window_bits {
            Some(bits) => write!(f, "; {SERVER_WINDOW}={bits}"),
            None => Ok(()),
        }
    }
}

//! Protocol violations by a peer, and their close codes.

use crate::close;

/// Returns true if a close frame may contain this code: 1000–1003, 1007–1014 or 3000–4999 (RFC
/// 6455 section 7.4.2).
#[must_use]
pub fn valid_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// A violation of RFC 6455 or of a limit by the peer. The decoder reports nothing after it. The
/// violation provides the code and reason of the close frame to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (close {code})")]
pub struct Violation {
    /// The close code: 1002, 1007 or 1009.
    pub code: u16,
    /// The reason, which fits into a close frame.
    pub reason: &'static str,
}

impl Violation {
    pub(crate) const fn protocol(reason: &'static str) -> Self {
        Violation { code: close::PROTOCOL.code, reason }
    }

    pub(crate) const fn invalid_payload(reason: &'static str) -> Self {
        Violation { code: close::INVALID_PAYLOAD.code, reason }
    }

    pub(crate) const fn too_big(reason: &'static str) -> Self {
        Violation { code: close::TOO_BIG.code, reason }
    }
}

//! Violations of RFC 6455 or of a limit, with their close codes.

use crate::close;

/// Returns true if a close frame may have this code: 1000–1003, 1007–1014 and 3000–4999 (RFC 6455
/// section 7.4.2).
#[must_use]
pub fn valid_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// A violation of RFC 6455 or of a limit by the peer. It ends the session; the close frame to send
/// has this code and reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (close {code})")]
pub struct Violation {
    /// The close code: 1002, 1007 or 1009.
    pub code: u16,
    /// The reason, short enough for a close frame.
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

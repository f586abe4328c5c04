//! Close codes, and what earns them.

/// The close codes that roomer uses (RFC 6455 section 7.4.1 and the IANA registry).
pub mod code {
    /// The purpose is fulfilled.
    pub const NORMAL: u16 = 1000;
    /// The server shuts down.
    pub const GOING_AWAY: u16 = 1001;
    /// The peer broke the WebSocket or the packet format.
    pub const PROTOCOL: u16 = 1002;
    /// A kind of message that is not served here (text).
    pub const UNSUPPORTED: u16 = 1003;
    /// Text or a name that is not UTF-8.
    pub const NOT_UTF8: u16 = 1007;
    /// The application's rules, or a rate.
    pub const POLICY: u16 = 1008;
    /// A message above the limit.
    pub const TOO_BIG: u16 = 1009;
    /// A handler failed.
    pub const INTERNAL: u16 = 1011;
    /// The peer does not read what it is sent.
    pub const TOO_SLOW: u16 = 1013;
}

/// Whether a peer may put `code` in a close frame: 1000–1003, 1007–1014 and 3000–4999
/// (RFC 6455 section 7.4.2).
#[must_use]
pub fn valid_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// The peer broke a rule of RFC 6455 or a limit. Nothing after it on the connection is looked at;
/// the close frame to send has this code and this reason.
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
        Violation { code: code::PROTOCOL, reason }
    }

    pub(crate) const fn not_utf8(reason: &'static str) -> Self {
        Violation { code: code::NOT_UTF8, reason }
    }

    pub(crate) const fn too_big(reason: &'static str) -> Self {
        Violation { code: code::TOO_BIG, reason }
    }
}

//! Rejected requests: the response to the client, and the warning to the operator.

use std::net::{IpAddr, SocketAddr};

use http::StatusCode;

use crate::handshake::ServerHandshake;
use crate::handshake::request::Rejection;
use crate::metrics::trace;
use crate::metrics::warning::{WarningReason, shown};

/// A rejected request: the rejection, and the reason for a warning to the operator, if any.
pub(crate) struct Rejected {
    pub(crate) rejection: Rejection,
    pub(crate) reason: Option<WarningReason>,
}

impl Rejected {
    /// Creates a rejection without a warning, for a status that explains itself.
    pub(crate) fn with_status(status: StatusCode) -> Self {
        Rejected { rejection: Rejection::new(status, ""), reason: None }
    }

    /// Creates the rejection of a client that may not connect. The warning omits a message that
    /// contains the client's token, since logs must not contain tokens.
    pub(crate) fn unauthorized(rejection: Rejection, token: Option<&str>) -> Self {
        let status = rejection.status().as_u16();
        let has_token = token.is_some();
        let message = shown_message(&rejection, token);
        let reason = Some(WarningReason::Unauthorized { status, has_token, message });
        Rejected { rejection, reason }
    }
}

/// Returns a hook's message as warnings show it: empty if it contains the client's token.
pub(crate) fn shown_message(rejection: &Rejection, token: Option<&str>) -> String {
    match token {
        Some(token) if !token.is_empty() && rejection.message().contains(token) => String::new(),
        _ => shown(rejection.message().as_bytes()),
    }
}

impl ServerHandshake<'_> {
    /// Counts a rejected request, and reports it to the `tracing` subscriber and as a warning.
    pub(crate) fn record_rejected(
        &self,
        peer: Option<SocketAddr>,
        status: StatusCode,
        reason: Option<WarningReason>,
    ) {
        self.lifecycle.record_rejected(status);
        trace::rejected(peer, status.as_u16(), reason.as_ref());
        if let Some(reason) = reason {
            self.warnings.give(reason);
        }
    }

    /// Returns the warning for a socket above the handshake limit.
    pub(crate) fn handshakes_full(&self, status: StatusCode) -> WarningReason {
        let cap = self.options.admission.handshakes;
        let (option, limit) = match status {
            StatusCode::TOO_MANY_REQUESTS => ("max_handshakes_per_address", cap.per_address),
            _ => ("max_handshakes", cap.total),
        };
        WarningReason::Full { option, limit, untrusted_proxy: None }
    }

    /// Returns the rejection for a request above the connection limit, or during a shutdown.
    pub(crate) fn full(&self, status: StatusCode, untrusted_proxy: Option<IpAddr>) -> Rejected {
        let cap = self.options.admission.connections;
        let (option, limit) = match status {
            StatusCode::TOO_MANY_REQUESTS => ("max_connections_per_address", cap.per_address),
            _ => ("max_connections", cap.total),
        };
        let reason = WarningReason::Full { option, limit, untrusted_proxy };
        // Rejections during a shutdown are expected, so they cause no warning.
        let reason = self.lifecycle.is_open().then_some(reason);
        Rejected { reason, ..Rejected::with_status(status) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_of_hook_is_escaped_and_truncated_in_warning() {
        let message = format!("a\n\u{1b}[2J{}", "x".repeat(1000));
        let rejected = Rejected::unauthorized(Rejection::forbidden(&*message), Some("s3cret"));
        assert_eq!(rejected.rejection.message(), message);
        let text = rejected.reason.unwrap().to_string();
        let start = "authorize rejected a client with a token (403): a\\n\\x1b[2Jx";
        assert!(text.starts_with(start) && text.len() < 200, "{text}");
        let empty = Rejected::unauthorized(Rejection::forbidden(""), None);
        let text = empty.reason.unwrap().to_string();
        assert_eq!(text, "authorize rejected a client without a token (403)");
    }

    #[test]
    fn message_with_token_is_not_in_warning() {
        let rejected = |message: &str, token| {
            let rejected = Rejected::unauthorized(Rejection::unauthorized(message), token);
            (rejected.rejection.message().to_owned(), rejected.reason.unwrap().to_string())
        };
        let (body, text) = rejected("no such login: s3cret", Some("s3cret"));
        assert_eq!(body, "no such login: s3cret");
        assert_eq!(text, "authorize rejected a client with a token (401)");
        for token in ["s3cret", ""] {
            let (_, text) = rejected("no such login", Some(token));
            assert_eq!(text, "authorize rejected a client with a token (401): no such login");
        }
    }
}

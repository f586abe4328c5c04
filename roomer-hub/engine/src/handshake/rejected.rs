//! Rejected requests: the response to the client, and the warning to the operator.

use std::net::{IpAddr, SocketAddr};

use http::StatusCode;

use crate::handshake::ServerHandshake;
use crate::handshake::request::Rejection;
use crate::metrics::trace;
use crate::metrics::warning::WarningReason;

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
        trace::rejected(peer, status.as_u16());
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

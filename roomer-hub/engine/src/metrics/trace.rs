//! Events and spans for `tracing` subscribers, compiled to nothing without that feature.
//!
//! A subscriber is application code, so these functions must not be called while the lock is held,
//! nor for each message. Events on which the operator should act are at the level `WARN`, all
//! others at `INFO` and `DEBUG`. Events contain neither payloads nor room names, since both are
//! chosen by clients.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use roomer_hub::cluster::Event;

use crate::app::conn_info::ConnInfo;
use crate::app::disconnect::DisconnectReason;
use crate::metrics::warning::{Warning, WarningReason};

/// Defines one function for each event. Without the feature, the function does nothing.
macro_rules! events {
    ($(#[doc = $doc:literal] $level:ident $name:ident($($arg:ident: $type:ty),*) { $($fields:tt)* })*) => {$(
        #[doc = $doc]
        #[inline]
        pub(crate) fn $name($($arg: $type),*) {
            #[cfg(feature = "tracing")]
            tracing::event!(target: "roomer", tracing::Level::$level, $($fields)*);
            #[cfg(not(feature = "tracing"))]
            let _ = ($($arg,)*);
        }
    )*};
}

events! {
    #[doc = "Reports a connection that has joined `root`."]
    DEBUG opened(info: &ConnInfo) {
        conn = %info.id, peer = info.peer.get().map(tracing::field::display), "connection opened"
    }
    #[doc = "Reports the end of a connection; `text` is the reason in the close frame, if there is one."]
    DEBUG closed(info: &ConnInfo, reason: DisconnectReason, text: &str) {
        conn = %info.id, peer = info.peer.get().map(tracing::field::display),
        by = closed_by(reason), code = code(reason), reason = text, "connection closed"
    }
    #[doc = "Reports a request that is answered with an error."]
    DEBUG rejected(peer: Option<SocketAddr>, status: u16, reason: Option<&WarningReason>) {
        peer = peer.map(tracing::field::display), status, reason = reason.map(tracing::field::display),
        "handshake rejected"
    }
    #[doc = "Reports a warning for the operator."]
    WARN warning(warning: &Warning) {
        kind = warning.reason.kind(), suppressed = warning.suppressed, "{}", warning.reason
    }
    #[doc = "Reports a connection that is closed because it is too slow, with `queued` bytes queued."]
    INFO lagged(info: &ConnInfo, queued: usize) {
        conn = %info.id, peer = info.peer.get().map(tracing::field::display),
        queued_bytes = queued, "connection too slow"
    }
    #[doc = "Reports connections that were closed because the memory budget was exceeded."]
    WARN shed(closed: usize, budget: usize) {
        closed, budget, "out of memory budget"
    }
    #[doc = "Reports an error returned by a handler, or a panic in a handler or a rule."]
    WARN failed(info: &ConnInfo, event: &str, error: &(dyn Error + 'static)) {
        conn = %info.id, event, error, "handler failed"
    }
    #[doc = "Reports a panic in a hook."]
    WARN hook_failed(info: &ConnInfo, error: &(dyn Error + 'static)) {
        conn = %info.id, error, "hook failed"
    }
    #[doc = "Reports a panic in the `authorize` hook."]
    WARN authorize_failed(peer: Option<SocketAddr>, error: &(dyn Error + 'static)) {
        peer = peer.map(tracing::field::display), error, "authorize failed"
    }
    #[doc = "Reports a failure to accept a connection, and how many have not been reported before."]
    WARN record_accept_error(error: &io::Error, suppressed: u64) {
        error = error as &(dyn Error + 'static), suppressed, "cannot accept"
    }
    #[doc = "Reports the start of a shutdown: new connections are rejected, open ones are closed."]
    INFO closing(connections: usize) {
        connections, "shutdown begun"
    }
    #[doc = "Reports the start of a drain: new connections are rejected, open ones are closed gradually."]
    INFO draining(connections: usize) {
        connections, "drain begun"
    }
    #[doc = "Reports that the link to the cluster's broker is up."]
    INFO broker_up() {
        "broker reached"
    }
    #[doc = "Reports a change in the cluster."]
    INFO cluster_event(event: &Event) {
        news = ?event, "cluster"
    }
    #[doc = "Reports the end of a drain."]
    INFO drained(closed: usize, aborted: usize) {
        closed, aborted, "drain ended"
    }
}

/// One connection's span, with its id and its client's address. Application code called for the
/// connection runs within it. Empty before the connection is established, and without the feature.
#[derive(Debug, Default)]
pub(crate) struct Span(#[cfg(feature = "tracing")] Option<tracing::Span>);

impl Span {
    /// Creates a connection's span. This calls the subscriber, so no lock may be held.
    pub(crate) fn begin(info: &ConnInfo) -> Self {
        #[cfg(not(feature = "tracing"))]
        let _ = info;
        Span(
            #[cfg(feature = "tracing")]
            Some(tracing::info_span!(
                target: "roomer",
                "connection",
                conn = %info.id,
                peer = info.peer.get().map(tracing::field::display)
            )),
        )
    }

    /// Runs part of the connection's poll within its span, which `run` may create.
    #[inline]
    pub(crate) fn within<T, O>(
        of: &mut T,
        field: impl Fn(&mut T) -> &mut Span,
        run: impl FnOnce(&mut T) -> O,
    ) -> O {
        #[cfg(feature = "tracing")]
        // Clone the span, since the value that contains it is passed to `run`.
        if let Some(span) = field(of).0.clone() {
            return span.in_scope(|| run(of));
        }
        let _ = field;
        run(of)
    }
}

/// Returns true if a subscriber may be interested in connections. This does not call the
/// subscriber, so the lock may be held.
#[inline]
pub(crate) fn is_enabled() -> bool {
    #[cfg(feature = "tracing")]
    let is_enabled = tracing::level_filters::LevelFilter::current() >= tracing::Level::DEBUG;
    #[cfg(not(feature = "tracing"))]
    let is_enabled = false;
    is_enabled
}

#[cfg(feature = "tracing")]
fn closed_by(reason: DisconnectReason) -> &'static str {
    match reason {
        DisconnectReason::ByPeer(_) => "client",
        DisconnectReason::Lost => "network",
        DisconnectReason::ByServer(_) => "server",
    }
}

#[cfg(feature = "tracing")]
fn code(reason: DisconnectReason) -> Option<u16> {
    match reason {
        DisconnectReason::ByPeer(code) => code,
        DisconnectReason::Lost => None,
        DisconnectReason::ByServer(code) => Some(code),
    }
}

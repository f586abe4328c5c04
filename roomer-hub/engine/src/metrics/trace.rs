//! What happens to connections, told to whoever subscribes to `tracing`; nothing at all without
//! that feature.
//!
//! A subscriber is the application's code: none of these may be called with the lock held, nor for
//! each message. Levels are by who has to act: `WARN` somebody here, `INFO` and `DEBUG` nobody.
//! No payload and no room's name is told: clients choose those.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use crate::app::conn::ConnInfo;
use crate::app::hooks::DisconnectReason;
use crate::metrics::warning::Warning;

/// A function for each event, which without the feature does nothing.
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
    #[doc = "A connection is in `root`."]
    DEBUG opened(info: &ConnInfo) {
        conn = %info.id, peer = info.peer.map(tracing::field::display), "connection opened"
    }
    #[doc = "A connection ended; `text` is the reason of its close frame, if it has one."]
    DEBUG closed(info: &ConnInfo, why: DisconnectReason, text: &str) {
        conn = %info.id, peer = info.peer.map(tracing::field::display),
        by = author(why), code = code(why), reason = text, "connection closed"
    }
    #[doc = "A request is answered with an error."]
    DEBUG rejected(peer: Option<SocketAddr>, status: u16) {
        peer = peer.map(tracing::field::display), status, "handshake refused"
    }
    #[doc = "Something that the operator should look at."]
    WARN warning(warning: &Warning) {
        kind = warning.cause.kind(), suppressed = warning.suppressed, "{}", warning.cause
    }
    #[doc = "A connection that does not take what it is sent is given up, with so much waiting."]
    INFO lagged(info: &ConnInfo, queued: usize) {
        conn = %info.id, peer = info.peer.map(tracing::field::display),
        queued_bytes = queued, "connection too slow"
    }
    #[doc = "All connections together held more than the budget, and so many had to go."]
    WARN shed(closed: usize, budget: usize) {
        closed, budget, "out of memory budget"
    }
    #[doc = "A handler has returned an error, or it or a rule has panicked."]
    WARN failed(info: &ConnInfo, event: &str, error: &(dyn Error + 'static)) {
        conn = %info.id, event, error, "handler failed"
    }
    #[doc = "A hook has panicked."]
    WARN hook_failed(info: &ConnInfo, error: &(dyn Error + 'static)) {
        conn = %info.id, error, "hook failed"
    }
    #[doc = "The authorize hook has panicked."]
    WARN authorize_failed(peer: Option<SocketAddr>, error: &(dyn Error + 'static)) {
        peer = peer.map(tracing::field::display), error, "authorize failed"
    }
    #[doc = "The system refused to give the next connection."]
    WARN record_accept_error(error: &io::Error) {
        error = error as &(dyn Error + 'static), "cannot accept"
    }
    #[doc = "Nobody is let in any more, and all who are here are to go."]
    INFO closing(connections: usize) {
        connections, "shutdown begun"
    }
    #[doc = "Nobody is let in any more; who is here goes little by little."]
    INFO draining(connections: usize) {
        connections, "drain begun"
    }
    #[doc = "A drain is over."]
    INFO drained(closed: usize, cut: usize) {
        closed, cut, "drain ended"
    }
}

/// The span of one connection, by its id and its client's address, in which the application's code
/// for it runs too. Empty until the connection is open, and without the feature.
#[derive(Debug, Default)]
pub(crate) struct Span(#[cfg(feature = "tracing")] Option<tracing::Span>);

impl Span {
    /// Begins the span of a connection. Asks the subscriber: not with a lock held.
    pub(crate) fn begin(info: &ConnInfo) -> Self {
        #[cfg(not(feature = "tracing"))]
        let _ = info;
        Span(
            #[cfg(feature = "tracing")]
            Some(tracing::info_span!(
                target: "roomer",
                "connection",
                conn = %info.id,
                peer = info.peer.map(tracing::field::display)
            )),
        )
    }

    /// Runs a part of the connection's turn. What runs may begin the span.
    #[inline]
    pub(crate) fn within<T, O>(
        of: &mut T,
        field: impl Fn(&mut T) -> &mut Span,
        run: impl FnOnce(&mut T) -> O,
    ) -> O {
        #[cfg(feature = "tracing")]
        if let Some(span) = field(of).0.clone() {
            return span.in_scope(|| run(of));
        }
        let _ = field;
        run(of)
    }
}

/// Whether anybody may want to hear of connections. Asks no subscriber, so that it can be asked
/// with the lock held.
#[inline]
pub(crate) fn is_enabled() -> bool {
    #[cfg(feature = "tracing")]
    let is_enabled = tracing::level_filters::LevelFilter::current() >= tracing::Level::DEBUG;
    #[cfg(not(feature = "tracing"))]
    let is_enabled = false;
    is_enabled
}

#[cfg(feature = "tracing")]
fn author(why: DisconnectReason) -> &'static str {
    match why {
        DisconnectReason::ByPeer(_) => "client",
        DisconnectReason::Lost => "network",
        DisconnectReason::ByServer(_) => "server",
    }
}

#[cfg(feature = "tracing")]
fn code(why: DisconnectReason) -> Option<u16> {
    match why {
        DisconnectReason::ByPeer(code) => code,
        DisconnectReason::Lost => None,
        DisconnectReason::ByServer(code) => Some(code),
    }
}

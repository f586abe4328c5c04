//! What happens to connections, told to whoever subscribes to `tracing`; nothing at all without
//! that feature.
//!
//! A subscriber is the application's code: none of these may be called with the lock held, nor for
//! each message. Levels are by who has to act: `WARN` somebody here, `INFO` and `DEBUG` nobody.
//! No payload and no room's name is told: clients choose those.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use crate::app::conn::Person;
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
    DEBUG opened(person: &Person) {
        conn = %person.id, peer = person.peer.map(tracing::field::display), "connection opened"
    }
    #[doc = "A connection is no more; `text` is what it was told, if it was told anything."]
    DEBUG closed(person: &Person, why: DisconnectReason, text: &str) {
        conn = %person.id, peer = person.peer.map(tracing::field::display),
        by = author(why), code = code(why), reason = text, "connection closed"
    }
    #[doc = "A request is answered with an error."]
    DEBUG refused(peer: Option<SocketAddr>, status: u16) {
        peer = peer.map(tracing::field::display), status, "handshake refused"
    }
    #[doc = "Something that the operator should look at."]
    WARN warning(warning: &Warning) {
        kind = warning.cause.kind(), suppressed = warning.suppressed, "{}", warning.cause
    }
    #[doc = "A connection that does not take what it is sent is given up, with so much waiting."]
    INFO lagged(person: &Person, queued: usize) {
        conn = %person.id, peer = person.peer.map(tracing::field::display),
        queued_bytes = queued, "connection too slow"
    }
    #[doc = "All connections together held more than the budget, and so many had to go."]
    WARN shed(closed: usize, budget: usize) {
        closed, budget, "out of memory budget"
    }
    #[doc = "A handler has returned an error, or it or a rule has panicked."]
    WARN failed(person: &Person, event: &str, error: &(dyn Error + 'static)) {
        conn = %person.id, event, error, "handler failed"
    }
    #[doc = "A hook has panicked."]
    WARN hook_failed(person: &Person, error: &(dyn Error + 'static)) {
        conn = %person.id, error, "hook failed"
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
    pub(crate) fn begin(person: &Person) -> Self {
        #[cfg(not(feature = "tracing"))]
        let _ = person;
        Span(
            #[cfg(feature = "tracing")]
            Some(tracing::info_span!(
                target: "roomer",
                "connection",
                conn = %person.id,
                peer = person.peer.map(tracing::field::display)
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
pub(crate) fn is_heard() -> bool {
    #[cfg(feature = "tracing")]
    let is_heard = tracing::level_filters::LevelFilter::current() >= tracing::Level::DEBUG;
    #[cfg(not(feature = "tracing"))]
    let is_heard = false;
    is_heard
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

//! Backpressure: the pause of a sender whose receiver is congested.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::core::congestion::Congestion;
use crate::outbound::socket_writer::SocketWriter;

/// A pause, during which nothing is read from the sender. It ends when the receiver is no longer
/// congested, or at a given time.
#[derive(Debug)]
pub(crate) struct Pause {
    congestion: Congestion,
    pub(crate) until: Duration,
}

impl Pause {
    /// Returns the pause for a congested receiver, or `None` if the receiver is the connection itself.
    pub(crate) fn new(
        congestion: Option<Congestion>,
        own: &Arc<SocketWriter>,
        until: Duration,
    ) -> Option<Box<Self>> {
        // A connection above its own high-water mark does not read anyway.
        let is_own = |congestion: &Congestion| match congestion {
            Congestion::Receiver(receiver) => Arc::ptr_eq(receiver, own),
            Congestion::Link(_) => false,
        };
        let congestion = congestion.filter(|congestion| !is_own(congestion))?;
        Some(Box::new(Pause { congestion, until }))
    }

    /// Returns true once the sender may continue.
    pub(crate) fn poll_is_finished(&self, now: Duration, cx: &Context<'_>) -> bool {
        if now >= self.until {
            return true;
        }
        let poll: Poll<()> = match &self.congestion {
            Congestion::Receiver(receiver) => receiver.poll_uncongested(cx),
            Congestion::Link(gate) => gate.poll_open(cx),
        };
        poll.is_ready()
    }
}

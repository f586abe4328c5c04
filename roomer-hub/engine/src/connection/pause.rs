//! The pause of a sender whose receiver reads more slowly than messages arrive.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::core::congestion::Congestion;
use crate::outbound::socket_writer::SocketWriter;

/// A sender's pause: nothing is read from it while the receiver is congested, until a time.
#[derive(Debug)]
pub(crate) struct Pause {
    congestion: Congestion,
    pub(crate) until: Duration,
}

impl Pause {
    /// Returns the pause for a receiver. A connection does not pause for itself.
    pub(crate) fn new(
        congestion: Option<Congestion>,
        own: &Arc<SocketWriter>,
        until: Duration,
    ) -> Option<Box<Self>> {
        // Above its own mark a connection does not read anyway, whatever it sends itself.
        let is_own = |congestion: &Congestion| match congestion {
            Congestion::Receiver(receiver) => Arc::ptr_eq(receiver, own),
            Congestion::Link(_) => false,
        };
        let congestion = congestion.filter(|congestion| !is_own(congestion))?;
        Some(Box::new(Pause { congestion, until }))
    }

    /// Returns true once the sender may continue.
    pub(crate) fn poll_is_over(&self, now: Duration, cx: &Context<'_>) -> bool {
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

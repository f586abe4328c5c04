//! Backpressure on senders, due to a receiver above its high-water mark or to the broker's link.

use std::sync::Arc;

use crate::cluster::LinkGate;
use crate::outbound::socket_writer::SocketWriter;

/// A message's congested destination.
#[derive(Clone, Debug)]
pub(crate) enum Congestion {
    /// A connection above its high-water mark.
    Receiver(Arc<SocketWriter>),
    /// The link to other nodes, because those nodes or the broker lag behind.
    Link(Arc<LinkGate>),
}

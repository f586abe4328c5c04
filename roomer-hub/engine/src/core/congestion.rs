//! Causes for a sender to pause: a receiver above its high-water mark, or the link to the broker.

use std::sync::Arc;

use crate::cluster::LinkGate;
use crate::outbound::socket_writer::SocketWriter;

/// A receiver that reads more slowly than messages for it arrive.
#[derive(Clone, Debug)]
pub(crate) enum Congestion {
    /// A connection above its high-water mark.
    Receiver(Arc<SocketWriter>),
    /// Other nodes, or the broker before them.
    Link(Arc<LinkGate>),
}

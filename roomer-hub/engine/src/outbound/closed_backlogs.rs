//! Closed connections whose unsent bytes still occupy much memory.

use std::sync::{Arc, Weak};

use crate::outbound::socket_writer::SocketWriter;

/// The maximum number of bytes that a closed connection may hold until its close frame is written.
pub(crate) const CLOSE_ALLOWANCE: usize = 64 * 1024;

/// Connections that the hub has closed while more than [`CLOSE_ALLOWANCE`] was queued for them.
#[derive(Debug, Default)]
pub(crate) struct ClosingWriters(Vec<Weak<SocketWriter>>);

impl ClosingWriters {
    pub(crate) fn add(&mut self, writer: &Arc<SocketWriter>) {
        if writer.backlog().0 > CLOSE_ALLOWANCE {
            // Prune the list before it grows, since most connections in it have ended by then.
            if self.0.len() == self.0.capacity() {
                self.0.retain(|writer| writer.strong_count() > 0);
            }
            self.0.push(Arc::downgrade(writer));
        }
    }

    pub(crate) fn take(&mut self) -> impl Iterator<Item = Arc<SocketWriter>> + use<> {
        std::mem::take(&mut self.0).into_iter().filter_map(|writer| writer.upgrade())
    }
}

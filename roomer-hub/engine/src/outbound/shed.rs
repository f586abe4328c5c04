//! Closing the connections that hold most memory when all together exceed the budget.

use std::cmp::Reverse;
use std::sync::{Arc, Weak};
use std::time::Duration;

use roomer_proto::close;

use crate::Server;
use crate::core::Core;
use crate::metrics::trace;
use crate::metrics::warning::WarningCause;
use crate::outbound::budget::{BufferSet, MemoryBudget, Usage};
use crate::outbound::socket_writer::SocketWriter;
use roomer_hub::ConnKey;

/// The bytes that a closed connection may hold until its close frame is written.
const CLOSE_ALLOWANCE: usize = 64 * 1024;

/// Connections that the hub has closed while more than [`CLOSE_ALLOWANCE`] waited for them.
#[derive(Debug, Default)]
pub(crate) struct ClosingWriters(Vec<Weak<SocketWriter>>);

impl ClosingWriters {
    pub(crate) fn add(&mut self, writer: &Arc<SocketWriter>) {
        if writer.backlog().0 > CLOSE_ALLOWANCE {
            // Cleaned before it would grow: most of these connections have ended by then.
            if self.0.len() == self.0.capacity() {
                self.0.retain(|writer| writer.strong_count() > 0);
            }
            self.0.push(Arc::downgrade(writer));
        }
    }

    fn take(&mut self) -> impl Iterator<Item = Arc<SocketWriter>> + use<> {
        std::mem::take(&mut self.0).into_iter().filter_map(|writer| writer.upgrade())
    }
}

/// The result of [`Core::shed`].
struct Shed {
    /// The number of connections that were closed.
    closed: usize,
    /// True if the caller has to flush again for their close frames.
    is_over: bool,
}

impl Server {
    /// Closes the connections that hold most if all together hold more than the budget. Returns true if
    /// the caller has to flush again for their close frames.
    pub(crate) fn shed(&self) -> bool {
        let budget = &self.0.budget;
        // Runs after each flush, so the usual case costs one atomic load. Only if the reported sum is
        // high are all outboxes visited, to count shared buffers once.
        if !budget.may_exceed() {
            return false;
        }
        // The lock is released at the end of the statement: the warning's hook may use the server.
        let Shed { closed, is_over } = {
            let window = self.options().retry_window;
            self.core().shed(self.now(), budget, window)
        };
        if closed > 0 {
            trace::shed(closed, budget.limit());
            let budget = budget.limit();
            self.warn_hook(WarningCause::MemoryBudget { closed, budget });
        }
        is_over
    }
}

impl Core {
    /// Counts the memory of all connections, and closes those that hold most until the rest is within
    /// the budget.
    fn shed(&mut self, now: Duration, budget: &MemoryBudget, window: Duration) -> Shed {
        let mut buffers = BufferSet::new();
        let closing: Vec<_> =
            self.outbound.closing.take().map(|writer| (writer.usage(), writer)).collect();
        // Bytes that are being written may be shared with counted buffers or not. No connection is
        // closed for them, but the next look comes sooner.
        let mut in_flight = 0;
        for (usage, _) in &closing {
            buffers.add(usage);
            in_flight += usage.in_flight;
        }
        let mut holders: Vec<(Reverse<usize>, ConnKey, Usage)> = Vec::new();
        for (conn, writer) in self.outbound.writers.iter() {
            let usage = writer.usage();
            buffers.add(&usage);
            in_flight += usage.in_flight;
            holders.push((Reverse(usage.size()), conn, usage));
        }
        let is_over = buffers.sum() > budget.limit();
        for (usage, writer) in closing {
            // Connections that are closed already go before any open one.
            if is_over {
                buffers.remove(&usage);
                writer.abort();
            } else {
                self.outbound.closing.add(&writer);
            }
        }
        // The key breaks ties, so that a simulation with the same seed closes the same connections.
        holders.sort_unstable_by_key(|(size, conn, _)| (*size, *conn));
        let mut closed = 0;
        for (_, conn, usage) in holders {
            if !is_over || buffers.sum() <= budget.target() {
                break;
            }
            buffers.remove(&usage);
            // Cloned first, since the close removes it from the table.
            let writer = self.outbound.writers.get(conn).cloned();
            self.close_for(now, conn, &close::OUT_OF_MEMORY, window);
            closed += 1;
            // The close has dropped what was not begun. A large message that was begun stays in
            // memory until its peer reads it.
            if let Some(writer) = writer.filter(|writer| writer.usage().size() > CLOSE_ALLOWANCE) {
                writer.abort();
            }
        }
        budget.settle(buffers.sum() + in_flight);
        Shed { closed, is_over }
    }
}

//! Load shedding: above the memory budget, closes the connections that hold the most memory.

use std::cmp::Reverse;
use std::time::Duration;

use roomer_hub::ConnKey;
use roomer_proto::close;

use crate::core::Core;
use crate::outbound::budget::{BufferSet, MemoryBudget, Usage};
use crate::outbound::closed_backlogs::CLOSE_ALLOWANCE;

/// The result of [`Core::shed`].
pub(crate) struct Shed {
    /// The number of closed connections.
    pub(crate) closed: usize,
    /// True if the caller must flush again, to write the close frames.
    pub(crate) is_finished: bool,
}

impl Core {
    /// Adds up all connections' memory. If the sum exceeds the budget, closes the connections that
    /// hold the most memory until the sum is at most [`MemoryBudget::target`].
    pub(crate) fn shed(&mut self, now: Duration, budget: &MemoryBudget, window: Duration) -> Shed {
        let mut buffers = BufferSet::new();
        let closing: Vec<_> =
            self.outbound.closing.take().map(|writer| (writer.usage(), writer)).collect();
        // Bytes in flight may be in buffers that are counted elsewhere. No connection is closed
        // because of them, but they cause memory to be checked again sooner.
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
        let is_finished = buffers.sum() > budget.limit();
        for (usage, writer) in closing {
            // Abort connections that are already closing before closing any open one.
            if is_finished {
                buffers.remove(&usage);
                writer.abort();
            } else {
                self.outbound.closing.add(&writer);
            }
        }
        // The key breaks ties so that a simulation with the same seed closes the same connections.
        holders.sort_unstable_by_key(|(size, conn, _)| (*size, *conn));
        let mut closed = 0;
        for (_, conn, usage) in holders {
            if !is_finished || buffers.sum() <= budget.target() {
                break;
            }
            buffers.remove(&usage);
            // Clone the writer first, since the close removes it from the table.
            let writer = self.outbound.writers.get(conn).cloned();
            self.close_for(now, conn, &close::OUT_OF_MEMORY, window);
            closed += 1;
            // The close dropped the messages whose transmission had not begun. A large message that
            // has begun stays in memory until its peer reads it, so the connection is aborted.
            if let Some(writer) = writer.filter(|writer| writer.usage().size() > CLOSE_ALLOWANCE) {
                writer.abort();
            }
        }
        budget.record_counted(buffers.sum() + in_flight);
        Shed { closed, is_finished }
    }
}

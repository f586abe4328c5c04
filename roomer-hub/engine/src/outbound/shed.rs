//! What happens when all connections together hold too much: the worst go.

use std::cmp::Reverse;
use std::sync::{Arc, Weak};

use roomer_proto::close;

use crate::Server;
use crate::metrics::trace;
use crate::metrics::warning::WarningCause;
use crate::outbound::budget::{BufferSet, Usage};
use crate::outbound::outbox::Outbox;
use roomer_hub::ConnKey;
use roomer_hub::{Command, Input};

/// What one that is let go of may go on holding until its close frame is out.
const CLOSE_ALLOWANCE: usize = 64 * 1024;

/// Connections that the hub has let go of while much still waited for them.
#[derive(Debug, Default)]
pub(crate) struct ClosingOutboxes(Vec<Weak<Outbox>>);

impl ClosingOutboxes {
    pub(crate) fn add(&mut self, outbox: &Arc<Outbox>) {
        if outbox.backlog().0 > CLOSE_ALLOWANCE {
            if self.0.len() == self.0.capacity() {
                self.0.retain(|outbox| outbox.strong_count() > 0);
            }
            self.0.push(Arc::downgrade(outbox));
        }
    }

    fn take(&mut self) -> impl Iterator<Item = Arc<Outbox>> + use<> {
        std::mem::take(&mut self.0).into_iter().filter_map(|outbox| outbox.upgrade())
    }
}

impl Server {
    /// Closes those who hold most if all together hold more than they may. True when somebody was
    /// closed, so that the caller has to come back for a flush.
    pub(crate) fn shed(&self) -> bool {
        let budget = &self.0.budget;
        if !budget.may_exceed() {
            return false;
        }
        let mut core = self.core();
        let mut ledger = BufferSet::new();
        let closing_outboxes: Vec<_> =
            core.closing_outboxes.take().map(|outbox| (outbox.usage(), outbox)).collect();
        // What is being written may be more than has been counted, or the same: nobody is closed for
        // it, but it will be looked at again.
        let mut in_hand = 0;
        for (usage, _) in &closing_outboxes {
            ledger.add(usage);
            in_hand += usage.in_hand;
        }
        let mut holders: Vec<(Reverse<usize>, ConnKey, Usage)> = Vec::new();
        for (conn, outbox) in &core.outboxes {
            let usage = outbox.usage();
            ledger.add(&usage);
            in_hand += usage.in_hand;
            holders.push((Reverse(usage.size()), conn, usage));
        }
        let is_over = ledger.sum() > budget.limit();
        for (usage, outbox) in closing_outboxes {
            if is_over {
                ledger.remove(&usage);
                outbox.abort();
            } else {
                core.closing_outboxes.add(&outbox);
            }
        }
        holders.sort_unstable_by_key(|(size, conn, _)| (*size, *conn));
        let mut closed = 0;
        for (_, conn, usage) in holders {
            if !is_over || ledger.sum() <= budget.target() {
                break;
            }
            ledger.remove(&usage);
            let outbox = core.outboxes.get(conn).cloned();
            let close = Command::close(conn, &close::OUT_OF_MEMORY);
            core.apply(self.now(), Input::Command(close), None);
            closed += 1;
            if let Some(outbox) = outbox.filter(|outbox| outbox.usage().size() > CLOSE_ALLOWANCE) {
                outbox.abort();
            }
        }
        budget.settle(ledger.sum() + in_hand);
        drop(core);
        if closed > 0 {
            trace::shed(closed, budget.limit());
            let budget = budget.limit();
            self.warn_beside_trace(WarningCause::MemoryBudget { closed, budget });
        }
        is_over
    }
}

//! What happens when all connections together hold too much: the worst go.

use std::cmp::Reverse;
use std::sync::{Arc, Weak};

use roomer_proto::close;

use crate::Server;
use crate::metrics::trace;
use crate::metrics::warning::WarningCause;
use crate::outbound::budget::{Holding, Ledger};
use crate::outbound::outbox::Link;
use roomer_hub::ConnKey;
use roomer_hub::{Command, Input};

/// What one that is let go of may go on holding until its close frame is out.
const FAREWELL: usize = 64 * 1024;

/// Connections that the hub has let go of while much still waited for them.
#[derive(Debug, Default)]
pub(crate) struct Leaving(Vec<Weak<Link>>);

impl Leaving {
    pub(crate) fn add(&mut self, link: &Arc<Link>) {
        if link.backlog().0 > FAREWELL {
            if self.0.len() == self.0.capacity() {
                self.0.retain(|link| link.strong_count() > 0);
            }
            self.0.push(Arc::downgrade(link));
        }
    }

    fn take(&mut self) -> impl Iterator<Item = Arc<Link>> + use<> {
        std::mem::take(&mut self.0).into_iter().filter_map(|link| link.upgrade())
    }
}

impl Server {
    /// Closes those who hold most if all together hold more than they may. True when somebody was
    /// closed, so that the caller has to come back for a flush.
    pub(crate) fn shed(&self) -> bool {
        let budget = &self.0.budget;
        if !budget.is_suspect() {
            return false;
        }
        let mut core = self.core();
        let mut ledger = Ledger::new();
        let leaving: Vec<_> = core.leaving.take().map(|link| (link.holding(), link)).collect();
        // What is being written may be more than has been counted, or the same: nobody is closed for
        // it, but it will be looked at again.
        let mut in_hand = 0;
        for (holding, _) in &leaving {
            ledger.add(holding);
            in_hand += holding.in_hand;
        }
        let mut holders: Vec<(Reverse<usize>, ConnKey, Holding)> = Vec::new();
        for (conn, link) in &core.links {
            let holding = link.holding();
            ledger.add(&holding);
            in_hand += holding.in_hand;
            holders.push((Reverse(holding.size()), conn, holding));
        }
        let is_over = ledger.sum() > budget.limit();
        for (holding, link) in leaving {
            if is_over {
                ledger.remove(&holding);
                link.abandon();
            } else {
                core.leaving.add(&link);
            }
        }
        holders.sort_unstable_by_key(|(size, conn, _)| (*size, *conn));
        let mut closed = 0;
        for (_, conn, holding) in holders {
            if !is_over || ledger.sum() <= budget.target() {
                break;
            }
            ledger.remove(&holding);
            let link = core.links.get(conn).cloned();
            let close = Command::close(conn, &close::OUT_OF_MEMORY);
            core.apply(self.now(), Input::Command(close), None);
            closed += 1;
            if let Some(link) = link.filter(|link| link.holding().size() > FAREWELL) {
                link.abandon();
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

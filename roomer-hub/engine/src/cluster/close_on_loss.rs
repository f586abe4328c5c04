//! The connections that must be closed because they may have missed messages from another node.
//! They are closed at the drain's rate.

use std::collections::BTreeSet;
use std::time::Duration;

use roomer_hub::ConnKey;

use crate::lifecycle::drain::{DRAIN_STEP, DrainPolicy};

/// Connections to close because of [`Loss::Close`](roomer_hub::cluster::Loss::Close).
#[derive(Debug, Default)]
pub(crate) struct CloseOnLoss {
    conns: BTreeSet<ConnKey>,
    /// The time at which the next connections are due.
    at: Duration,
}

impl CloseOnLoss {
    pub(crate) fn extend(&mut self, conns: impl IntoIterator<Item = ConnKey>) {
        self.conns.extend(conns);
    }

    /// Returns the time at which the next connections are due.
    pub(crate) fn due_at(&self) -> Option<Duration> {
        (!self.conns.is_empty()).then_some(self.at)
    }

    /// Removes and returns up to `most` connections that are due.
    pub(crate) fn take(&mut self, now: Duration, policy: DrainPolicy, most: usize) -> Vec<ConnKey> {
        if now < self.at {
            return Vec::new();
        }
        let due = policy.due(Duration::ZERO).min(most as u64);
        let conns: Vec<ConnKey> = (0..due).map_while(|_| self.conns.pop_first()).collect();
        // If no rate is set, the next connections are due as soon as other tasks have run.
        self.at = if policy.per_second == usize::MAX { now } else { now + DRAIN_STEP };
        conns
    }
}

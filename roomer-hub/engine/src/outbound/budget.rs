//! How much memory all connections together may hold for what has not gone out or not come in
//! whole yet.
//!
//! Each connection's own bound is not enough: a thousand that each stay within it may hold a
//! thousand times as much. Adding up what each holds is cheap but counts a message that many wait
//! for many times, so it only raises the suspicion; whoever then has to be closed is decided by
//! counting each buffer once.

use hashbrown::HashMap;

use crate::sync::{AtomicUsize, Ordering};
use roomer_hub::HashKey;

/// What all connections hold, as they have last said.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    limit: usize,
    /// The sum over all connections, shared buffers counted for each.
    held: AtomicUsize,
    /// All that `held` was ever raised by. What is held in truth cannot have grown by more since
    /// it was last counted.
    grown: AtomicUsize,
    /// What `grown` has to pass before it is worth counting again.
    alert: AtomicUsize,
}

impl MemoryBudget {
    pub(crate) fn new(limit: usize) -> Self {
        MemoryBudget {
            limit,
            held: AtomicUsize::new(0),
            grown: AtomicUsize::new(0),
            alert: AtomicUsize::new(limit),
        }
    }

    /// A connection holds `after` bytes instead of `before`.
    pub(crate) fn change(&self, before: usize, after: usize) {
        if after > before {
            self.held.fetch_add(after - before, Ordering::Relaxed);
            self.grown.fetch_add(after - before, Ordering::Relaxed);
        } else if before > after {
            self.held.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether there may be more than is allowed.
    pub(crate) fn may_exceed(&self) -> bool {
        self.held() > self.limit && {
            let above = self.grown.load(Ordering::Relaxed).wrapping_sub(self.alert_level());
            // What has wrapped round is below.
            above != 0 && above <= usize::MAX / 2
        }
    }

    /// What is held in truth has been counted. If that may still be too much, the next look is due
    /// at once.
    pub(crate) fn settle(&self, counted: usize) {
        let grown = self.grown.load(Ordering::Relaxed);
        let alert = match self.limit.checked_sub(counted) {
            Some(slack) => grown.wrapping_add(slack),
            None => grown.wrapping_sub(1),
        };
        self.alert.store(alert, Ordering::Relaxed);
    }

    /// Down to which what is held is brought once it is above the limit, so that the next
    /// connection to go is not due with the next byte.
    pub(crate) fn target(&self) -> usize {
        self.limit - self.limit / 8
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    fn alert_level(&self) -> usize {
        self.alert.load(Ordering::Relaxed)
    }
}

/// Buffers, each counted once however many connections hold it.
#[derive(Debug)]
pub(crate) struct BufferSet {
    /// By where a buffer ends, since its beginning moves as it is written: how long its longest
    /// holder's rest is, and how many hold it.
    buffers: HashMap<usize, (usize, usize), HashKey>,
    sum: usize,
}

impl BufferSet {
    pub(crate) fn new() -> Self {
        // Addresses are nobody's choice: the hash needs no secret.
        BufferSet { buffers: HashMap::with_hasher(HashKey([0; 16])), sum: 0 }
    }

    pub(crate) fn sum(&self) -> usize {
        self.sum
    }

    pub(crate) fn add(&mut self, usage: &Usage) {
        self.sum += usage.own;
        for &(end, len) in &usage.buffers {
            let (longest, holders) = self.buffers.entry(end).or_default();
            self.sum += len.saturating_sub(*longest);
            (*longest, *holders) = (len.max(*longest), *holders + 1);
        }
    }

    pub(crate) fn remove(&mut self, usage: &Usage) {
        self.sum -= usage.own;
        for &(end, _) in &usage.buffers {
            if let Some((longest, holders)) = self.buffers.get_mut(&end) {
                *holders -= 1;
                if *holders == 0 {
                    self.sum -= *longest;
                    self.buffers.remove(&end);
                }
            }
        }
    }
}

/// What one connection holds.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    /// Bytes that nobody else can hold too.
    pub(crate) own: usize,
    /// Bytes that somebody is writing at this moment; nobody can tell of which buffers.
    pub(crate) in_flight: usize,
    /// Where each buffer ends, and how much of it is left.
    pub(crate) buffers: Vec<(usize, usize)>,
}

impl Usage {
    /// All its bytes, whoever else holds them too.
    pub(crate) fn size(&self) -> usize {
        self.own + self.in_flight + self.buffers.iter().map(|(_, len)| len).sum::<usize>()
    }
}

#[cfg(all(test, not(roomer_loom)))]
mod tests {
    use super::*;

    #[test]
    fn counting_is_due_only_once_usage_may_have_grown_past_the_limit() {
        let budget = MemoryBudget::new(100);
        budget.change(0, 100);
        assert!(!budget.may_exceed());
        budget.change(0, 1);
        assert!(budget.may_exceed());
        // It was one buffer, held twice.
        budget.settle(60);
        assert!(!budget.may_exceed());
        budget.change(0, 40);
        assert!(!budget.may_exceed(), "it can be 100 by now, and no more");
        budget.change(40, 41);
        assert!(budget.may_exceed());
        budget.settle(101);
        assert!(budget.may_exceed(), "it is too much already");
        budget.change(141, 99);
        assert!(!budget.may_exceed(), "they cannot hold more than all of theirs together");
    }

    #[test]
    fn survives_a_wrap_around_of_the_growth_counter() {
        let budget = MemoryBudget::new(100);
        budget.grown.store(usize::MAX - 20, Ordering::Relaxed);
        budget.settle(50);
        budget.change(0, 120);
        assert!(budget.may_exceed());
        budget.settle(50);
        assert!(!budget.may_exceed());
    }

    #[test]
    fn counts_a_shared_buffer_once() {
        let mut ledger = BufferSet::new();
        let ann = Usage { own: 5, in_flight: 0, buffers: vec![(1000, 100), (2000, 7)] };
        let bob = Usage { own: 0, in_flight: 0, buffers: vec![(1000, 40)] };
        ledger.add(&bob);
        ledger.add(&ann);
        assert_eq!((ledger.sum(), ann.size(), bob.size()), (112, 112, 40));
        ledger.remove(&ann);
        assert_eq!(ledger.sum(), 100, "Bob's rest still keeps the whole buffer alive");
        ledger.remove(&bob);
        assert_eq!(ledger.sum(), 0);
    }
}

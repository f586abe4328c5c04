//! The memory budget: the total limit for all connections' outboxes and unfinished messages.
//!
//! A limit per connection is not enough, since a thousand connections just below it may hold a
//! thousand times as much. The sum over all connections is cheap to maintain, but counts a shared
//! message once per receiver. It therefore only indicates when an exact count is needed.
//! [`BufferSet`] then counts each buffer once, and that count decides which connections are closed
//! ([`shed`](crate::core::shed)).

use std::hash::{BuildHasherDefault, DefaultHasher};

use hashbrown::HashMap;

use crate::outbound::outbox::WaterMarks;
use crate::sync::{AtomicUsize, Ordering};

/// The bytes that all connections hold, as last reported by them, and the limits.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    limit: usize,
    /// Each outbox's water marks. Stored here, since every writer has a reference to the budget.
    pub(crate) marks: WaterMarks,
    /// The number of bytes held by all connections. A shared buffer counts once for each of them.
    held: AtomicUsize,
    /// The sum of all increases of `held` since the start. Since the last exact count, memory in
    /// use cannot have grown by more than this sum has.
    grown: AtomicUsize,
    /// The value of `grown` above which an exact count is worthwhile.
    alert: AtomicUsize,
}

impl MemoryBudget {
    pub(crate) fn new(limit: usize, marks: WaterMarks) -> Self {
        MemoryBudget {
            limit,
            marks,
            held: AtomicUsize::new(0),
            grown: AtomicUsize::new(0),
            // Usage cannot exceed the limit before `limit` bytes have been buffered.
            alert: AtomicUsize::new(limit),
        }
    }

    /// Records that a connection holds `after` bytes instead of `before`.
    pub(crate) fn change(&self, before: usize, after: usize) {
        // Relaxed ordering suffices here and below, since the next flush corrects a count that is
        // briefly outdated.
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

    /// Returns true if usage may exceed the limit, so that an exact count is worthwhile.
    pub(crate) fn may_exceed(&self) -> bool {
        // `held` counts shared buffers more than once, so it is never lower than the actual usage.
        self.held() > self.limit && {
            let above = self.grown.load(Ordering::Relaxed).wrapping_sub(self.alert_level());
            // In wrapping arithmetic, a difference above half the range is negative.
            above != 0 && above <= usize::MAX / 2
        }
    }

    /// Records the result of an exact count. If the count is above the limit, another one is due
    /// immediately.
    pub(crate) fn record_counted(&self, counted: usize) {
        let grown = self.grown.load(Ordering::Relaxed);
        let alert = match self.limit.checked_sub(counted) {
            // Usage cannot exceed the limit before it has grown by `slack`.
            Some(slack) => grown.wrapping_add(slack),
            None => grown.wrapping_sub(1),
        };
        self.alert.store(alert, Ordering::Relaxed);
    }

    /// Returns the number of bytes to which usage must be reduced after the limit was exceeded.
    /// This is lower than the limit so that the next byte does not cause another close.
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

/// A set of buffers, each counted once, however many connections hold it.
#[derive(Debug)]
pub(crate) struct BufferSet {
    /// Maps the end address of each buffer to the most bytes that a holder still needs, and to the
    /// number of holders. Unlike the start address, the end address does not change during writes.
    buffers: HashMap<usize, (usize, usize), BuildHasherDefault<DefaultHasher>>,
    sum: usize,
}

impl BufferSet {
    pub(crate) fn new() -> Self {
        // Clients cannot choose addresses, so the hash needs no secret key.
        BufferSet { buffers: HashMap::default(), sum: 0 }
    }

    pub(crate) fn sum(&self) -> usize {
        self.sum
    }

    pub(crate) fn add(&mut self, usage: &Usage) {
        self.sum += usage.own;
        for &(end, len) in &usage.buffers {
            // The holders may have written different parts of a buffer. The one that has written
            // the least determines how many bytes count.
            let (longest, holders) = self.buffers.entry(end).or_default();
            self.sum += len.saturating_sub(*longest);
            (*longest, *holders) = (len.max(*longest), *holders + 1);
        }
    }

    pub(crate) fn remove(&mut self, usage: &Usage) {
        // Only usage that was added is ever removed, so the sum cannot underflow.
        self.sum -= usage.own;
        for &(end, _) in &usage.buffers {
            if let Some((longest, holders)) = self.buffers.get_mut(&end) {
                // The longest part counts until the last holder is removed, since the other
                // holders' parts are not recorded.
                *holders -= 1;
                if *holders == 0 {
                    self.sum -= *longest;
                    self.buffers.remove(&end);
                }
            }
        }
    }
}

/// The memory held by one connection.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    /// Bytes not shared with other connections.
    pub(crate) own: usize,
    /// Bytes being written at this moment. Their buffers are not in the queue, and therefore
    /// unknown.
    pub(crate) in_flight: usize,
    /// The end address of each buffer, and the number of its bytes still to be written.
    pub(crate) buffers: Vec<(usize, usize)>,
}

impl Usage {
    /// Returns the total number of bytes, including shared ones.
    pub(crate) fn size(&self) -> usize {
        self.own + self.in_flight + self.buffers.iter().map(|(_, len)| len).sum::<usize>()
    }
}

#[cfg(all(test, not(roomer_loom)))]
mod tests {
    use super::*;

    const MARKS: WaterMarks = WaterMarks { kept: 10, high: 10, max: 20 };

    #[test]
    fn recount_is_due_once_usage_may_exceed_limit() {
        let budget = MemoryBudget::new(100, MARKS);
        budget.change(0, 100);
        assert!(!budget.may_exceed());
        budget.change(0, 1);
        assert!(budget.may_exceed());
        // The exact count contains a single buffer with two holders.
        budget.record_counted(60);
        assert!(!budget.may_exceed());
        budget.change(0, 40);
        assert!(!budget.may_exceed(), "it can be 100 by now, and no more");
        budget.change(40, 41);
        assert!(budget.may_exceed());
        budget.record_counted(101);
        assert!(budget.may_exceed(), "it is too much already");
        budget.change(141, 99);
        assert!(!budget.may_exceed(), "the actual usage cannot exceed the sum");
    }

    #[test]
    fn survives_wrap_around_of_growth_counter() {
        let budget = MemoryBudget::new(100, MARKS);
        budget.grown.store(usize::MAX - 20, Ordering::Relaxed);
        budget.record_counted(50);
        budget.change(0, 120);
        assert!(budget.may_exceed());
        budget.record_counted(50);
        assert!(!budget.may_exceed());
    }

    #[test]
    fn counts_shared_buffer_once() {
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

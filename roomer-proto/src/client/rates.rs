//! The server's rates, and how much of them the client has used.
//!
//! The server counts a packet when it arrives, which the client does not know: the packets of a minute
//! may arrive at once. So the client counts what is not confirmed as if all of it arrived together with
//! the next packet, and what is confirmed as if it had arrived at the moment of the confirmation.
//! Whatever the network does, the server has counted no more, and a client that waits for this count is
//! never too fast.

use alloc::boxed::Box;
use core::time::Duration;

use crate::Rate;

/// The packets, bytes and joins of some packets, in the order of the rates.
pub(super) type Cost = [usize; 3];

/// The time in which the client lets a rate of one per second add a token: longer than a second, since
/// clocks differ, and a server may handle a packet by the time of a moment before.
const SECOND: u64 = 1_050_000_000;

/// Holds packets back until the server's rates admit them.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Boxed, since most servers announce none.
    rates: Option<Box<Rates>>,
    /// The time at which a packet that was held back may be sent.
    due: Option<Duration>,
    /// True if one was held back until a confirmation arrives.
    is_blocked: bool,
}

/// The server's rates of packets, bytes and joins, as far as it limits them.
#[derive(Debug)]
struct Rates([Option<Bucket>; 3]);

/// A token bucket, stored as the time at which it will be full again if nothing else is confirmed.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    rate: Rate,
    full_at: Duration,
}

impl Gate {
    pub(super) fn new(rates: [Option<Rate>; 3]) -> Self {
        Gate { rates: Rates::new(rates).map(Box::new), ..Gate::default() }
    }

    /// Returns the time from which a packet of this cost may be sent; `None` if first a confirmation
    /// has to arrive.
    pub(super) fn free_at(&self, unconfirmed: Cost, cost: Cost) -> Option<Duration> {
        match &self.rates {
            Some(rates) => rates.free_at(unconfirmed, cost),
            None => Some(Duration::ZERO),
        }
    }

    /// Forgets which packets were held back.
    pub(super) fn reset(&mut self) {
        (self.due, self.is_blocked) = (None, false);
    }

    /// Returns true if a packet may be sent now. Otherwise it counts as held back.
    pub(super) fn admits(&mut self, now: Duration, unconfirmed: Cost, cost: Cost) -> bool {
        match self.free_at(unconfirmed, cost) {
            Some(at) if now >= at => return true,
            Some(at) => self.due = Some(self.due.map_or(at, |other| other.min(at))),
            None => self.is_blocked = true,
        }
        false
    }

    /// Returns the time at which a packet that was held back may be sent.
    pub(super) fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Counts packets that the server has confirmed.
    pub(super) fn confirmed(&mut self, now: Duration, cost: Cost) {
        if let Some(rates) = &mut self.rates {
            rates.confirmed(now, cost);
        }
    }

    /// Returns true if a confirmation is needed, now or soon: the server has to be asked before the
    /// unconfirmed packets take a whole bucket.
    pub(super) fn is_short(&self, unconfirmed: Cost) -> bool {
        let is_short = |rates: &Rates| self.is_blocked || rates.is_short(unconfirmed);
        self.rates.as_deref().is_some_and(is_short)
    }
}

impl Rates {
    /// Creates the count of a new session; `None` if nothing is limited.
    fn new(rates: [Option<Rate>; 3]) -> Option<Self> {
        let is_limited = rates.iter().any(Option::is_some);
        let full = |rate| Bucket { rate, full_at: Duration::ZERO };
        is_limited.then(|| Rates(rates.map(|rate| rate.map(full))))
    }

    fn buckets(&self) -> impl Iterator<Item = (Bucket, usize)> {
        self.0.iter().enumerate().filter_map(|(at, bucket)| Some(((*bucket)?, at)))
    }

    fn free_at(&self, unconfirmed: Cost, cost: Cost) -> Option<Duration> {
        self.buckets().try_fold(Duration::ZERO, |latest, (bucket, at)| {
            Some(latest.max(bucket.free_at(unconfirmed[at], cost[at])?))
        })
    }

    fn confirmed(&mut self, now: Duration, cost: Cost) {
        for (bucket, cost) in self.0.iter_mut().zip(cost) {
            if let Some(bucket) = bucket {
                bucket.full_at = bucket.full_at.max(now) + bucket.time_of(cost);
            }
        }
    }

    /// Returns true if unconfirmed packets take more than half of a bucket.
    fn is_short(&self, unconfirmed: Cost) -> bool {
        self.buckets().any(|(bucket, at)| unconfirmed[at] > bucket.burst() / 2)
    }
}

impl Bucket {
    fn burst(self) -> usize {
        usize::try_from(self.rate.burst()).unwrap_or(usize::MAX)
    }

    /// Returns the time in which the rate adds so many tokens, a little too long.
    fn time_of(self, count: usize) -> Duration {
        let nanos = SECOND.div_ceil(self.rate.per_second().into());
        // A burst at one per second fits easily; more is never waited for.
        Duration::from_nanos(nanos).saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
    }

    fn free_at(self, unconfirmed: usize, cost: usize) -> Option<Duration> {
        if cost == 0 {
            return Some(Duration::ZERO);
        }
        let burst = self.burst();
        // A packet larger than the burst never passes; alone it is sent all the same, so that the
        // server decides.
        let wanted = if unconfirmed == 0 { cost.min(burst) } else { unconfirmed + cost };
        let spare = burst.checked_sub(wanted)?;
        Some(self.full_at.saturating_sub(self.time_of(spare)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Cost = [0; 3];
    const JOIN: Cost = [1, 30, 1];

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_burst_passes_and_then_one_packet_per_interval_after_its_confirmation() {
        assert!(Rates::new([None; 3]).is_none());
        let mut rates = Rates::new([Rate::new(10, 3), None, None]).unwrap();
        let free_at = |rates: &Rates, unconfirmed| rates.free_at([unconfirmed, 0, 0], JOIN);
        assert_eq!(
            [0, 1, 2, 3].map(|sent| free_at(&rates, sent).is_some()),
            [true, true, true, false]
        );
        assert_eq!([0, 1, 2].map(|sent| rates.is_short([sent, 0, 0])), [false, false, true]);
        rates.confirmed(millis(1000), [3, 0, 0]);
        assert_eq!(free_at(&rates, 0), Some(millis(1105)));
        assert_eq!(free_at(&rates, 1), Some(millis(1210)));
        // Both are confirmed at their latest possible time.
        rates.confirmed(millis(1300), [1, 0, 0]);
        assert_eq!(free_at(&rates, 0), Some(millis(1210)));
        rates.confirmed(millis(9000), [1, 0, 0]);
        assert_eq!(free_at(&rates, 2), Some(millis(9105)), "a pause fills the bucket");
    }

    #[test]
    fn the_slowest_of_the_rates_decides() {
        let limits = [Rate::new(10, 3), Rate::new(10, 40), Rate::new(1, 2)];
        let mut rates = Rates::new(limits).unwrap();
        assert!(rates.free_at([1, 30, 1], JOIN).is_none(), "too many bytes");
        assert!(rates.free_at([1, 10, 1], JOIN).is_some());
        rates.confirmed(millis(0), [2, 0, 2]);
        assert_eq!(rates.free_at(NONE, JOIN), Some(millis(1050)), "the joins");
        assert_eq!(rates.free_at(NONE, [1, 1, 0]), Some(Duration::ZERO), "a message is not a join");
        assert!(rates.free_at(NONE, [1, 1000, 0]).is_some(), "alone, whatever its length");
        assert!(rates.free_at([1, 1, 0], [1, 1000, 0]).is_none());
    }

    #[test]
    fn extreme_rates_and_times_do_not_overflow() {
        for rate in [Rate::new(1, u32::MAX), Rate::new(u32::MAX, 1), Rate::new(u32::MAX, u32::MAX)]
        {
            let mut rates = Rates::new([rate; 3]).unwrap();
            rates.confirmed(Duration::from_secs(1 << 40), [usize::MAX; 3]);
            let _ = rates.free_at([1; 3], [usize::MAX - 1; 3]);
            assert!(rates.free_at(NONE, JOIN).is_some());
        }
    }
}

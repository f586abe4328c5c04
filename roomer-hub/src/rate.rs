//! Token bucket rate limiting.

use std::num::NonZeroU32;
use std::time::Duration;

/// One token in the unit of [`Bucket`], in which a rate of `n` tokens per second adds `n` units
/// per nanosecond.
const TOKEN: u128 = 1_000_000_000;

/// A token bucket's rate: `per_second` tokens on average, with bursts of up to `burst`. The bucket
/// starts full.
///
/// ```
/// use roomer_hub::Rate;
///
/// let rate = Rate::new(10, 50);
/// assert!(rate.is_some_and(|rate| rate.per_second() == 10 && rate.burst() == 50));
/// assert_eq!(Rate::new(10, 0), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    per_second: NonZeroU32,
    burst: NonZeroU32,
}

impl Rate {
    /// Creates a rate. Returns `None` if either argument is zero, since that would reject all
    /// tokens, or all tokens after the first burst.
    #[must_use]
    pub const fn new(per_second: u32, burst: u32) -> Option<Self> {
        match (NonZeroU32::new(per_second), NonZeroU32::new(burst)) {
            (Some(per_second), Some(burst)) => Some(Rate { per_second, burst }),
            _ => None,
        }
    }

    /// Returns the number of tokens added per second.
    #[must_use]
    pub const fn per_second(self) -> u32 {
        self.per_second.get()
    }

    /// Returns the bucket's capacity in tokens.
    #[must_use]
    pub const fn burst(self) -> u32 {
        self.burst.get()
    }
}

/// A token bucket, stored as the time at which it will be full again (the theoretical arrival time
/// in the generic cell rate algorithm). The unit is nanoseconds times tokens per second, in which
/// all values are integers. Therefore nothing is rounded, and no [`Duration`] causes an overflow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    full_at: u128,
}

impl Bucket {
    /// Takes `count` tokens. Returns false, and takes none, if there are fewer.
    ///
    /// If the deficit shows that the clock has jumped back, the bucket is refilled: admitting a
    /// burst is better than closing every connection.
    pub(crate) fn take(&mut self, rate: Rate, now: Duration, count: usize) -> bool {
        // At most 2^94 nanoseconds times 2^32 tokens per second, so neither this product nor the
        // sum below can overflow.
        let now = now.as_nanos() * u128::from(rate.per_second());
        let capacity = u128::from(rate.burst()) * TOKEN;
        let missing = self.full_at.saturating_sub(now);
        // The deficit never exceeds the capacity, unless the clock has jumped back.
        let missing = if missing > capacity { 0 } else { missing };
        let missing = missing + count as u128 * TOKEN;
        if missing > capacity {
            return false;
        }
        // Update only on success so that a client that keeps exceeding the rate is still admitted
        // occasionally.
        self.full_at = now + missing;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn per_second(per_second: u32, burst: u32) -> Rate {
        Rate::new(per_second, burst).expect("not zero")
    }

    fn nanos(nanos: u64) -> Duration {
        Duration::from_nanos(nanos)
    }

    #[test]
    fn fractional_refill_is_not_rounded() {
        let (rate, mut bucket) = (per_second(3, 1), Bucket::default());
        assert!(bucket.take(rate, nanos(0), 1));
        assert!(!bucket.take(rate, nanos(333_333_333), 1));
        assert!(bucket.take(rate, nanos(333_333_334), 1));
        let (rate, mut bucket) = (per_second(3, 3), Bucket::default());
        let mut passed = 0;
        for at in 0..=1_000_000 {
            passed += u32::from(bucket.take(rate, Duration::from_millis(at), 1));
        }
        assert_eq!(passed, 3 + 3_000, "a burst and a thousand seconds");
    }

    #[test]
    fn rejection_takes_no_tokens() {
        let (rate, mut bucket) = (per_second(1, 10), Bucket::default());
        assert!(!bucket.take(rate, nanos(0), 11));
        assert!(bucket.take(rate, nanos(0), 10));
        assert!(!bucket.take(rate, nanos(0), usize::MAX));
        assert!(bucket.take(rate, Duration::from_secs(4), 4));
        assert!(!bucket.take(rate, Duration::from_secs(4), 1));
    }

    #[test]
    fn bucket_refills_up_to_burst() {
        let (rate, mut bucket) = (per_second(1, 2), Bucket::default());
        for hours in [0, 1, 1_000_000] {
            let now = Duration::from_secs(3600 * hours);
            let taken = [(); 3].map(|()| bucket.take(rate, now, 1));
            assert_eq!(taken, [true, true, false], "after {hours} h");
        }
    }

    #[test]
    fn clock_jumps_neither_overflow_nor_block() {
        let most = u32::MAX;
        for (speed, burst) in [(most, most), (1, 1), (most, 1), (1, most)] {
            let (rate, mut bucket) = (per_second(speed, burst), Bucket::default());
            for now in [Duration::MAX, Duration::ZERO, Duration::MAX, Duration::ZERO] {
                assert!(bucket.take(rate, now, burst as usize), "{rate:?} at {now:?}");
                assert!(!bucket.take(rate, now, 1), "{rate:?} at {now:?}");
            }
        }
    }
}

//! How often something may happen: token buckets that keep no tokens.

use std::num::NonZeroU32;
use std::time::Duration;

/// One token: a nanosecond at a rate of `n` tokens per second brings `n` of these.
const TOKEN: u128 = 1_000_000_000;

/// So many per second on average, and so many at once after a pause: a token bucket that is full
/// at first.
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
    /// A rate of `per_second` tokens per second, of which `burst` are there at once. `None` when
    /// either is zero, which would let nothing pass, or nothing ever again.
    #[must_use]
    pub const fn new(per_second: u32, burst: u32) -> Option<Self> {
        match (NonZeroU32::new(per_second), NonZeroU32::new(burst)) {
            (Some(per_second), Some(burst)) => Some(Rate { per_second, burst }),
            _ => None,
        }
    }

    /// Tokens that come back in a second.
    #[must_use]
    pub const fn per_second(self) -> u32 {
        self.per_second.get()
    }

    /// Tokens that a full bucket holds.
    #[must_use]
    pub const fn burst(self) -> u32 {
        self.burst.get()
    }
}

/// A bucket by the moment at which it will be full again (the generic cell rate algorithm's
/// theoretical arrival time), in nanoseconds times the tokens per second. In that unit every
/// number is whole, so nothing is ever rounded; no [`Duration`] is too long for it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    full_at: u128,
}

impl Bucket {
    /// Takes `count` tokens. False, and nothing is taken, when there are fewer.
    ///
    /// A clock that is seen to have gone back fills the bucket: better let one through than close
    /// everybody.
    pub(crate) fn take(&mut self, rate: Rate, now: Duration, count: usize) -> bool {
        let now = now.as_nanos() * u128::from(rate.per_second());
        let capacity = u128::from(rate.burst()) * TOKEN;
        let lacking = self.full_at.saturating_sub(now);
        let lacking = if lacking > capacity { 0 } else { lacking };
        let lacking = lacking + count as u128 * TOKEN;
        if lacking > capacity {
            return false;
        }
        self.full_at = now + lacking;
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
    fn a_third_of_a_second_is_not_rounded() {
        let (rate, mut bucket) = (per_second(3, 1), Bucket::default());
        assert!(bucket.take(rate, nanos(0), 1));
        assert!(!bucket.take(rate, nanos(333_333_333), 1));
        assert!(bucket.take(rate, nanos(333_333_334), 1));
        let (rate, mut bucket) = (per_second(3, 3), Bucket::default());
        let mut passed = 0;
        for at in 0..=1_000_000 {
            passed += u32::from(bucket.take(rate, Duration::from_millis(at), 1));
        }
        assert_eq!(passed, 3 + 3_000, "a burst, and a thousand seconds' worth");
    }

    #[test]
    fn what_is_refused_costs_nothing() {
        let (rate, mut bucket) = (per_second(1, 10), Bucket::default());
        assert!(!bucket.take(rate, nanos(0), 11));
        assert!(bucket.take(rate, nanos(0), 10));
        assert!(!bucket.take(rate, nanos(0), usize::MAX));
        assert!(bucket.take(rate, Duration::from_secs(4), 4));
        assert!(!bucket.take(rate, Duration::from_secs(4), 1));
    }

    #[test]
    fn a_pause_fills_a_bucket_and_no_more() {
        let (rate, mut bucket) = (per_second(1, 2), Bucket::default());
        for hours in [0, 1, 1_000_000] {
            let now = Duration::from_secs(3600 * hours);
            let taken = [(); 3].map(|()| bucket.take(rate, now, 1));
            assert_eq!(taken, [true, true, false], "after {hours} h");
        }
    }

    #[test]
    fn no_jump_of_the_clock_overflows_or_shuts_out_for_ever() {
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

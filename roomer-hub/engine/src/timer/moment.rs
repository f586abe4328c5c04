//! A compact time on the server's clock: eight bytes, half the size of a [`Duration`].
//!
//! Each connection stores several.

use std::cmp::Ordering;
use std::num::NonZeroU64;
use std::time::Duration;

/// The number of nanoseconds since the clock's start, plus one, so that an `Option<Moment>` takes
/// eight bytes too. The range is 584 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(NonZeroU64);

impl Moment {
    /// Returns an integer with the same order as the moments.
    pub(crate) fn to_bits(self) -> u64 {
        self.0.get()
    }

    /// Returns the moment for an integer from [`to_bits`](Self::to_bits).
    pub(crate) fn from_bits(bits: u64) -> Moment {
        Moment(NonZeroU64::new(bits).unwrap_or(NonZeroU64::MIN))
    }
}

impl From<Duration> for Moment {
    fn from(at: Duration) -> Self {
        // A time beyond the range saturates, since the clock never reaches it.
        let nanos = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        Moment(NonZeroU64::MIN.saturating_add(nanos))
    }
}

impl From<Moment> for Duration {
    fn from(moment: Moment) -> Self {
        Duration::from_nanos(moment.0.get() - 1)
    }
}

impl PartialEq<Moment> for Duration {
    fn eq(&self, other: &Moment) -> bool {
        Moment::from(*self) == *other
    }
}

impl PartialOrd<Moment> for Duration {
    fn partial_cmp(&self, other: &Moment) -> Option<Ordering> {
        Moment::from(*self).partial_cmp(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_nanosecond_resolution() {
        for nanos in [0, 1, 999_999_999, 1_000_000_000, u64::MAX - 1] {
            let at = Duration::from_nanos(nanos);
            assert_eq!(Duration::from(Moment::from(at)), at);
            assert!(at == Moment::from(at) && at >= Moment::from(at));
        }
        assert!(Moment::from(Duration::ZERO) < Moment::from(Duration::from_nanos(1)));
    }

    #[test]
    fn times_saturate_at_last_moment() {
        let last = Moment::from(Duration::from_nanos(u64::MAX - 1));
        assert_eq!(Moment::from(Duration::MAX), last);
    }
}

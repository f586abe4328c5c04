//! Rates, as a server limits and announces them.

use core::num::NonZeroU32;

/// A rate of a token bucket: `per_second` tokens on average, `burst` at once. The bucket starts
/// full.
///
/// ```
/// use roomer_proto::Rate;
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
    /// Creates a rate. Returns `None` if either argument is zero, which would reject every token,
    /// or every token after the first burst.
    #[must_use]
    pub const fn new(per_second: u32, burst: u32) -> Option<Self> {
        match (NonZeroU32::new(per_second), NonZeroU32::new(burst)) {
            (Some(per_second), Some(burst)) => Some(Rate { per_second, burst }),
            _ => None,
        }
    }

    /// Returns the number of tokens that are added per second.
    #[must_use]
    pub const fn per_second(self) -> u32 {
        self.per_second.get()
    }

    /// Returns the number of tokens in a full bucket.
    #[must_use]
    pub const fn burst(self) -> u32 {
        self.burst.get()
    }
}

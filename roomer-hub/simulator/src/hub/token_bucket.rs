//! A textbook token bucket, which the naive model uses.

use std::time::Duration;

/// The refill rate in tokens per second, and the capacity in tokens.
pub type RateSpec = (u32, u32);

/// The number of units per token. A bucket gains one unit per nanosecond for each token per second
/// of its rate.
const TOKEN: i128 = 1_000_000_000;

/// The kinds of rates. The values are the indices in [`Plan::rates`](super::plan::Plan).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    Messages = 0,
    Bytes = 1,
    Joins = 2,
    Violations = 3,
}

#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    left: i128,
    at: Duration,
}

/// The result of an attempt to take tokens.
#[derive(Clone, Copy, Debug)]
pub struct Withdrawal {
    pub of: Quota,
    /// The amount that was missing, in billionths of a token; 0 if there was enough.
    pub missing: i128,
    /// True if the bucket contained exactly as many tokens as were wanted.
    pub is_exact: bool,
    /// True if the bucket contained enough only because it had been refilled.
    pub by_refill: bool,
    /// True if the refill exceeded the bucket's capacity.
    pub overflowed: bool,
    /// True if the bucket was filled completely because the clock had been set back.
    pub clock_went_back: bool,
}

impl Withdrawal {
    pub fn is_granted(&self) -> bool {
        self.missing == 0
    }

    /// Returns two flags: whether less than one token was missing, and whether exactly one was
    /// missing.
    pub fn is_close(&self) -> (bool, bool) {
        ((1..TOKEN).contains(&self.missing), self.missing == TOKEN)
    }
}

impl Bucket {
    /// Returns true if the bucket contains less than one token.
    pub fn is_empty(&self) -> bool {
        self.left < TOKEN
    }

    /// Takes tokens from a bucket. A bucket that was never used is full.
    pub fn take(
        slot: &mut Option<Bucket>,
        of: Quota,
        (per_second, burst): RateSpec,
        now: Duration,
        count: usize,
    ) -> Withdrawal {
        let capacity = i128::from(burst) * TOKEN;
        let before = slot.unwrap_or(Bucket { left: capacity, at: now });
        // Use signed numbers, since the clock may have been set back. `Duration::MAX` is below 2^94
        // nanoseconds.
        let passed = now.as_nanos() as i128 - before.at.as_nanos() as i128;
        let refilled = before.left + passed * i128::from(per_second);
        // A small backward step of the clock is not detected if the bucket contains enough tokens
        // to make up for it.
        let clock_went_back = refilled < 0;
        let there = if clock_went_back { capacity } else { refilled.min(capacity) };
        let wanted = count as i128 * TOKEN;
        // If the tokens do not suffice, none are taken.
        let left = if wanted <= there { there - wanted } else { there };
        *slot = Some(Bucket { left, at: now });
        Withdrawal {
            of,
            missing: (wanted - there).max(0),
            is_exact: wanted == there,
            by_refill: (before.left + 1..=there).contains(&wanted) && !clock_went_back,
            overflowed: refilled > capacity,
            clock_went_back,
        }
    }
}

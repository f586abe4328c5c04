//! A textbook token bucket, for the naive model.

use std::time::Duration;

/// The refill in tokens per second, and the bucket's capacity.
pub type RateSpec = (u32, u32);

/// One token. Each nanosecond adds one unit per token per second.
const TOKEN: i128 = 1_000_000_000;

/// A connection's limits. The values are indices into [`Plan::rates`](super::plan::Plan).
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
    /// The missing amount in billionths of a token; 0 if there were enough.
    pub missing: i128,
    /// True if exactly the available tokens were taken.
    pub is_exact: bool,
    /// True if there were enough only because of a refill.
    pub by_refill: bool,
    /// True if the bucket was refilled beyond its capacity.
    pub overflowed: bool,
    /// True if the bucket was refilled because the clock had gone back.
    pub clock_went_back: bool,
}

impl Withdrawal {
    pub fn is_granted(&self) -> bool {
        self.missing == 0
    }

    /// Returns true if less than a token was missing, and true if exactly one token was missing.
    pub fn is_close(&self) -> (bool, bool) {
        ((1..TOKEN).contains(&self.missing), self.missing == TOKEN)
    }
}

impl Bucket {
    /// Returns true if the bucket does not contain a whole token.
    pub fn is_empty(&self) -> bool {
        self.left < TOKEN
    }

    /// Takes tokens from a bucket. An unused bucket is full.
    pub fn take(
        slot: &mut Option<Bucket>,
        of: Quota,
        (per_second, burst): RateSpec,
        now: Duration,
        count: usize,
    ) -> Withdrawal {
        let capacity = i128::from(burst) * TOKEN;
        let before = slot.unwrap_or(Bucket { left: capacity, at: now });
        // Use signed numbers, since the clock may go back. `Duration::MAX` is below 2^94
        // nanoseconds.
        let passed = now.as_nanos() as i128 - before.at.as_nanos() as i128;
        let refilled = before.left + passed * i128::from(per_second);
        // A small step back is not detectable if the stored tokens make up for it.
        let clock_went_back = refilled < 0;
        let there = if clock_went_back { capacity } else { refilled.min(capacity) };
        let wanted = count as i128 * TOKEN;
        // A rejected packet takes no tokens.
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

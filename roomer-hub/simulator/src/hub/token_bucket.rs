//! A token bucket as it is drawn on a blackboard: tokens in it, and a clock that drips.

use std::time::Duration;

/// Tokens per second, and how many a bucket holds.
pub type RateSpec = (u32, u32);

/// One token: a nanosecond drips one of these for each token per second.
const TOKEN: i128 = 1_000_000_000;

/// What a connection may run out of. The numbers are places in [`Plan::paces`](super::plan::Plan).
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

/// What became of an attempt to take tokens.
#[derive(Clone, Copy, Debug)]
pub struct Withdrawal {
    pub of: Quota,
    /// How much was missing, in billionths of a token; 0 when there was enough.
    pub missing: i128,
    /// It has taken the last drop.
    pub is_exact: bool,
    /// There was enough only because time has passed.
    pub by_refill: bool,
    /// More had dripped than there was place for.
    pub overflowed: bool,
    /// The bucket was filled because the clock had gone back.
    pub clock_went_back: bool,
}

impl Withdrawal {
    pub fn is_granted(&self) -> bool {
        self.missing == 0
    }

    /// A part of a token was missing, or one.
    pub fn is_close(&self) -> (bool, bool) {
        ((1..TOKEN).contains(&self.missing), self.missing == TOKEN)
    }
}

impl Bucket {
    /// Whether there is not even one token in it, as it stands.
    pub fn is_empty(&self) -> bool {
        self.left < TOKEN
    }

    /// Takes tokens from a bucket, which is full if nobody has used it yet.
    pub fn take(
        slot: &mut Option<Bucket>,
        of: Quota,
        (per_second, burst): RateSpec,
        now: Duration,
        count: usize,
    ) -> Withdrawal {
        let brim = i128::from(burst) * TOKEN;
        let before = slot.unwrap_or(Bucket { left: brim, at: now });
        let passed = now.as_nanos() as i128 - before.at.as_nanos() as i128;
        let dripped = before.left + passed * i128::from(per_second);
        let clock_went_back = dripped < 0;
        let there = if clock_went_back { brim } else { dripped.min(brim) };
        let wanted = count as i128 * TOKEN;
        let left = if wanted <= there { there - wanted } else { there };
        *slot = Some(Bucket { left, at: now });
        Withdrawal {
            of,
            missing: (wanted - there).max(0),
            is_exact: wanted == there,
            by_refill: (before.left + 1..=there).contains(&wanted) && !clock_went_back,
            overflowed: dripped > brim,
            clock_went_back,
        }
    }
}

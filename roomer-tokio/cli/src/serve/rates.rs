//! Limits the rates of a client's messages and joins in the rooms that match a `[[room]]` pattern.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::serve::config::setting::Rate;

/// The actions whose rates are limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    Messages,
    Joins,
}

/// The state of one client's rates, for each rule.
#[derive(Clone)]
pub(crate) struct Buckets(Arc<Mutex<Vec<Times>>>);

/// The theoretical arrival times for the rates of one rule.
#[derive(Clone, Copy, Default)]
struct Times {
    messages: Option<Instant>,
    joins: Option<Instant>,
}

impl Buckets {
    /// Returns the initial state of a client, for this number of rules.
    pub(crate) fn new(rules: usize) -> Buckets {
        Buckets(Arc::new(Mutex::new(vec![Times::default(); rules])))
    }

    /// Returns the initial state of another client, for the same rules.
    pub(crate) fn empty(&self) -> Buckets {
        Buckets::new(self.0.lock().unwrap_or_else(PoisonError::into_inner).len())
    }

    /// Counts an action. Returns the time at which the rate permits it.
    ///
    /// Uses the generic cell rate algorithm: each action moves the time forward by its share of a
    /// second. Since the server handles a client's packets one at a time, an action waits for at
    /// most one share.
    pub(crate) fn reserve(
        &self,
        rule: usize,
        counted: Counted,
        rate: Rate,
        now: Instant,
    ) -> Instant {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() <= rule {
            // Rules have been added since the client connected.
            buckets.resize(rule + 1, Times::default());
        }
        let Some(times) = buckets.get_mut(rule) else { return now };
        let bucket = match counted {
            Counted::Messages => &mut times.messages,
            Counted::Joins => &mut times.joins,
        };
        // Only positive rates can be parsed, so the divisor is not zero.
        let share = Duration::from_secs(1) / rate.per_second;
        // Do not start before `now`, so that a pause restores only the burst.
        let next = bucket.unwrap_or(now).max(now) + share;
        *bucket = Some(next);
        now + (next - now).saturating_sub(share * rate.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_permits_burst_then_delays() {
        let rate = Rate { per_second: 2, burst: 3 };
        let buckets = Buckets::new(1);
        let start = Instant::now();
        let millis = Duration::from_millis;
        let reserve = |at| buckets.reserve(0, Counted::Messages, rate, start + millis(at)) - start;
        assert_eq!([0, 0, 0].map(reserve), [millis(0); 3]);
        assert_eq!(reserve(0), millis(500));
        assert_eq!(reserve(500), millis(1000));
        assert_eq!(reserve(1300), millis(1500));
        // A pause restores the burst, but no more than that.
        assert_eq!([60_000; 3].map(reserve), [millis(60_000); 3]);
        assert_eq!(reserve(60_000), millis(60_500));
        // Joins have their own count, and so does every other rule, even one that was added later.
        assert_eq!(buckets.reserve(0, Counted::Joins, rate, start), start);
        assert_eq!(buckets.reserve(1, Counted::Messages, rate, start), start);
    }
}

//! Keeps one kind of packet within one of the server's rates: a burst, and then one per second.
//!
//! The server would reject packets above the rate.

use core::time::Duration;

/// The time after which one more packet may be sent.
const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Pace {
    /// The accumulated time. Each [`INTERVAL`] of it permits one packet.
    credit: Duration,
    most: Duration,
    /// The time at which `credit` was last calculated.
    at: Duration,
}

impl Pace {
    pub(super) fn new(most: u32) -> Self {
        let most = most * INTERVAL;
        Pace { credit: most, most, at: Duration::ZERO }
    }

    /// Returns true if a packet may be sent now.
    pub(super) fn take(&mut self, now: Duration) -> bool {
        self.credit = self.most.min(self.credit + now.saturating_sub(self.at));
        self.at = now;
        let rest = self.credit.checked_sub(INTERVAL);
        self.credit = rest.unwrap_or(self.credit);
        rest.is_some()
    }

    /// Discards the time that has passed since the last calculation, so that it permits no packets.
    pub(super) fn restart(&mut self, now: Duration) {
        self.at = now;
    }

    /// Returns the credit for a packet that the server did not count.
    pub(super) fn give_back(&mut self) {
        self.credit = self.most.min(self.credit + INTERVAL);
    }

    /// Returns the time from which a packet may be sent.
    pub(super) fn due_at(&self) -> Duration {
        self.at + INTERVAL.saturating_sub(self.credit)
    }
}

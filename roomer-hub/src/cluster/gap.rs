//! The frames that are missing in a peer's stream, and the requests for them.

use std::time::Duration;

/// The interval between requests for the same missing frames.
pub(super) const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// The maximum number of requests for the same missing frames.
pub(super) const MAX_REQUESTS: u32 = 3;

/// Frames that are missing, while later ones are known to exist.
#[derive(Debug)]
pub(super) struct Gap {
    pub(super) since: Duration,
    /// The time of the last request for the missing frames.
    pub(super) requested_at: Duration,
    /// The number of requests for the missing frames.
    pub(super) requests: u32,
    /// The number of the last requested frame.
    pub(super) requested_up_to: u64,
    /// True if another gap was closed just before, so losses are scattered.
    pub(super) is_scattered: bool,
}

impl Gap {
    /// Returns the time at which the frames count as lost; `None` until they have been requested as
    /// often as `repair_timeout` allows, since a suspension may have left them in the socket buffer.
    pub(super) fn lost_at(&self, repair_timeout: Duration) -> Option<Duration> {
        // Subtract two intervals: the first request may be sent one interval late, and one interval
        // must remain for the answer to the last request.
        let intervals = repair_timeout.as_millis() / RETRY_INTERVAL.as_millis();
        let max_requests = intervals.saturating_sub(2).min(MAX_REQUESTS.into());
        let end = self.since + repair_timeout;
        match max_requests {
            0 => Some(end),
            _ if u128::from(self.requests) < max_requests => None,
            _ => Some(end.max(self.requested_at + RETRY_INTERVAL)),
        }
    }
}

//! Scheduling of acknowledgements for received packets.

use core::num::NonZeroU64;
use core::time::Duration;

/// An acknowledgement is due after this many packets.
const MAX_PACKETS: u32 = 64;
/// An acknowledgement is due after this many bytes.
const MAX_BYTES: u32 = 64 * 1024;
/// The maximum delay of an acknowledgement after the first packet.
const MAX_DELAY: Duration = Duration::from_secs(5);

/// Counts the packets received by one end of a session, and schedules acknowledgements: after 64
/// packets or 64 KiB, and at most 5 s after the first packet.
///
/// ```
/// use std::time::Duration;
/// use roomer_proto::extended::AckSchedule;
///
/// let now = Duration::ZERO;
/// let mut received = AckSchedule::default();
/// assert_eq!(received.due_at(), None);
/// received.received(now, 100);
/// assert_eq!(received.due_at(), Some(Duration::from_secs(5)));
/// assert_eq!(received.acknowledge(), 1);
/// assert_eq!(received.due_at(), None);
/// (0..64).for_each(|_| received.received(now, 100));
/// assert_eq!(received.due_at(), Some(now));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AckSchedule {
    count: u64,
    /// The number of packets since the last acknowledgement. This and `bytes` are `u32` because
    /// each end of each session has a schedule.
    packets: u32,
    /// The number of bytes in these packets.
    bytes: u32,
    /// The time in nanoseconds, plus one: it is never zero, so the `Option` takes only eight bytes.
    due_at: Option<NonZeroU64>,
}

impl AckSchedule {
    /// Counts a packet of `bytes` bytes that was received at `now`.
    pub fn received(&mut self, now: Duration, bytes: usize) {
        self.count += 1;
        // Saturate so that a caller that never acknowledges cannot cause a panic.
        self.packets = self.packets.saturating_add(1);
        self.bytes = self.bytes.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        let is_due = self.packets >= MAX_PACKETS || self.bytes >= MAX_BYTES;
        let due_at = nanos(if is_due { now } else { now + MAX_DELAY });
        // Take the earlier time: later packets do not postpone the deadline of the first.
        self.due_at = Some(self.due_at.map_or(due_at, |at| at.min(due_at)));
    }

    /// Returns the number of packets received in this session.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the time at which an acknowledgement is due; `None` if there is nothing to
    /// acknowledge.
    #[must_use]
    pub fn due_at(&self) -> Option<Duration> {
        self.due_at.map(|at| Duration::from_nanos(at.get() - 1))
    }

    /// Marks all packets as acknowledged, and returns the count to send.
    pub fn acknowledge(&mut self) -> u64 {
        (self.packets, self.bytes, self.due_at) = (0, 0, None);
        self.count
    }
}

/// Converts a time to nanoseconds plus one. Saturates after 584 years.
fn nanos(at: Duration) -> NonZeroU64 {
    NonZeroU64::MIN.saturating_add(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX))
}

/// Parses an acknowledgement's count: digits without a sign or leading zeros.
///
/// ```
/// use roomer_proto::extended::parse_count;
/// assert_eq!(parse_count(b"17"), Some(17));
/// for bad in [&b""[..], b"017", b"+17", b"-1", b"1.0", b" 1", b"18446744073709551616"] {
///     assert_eq!(parse_count(bad), None);
/// }
/// ```
#[must_use]
pub fn parse_count(payload: &[u8]) -> Option<u64> {
    // Accept only the canonical form, so that clients in all languages accept the same counts.
    let is_canonical = payload.first().is_some_and(|&digit| digit != b'0' || payload.len() == 1);
    let is_digits = payload.iter().all(u8::is_ascii_digit);
    let text = core::str::from_utf8(payload).ok().filter(|_| is_canonical && is_digits)?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgement_is_due_by_bytes_or_packets() {
        let mut received = AckSchedule::default();
        received.received(Duration::from_secs(1), MAX_BYTES as usize - 1);
        assert_eq!(received.due_at(), Some(Duration::from_secs(6)));
        received.received(Duration::from_secs(2), 1);
        assert_eq!(received.due_at(), Some(Duration::from_secs(2)));
    }

    #[test]
    fn later_packets_do_not_postpone_acknowledgement() {
        let mut received = AckSchedule::default();
        (1..=5).for_each(|second| received.received(Duration::from_secs(second), 1));
        assert_eq!(received.due_at(), Some(Duration::from_secs(6)));
        assert_eq!((received.acknowledge(), received.count()), (5, 5));
    }
}

//! The limits that are not options. Those of the JavaScript client are the same.

use core::time::Duration;

/// The minimum and the maximum time that messages of a room wait for its other members after a
/// reconnect.
pub(super) const GRACE: Duration = Duration::from_secs(4);
pub(super) const LONGEST_GRACE: Duration = Duration::from_secs(30);
/// The additional wait, as a multiple of the time without a connection: delays between attempts
/// double, and the jitter makes some of them short.
pub(super) const GRACE_FACTOR: u32 = 4;

/// Maximum number of unconfirmed packets while others are queued: at first, and after many answers.
pub(super) const FIRST_WINDOW: usize = 8;
pub(super) const LARGEST_WINDOW: usize = 256;

/// The server is asked for a confirmation at once after this many bytes, or as many packets of this
/// size, and otherwise after this time.
pub(super) const PROBE_BYTES: usize = 64 * 1024;
pub(super) const PACKET_BYTES: usize = 1024;
pub(super) const PROBE_DELAY: Duration = Duration::from_secs(1);

/// The interval between packets after a close with `rate`: at first, at most, and the time until it
/// halves.
pub(super) const FIRST_PACE: Duration = Duration::from_millis(125);
pub(super) const SLOWEST_PACE: Duration = Duration::from_secs(2);
pub(super) const RELAX_TIME: Duration = Duration::from_secs(60);
/// The additional delay before the next attempt after a close with `rate`.
pub(super) const RATE_DELAY: Duration = Duration::from_secs(1);

/// The time limit of an answer can grow to this, however short the option is.
pub(super) const LONGEST_ANSWER: Duration = Duration::from_secs(60);
/// The longest wait that a server's hint can ask for, so that a wrong one does not end a client.
pub(super) const LONGEST_HINT: Duration = Duration::from_secs(3600);
/// How long a closing handshake may take.
pub(super) const CLOSE_TIME: Duration = Duration::from_secs(5);

/// The maximum size of the HTTP response in bytes.
pub(super) const LARGEST_RESPONSE: usize = 16 * 1024;
/// The maximum size of a `hello` in bytes. A larger one is not parsed, and counts as a plain
/// packet.
pub(super) const LARGEST_HELLO: usize = 64 * 1024;
/// The bytes after which `transmit` stops, so that what is not written yet stays in the queue.
pub(super) const TRANSMIT_BYTES: usize = 64 * 1024;
/// The maximum number of a server's pings that wait to be answered; older ones need no answer (RFC
/// 6455 section 5.5.3).
pub(super) const MOST_PONGS: usize = 1;
/// The maximum number of others' requests without an answer. Further ones are answered with `busy`.
pub(super) const MOST_REQUESTS: usize = 1024;
/// The maximum number of ids of earlier sessions that a client remembers.
pub(super) const MOST_OWN_IDS: usize = 16;

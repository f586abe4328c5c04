//! A client's fixed limits, the same as in the JavaScript client.

use core::time::Duration;

/// The minimum time that messages to a room wait for its other members to rejoin after a reconnect.
/// A server that shuts down spreads its clients' returns over 10 s by default.
pub(super) const GRACE: Duration = Duration::from_secs(12);
/// The maximum of that time.
pub(super) const LONGEST_GRACE: Duration = Duration::from_secs(30);
/// Additional grace, as a multiple of the time without a connection. Others may reconnect much
/// later than this client, because delays double and jitter shortens some of them.
pub(super) const GRACE_FACTOR: u32 = 4;

/// The number of unconfirmed packets allowed at first while others are queued. It grows with each
/// confirmation.
pub(super) const FIRST_WINDOW: usize = 8;
/// The maximum that this number grows to.
pub(super) const LARGEST_WINDOW: usize = 256;

/// A confirmation is requested immediately after `PROBE_BYTES` have been sent, counting each packet
/// as at least `PACKET_BYTES`, and otherwise after `PROBE_DELAY`.
pub(super) const PROBE_BYTES: usize = 64 * 1024;
pub(super) const PACKET_BYTES: usize = 1024;
pub(super) const PROBE_DELAY: Duration = Duration::from_secs(1);

/// The interval between packets after the server first closed the connection with `rate`. It
/// doubles with each further such close.
pub(super) const FIRST_PACE: Duration = Duration::from_millis(125);
/// The longest interval between packets.
pub(super) const SLOWEST_PACE: Duration = Duration::from_secs(2);
/// The time after which the interval is halved.
pub(super) const RELAX_TIME: Duration = Duration::from_secs(60);
/// The additional delay before the next attempt after a close with `rate`.
pub(super) const RATE_DELAY: Duration = Duration::from_secs(1);

/// The answer timeout can grow to this, or to four times the option if that is longer.
pub(super) const LONGEST_ANSWER: Duration = Duration::from_secs(60);
/// The longest delay that a server's hint can request, so that a wrong hint does not disable the
/// client.
pub(super) const LONGEST_HINT: Duration = Duration::from_secs(3600);
/// The timeout of the closing handshake, to which [`ACK_TIME`] is added while packets are unconfirmed.
pub(super) const CLOSE_TIME: Duration = Duration::from_secs(5);
/// How long the server may take to acknowledge packets.
pub(super) const ACK_TIME: Duration = Duration::from_secs(5);

/// The maximum size of the HTTP response in bytes.
pub(super) const LARGEST_RESPONSE: usize = 16 * 1024;
/// The maximum size of a `hello` in bytes. A larger one is treated as a plain packet, without
/// parsing it.
pub(super) const LARGEST_HELLO: usize = 64 * 1024;
/// After this many bytes, `transmit` stops and leaves unwritten packets in the queue.
pub(super) const TRANSMIT_BYTES: usize = 64 * 1024;
/// The maximum number of pings from the server waiting for a pong; older ones need no pong (RFC
/// 6455 section 5.5.3).
pub(super) const MOST_PONGS: usize = 1;
/// The maximum number of unanswered requests from others. Further ones are answered with `busy`.
pub(super) const MOST_REQUESTS: usize = 1024;
/// The maximum number of ids from earlier sessions that a client keeps per room.
pub(super) const MOST_OWN_IDS: usize = 16;

//! A client's fixed limits, the same as in the JavaScript client.

use core::time::Duration;

/// The minimum time that messages to a room wait for its other members to rejoin after a reconnect.
/// By default, a server that shuts down spreads its clients' reconnects over 10 s.
pub(super) const GRACE: Duration = Duration::from_secs(12);
/// The maximum time that messages to a room wait for its other members.
pub(super) const LONGEST_GRACE: Duration = Duration::from_secs(30);
/// The grace period added to [`GRACE`], as a multiple of the time without a connection. Other
/// members may reconnect much later than this client, because delays double and jitter shortens
/// some of them.
pub(super) const GRACE_FACTOR: u32 = 4;

/// The initial window: the number of unconfirmed packets allowed while others are queued. Each
/// confirmation doubles it.
pub(super) const FIRST_WINDOW: usize = 8;
/// The maximum window, in packets.
pub(super) const LARGEST_WINDOW: usize = 256;

/// The number of bytes sent after which a confirmation is requested immediately.
pub(super) const PROBE_BYTES: usize = 64 * 1024;
/// The minimum number of bytes that each packet counts as, towards [`PROBE_BYTES`].
pub(super) const PACKET_BYTES: usize = 1024;
/// The maximum time from sending a packet to asking a plain server for its confirmation. Also the
/// minimum interval between requests to an extended server, except while a backlog is being sent.
pub(super) const PROBE_DELAY: Duration = Duration::from_secs(1);

/// The minimum interval between packets after the server has first closed the connection with
/// `rate`. Each further close with `rate` doubles the interval.
pub(super) const FIRST_PACE: Duration = Duration::from_millis(125);
/// The longest interval between packets.
pub(super) const SLOWEST_PACE: Duration = Duration::from_secs(2);
/// The time for which the client sends at one pace before the interval between packets is halved.
pub(super) const RELAX_TIME: Duration = Duration::from_secs(60);
/// The additional delay before the next attempt after a close for exceeding a rate.
pub(super) const RATE_DELAY: Duration = Duration::from_secs(1);

/// The maximum that the answer timeout can grow to, unless four times the option is longer.
pub(super) const MAX_ANSWER_TIME: Duration = Duration::from_secs(60);
/// The longest delay before reconnecting that a server can request, so that a faulty server cannot
/// disable the client.
pub(super) const LONGEST_HINT: Duration = Duration::from_secs(3600);
/// The timeout of the closing handshake, to which [`ACK_TIME`] is added while packets are unconfirmed.
pub(super) const CLOSE_TIME: Duration = Duration::from_secs(5);
/// The maximum delay of a server's acknowledgement.
pub(super) const ACK_TIME: Duration = Duration::from_secs(5);

/// The maximum size of the server's handshake response in bytes.
pub(super) const LARGEST_RESPONSE: usize = 16 * 1024;
/// The maximum size of a `hello` in bytes. A larger packet is not parsed as one, but treated as a
/// plain packet.
pub(super) const LARGEST_HELLO: usize = 64 * 1024;
/// The number of bytes after which `transmit` stops and leaves unwritten packets in the queue.
pub(super) const TRANSMIT_BYTES: usize = 64 * 1024;
/// The maximum number of this client's unanswered requests to the server, and of those to other
/// clients, until the server has announced its limit.
pub(super) const MAX_OWN_REQUESTS: usize = 64;
/// The maximum number of unanswered requests from other clients and the server. Further requests
/// are answered with `busy`.
pub(super) const MAX_REQUESTS: usize = 1024;
/// The burst of changes of the client's info, one less than the server's. In addition, both permit
/// one change per second.
pub(super) const MAX_CHANGES: u32 = 15;
/// The burst of joins that may request past messages. The server permits one more each second.
pub(super) const MAX_RECALLS: u32 = 16;
/// The pause after a change of the info that has exceeded the server's rate. It doubles each time
/// that the repeated change is rejected too, up to [`LONGEST_PAUSE`].
pub(super) const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after a change of the info that has exceeded the server's rate.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The maximum number of ids from earlier sessions that a client keeps per room.
pub(super) const MAX_OWN_IDS: usize = 16;

//! Client options and their defaults.

use core::time::Duration;

/// The maximum of a duration option: a century, so that adding it to the clock cannot overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The options of a [`Client`](super::Client). The defaults are those of the JavaScript client.
///
/// ```
/// use roomer_proto::client::Options;
///
/// let mut options = Options::default();
/// options.retries = Some(10);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// True to request the extended protocol. The client falls back to the plain protocol if
    /// the server does not support it. Default true.
    pub extended: bool,
    /// The maximum delay before the first reconnect. It doubles after each failure. Default 500 ms.
    pub min_delay: Duration,
    /// The maximum that the delay grows to. Default 30 s.
    pub max_delay: Duration,
    /// The time for which a connection must last to count as a success, which resets the delay and
    /// the number of failures. Default 5 s.
    pub min_uptime: Duration,
    /// The number of consecutive failures after which the client stops reconnecting; `None` for no
    /// limit. Default `None`.
    pub retries: Option<u32>,
    /// The timeout of an attempt: DNS lookup, TCP, TLS and the WebSocket handshake. Default 10 s.
    pub connect_timeout: Duration,
    /// The time for which a plain server may be silent before the client pings it. An extended
    /// server announces its own interval. Default 30 s.
    pub heartbeat: Duration,
    /// The time to wait for an answer before the connection counts as lost. Default 20 s.
    pub answer_timeout: Duration,
    /// The maximum number of queued messages. Default 1,000.
    pub queue_messages: usize,
    /// The maximum total size of queued messages in bytes, and also that of packets that are sent
    /// but not confirmed. A single larger message is accepted if the queue is empty. Default 1 MiB.
    pub queue_bytes: usize,
    /// The maximum size of a message from the server, in bytes. The server may send larger messages
    /// than it accepts, such as a list of members. Default 64 MiB.
    pub max_message: usize,
    /// If set, the client offers permessage-deflate (RFC 7692): it accepts compressed messages, and
    /// compresses its own packets of at least this many bytes. The compressor and decompressor take
    /// about 350 KiB together, allocated on first use. Do not compress secrets together with text
    /// that others choose, since the compressed length reveals information about the secret.
    /// Default `None`.
    #[cfg(feature = "deflate")]
    pub deflate: Option<usize>,
    /// True if the application provides a new token for each attempt. The client then also
    /// reconnects after a close with 1008 `login expired`, which a suspended machine cannot
    /// prevent, and after an HTTP status of 401 or 403. Without a new token, the server would
    /// reject the same credentials again. A 401 or 403 that is not a roomer server's own, but that of
    /// a proxy, is final only before the first connection. The adapters' builders set this when
    /// given a token function. Default false.
    pub renews_login: bool,
    /// Replaces the [table of close codes](crate::close): returns true if the client should not
    /// reconnect after this code and reason. Default `None`.
    pub is_final: Option<fn(u16, &str) -> bool>,
}

impl Options {
    /// Limits all durations to [`LONGEST`] so that `Duration::MAX` can be used for "no limit".
    pub(super) fn bound_times(&mut self) {
        for time in [
            &mut self.min_delay,
            &mut self.max_delay,
            &mut self.min_uptime,
            &mut self.connect_timeout,
            &mut self.heartbeat,
            &mut self.answer_timeout,
        ] {
            *time = LONGEST.min(*time);
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            extended: true,
            min_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(30),
            min_uptime: Duration::from_secs(5),
            retries: None,
            connect_timeout: Duration::from_secs(10),
            heartbeat: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(20),
            queue_messages: 1000,
            queue_bytes: 1024 * 1024,
            max_message: 64 * 1024 * 1024,
            #[cfg(feature = "deflate")]
            deflate: None,
            renews_login: false,
            is_final: None,
        }
    }
}

//! The options of a client.

use core::time::Duration;

/// The longest time of an option, a century. Sums of it and the clock do not overflow.
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
    /// True if the client asks for the extended protocol. It falls back to the plain one where the
    /// server does not speak it. Default true.
    pub extended: bool,
    /// The maximum delay before the first reconnect; it doubles with each failure. Default 500 ms.
    pub min_delay: Duration,
    /// The upper bound of that maximum. Default 30 s.
    pub max_delay: Duration,
    /// The time after which a connection counts as a success: the delays start again at the first.
    /// Default 5 s.
    pub min_uptime: Duration,
    /// The number of failures in a row after which the client gives up; `None` for no limit.
    /// Default `None`.
    pub retries: Option<u32>,
    /// The time limit of an attempt: lookup, TCP, TLS and the WebSocket handshake. Default 10 s.
    pub connect_timeout: Duration,
    /// The silence of a plain server after which the client pings it. An extended server announces
    /// its own interval. Default 30 s.
    pub heartbeat: Duration,
    /// The time that an answer may take before the connection counts as lost. Default 20 s.
    pub answer_timeout: Duration,
    /// The maximum number of messages that wait. Default 1,000.
    pub queue_messages: usize,
    /// The maximum number of bytes of messages that wait, and of those that are sent and not
    /// confirmed. Default 1 MiB.
    pub queue_bytes: usize,
    /// The maximum size of a message from the server, in bytes. A server may send larger messages
    /// than it accepts, such as the list of a room's members. Default 64 MiB.
    pub max_message: usize,
    /// With a value, the client offers permessage-deflate (RFC 7692) to the server: it takes
    /// compressed messages, and compresses its own packets of at least so many bytes. A connection
    /// that has done both owns about 350 KiB for it. Compress no secret together with text that
    /// others choose: the length of the result reveals something about the secret. Default `None`.
    #[cfg(feature = "deflate")]
    pub deflate: Option<usize>,
    /// True if each attempt gets a new token from the application: the client then also reconnects
    /// after 1008 `login expired`, which a machine that sleeps cannot prevent, and after a response of
    /// 401 or 403. Without it the same credentials would be rejected again. The builders of the
    /// adapters set it if they have a function for tokens. Default false.
    pub renews_login: bool,
    /// Replaces the [table of close codes](crate::close): returns true if the client does not
    /// reconnect after this code and reason. Default `None`.
    pub is_final: Option<fn(u16, &str) -> bool>,
}

impl Options {
    /// Lowers all times to [`LONGEST`]: `Duration::MAX` stands for no limit.
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

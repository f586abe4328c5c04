//! Options for timeouts and intervals.

use std::time::Duration;

use crate::builder::Builder;

impl<E> Builder<E> {
    /// Sets the interval between pings. Default: nine tenths of
    /// [`pong_timeout`](Self::pong_timeout), 54 s.
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.ping_interval = Some(interval);
        self
    }

    /// Sets how long a client may be silent before it is closed with 1013, on the assumption that
    /// its network has failed or its machine is suspended. Any received byte, even of an incomplete
    /// message, ends the silence, and so do bytes accepted by a socket that was full. Default 60 s.
    pub fn pong_timeout(mut self, timeout: Duration) -> Self {
        self.options.pong_timeout = timeout;
        self
    }

    /// Sets how long a client's full socket may accept no bytes before the connection is closed.
    /// Default 10 s.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.options.write_timeout = timeout;
        self
    }

    /// Sets how long a handshake may take to complete. Default 10 s.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.options.handshake_timeout = timeout;
        self
    }

    /// Sets the time limit for each 64 KiB of a partly received message, and for its last part. Default
    /// 30 s: a link of 17 kbit/s is fast enough, while a client that sends a byte occasionally cannot
    /// hold memory. A slower client is closed with 1013. If nothing arrives from an extended client for
    /// half of this time, its socket is treated as lost, and its session is kept.
    pub fn message_timeout(mut self, timeout: Duration) -> Self {
        self.options.message_timeout = timeout;
        self
    }

    /// Sets how long a closing connection may accept none of its last bytes, or leave the server's
    /// close frame unanswered, and how long a client that has closed the connection remains a
    /// member while an asynchronous handler or rule for one of its earlier messages is pending.
    /// Default 5 s. A slow client that keeps accepting bytes has twelve times as long, unless the
    /// deadline of [`drain`](Self::drain) ends it earlier.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.options.close_timeout = timeout;
        self
    }

    /// Sets how long messages to a room of more than eight members are collected before they are
    /// written. Default 0: they are written as soon as all ready tasks have run. A delay of one or
    /// a few milliseconds allows a busy room's messages to share writes, trading latency for CPU
    /// time.
    pub fn coalesce(mut self, delay: Duration) -> Self {
        self.options.coalesce = delay;
        self
    }
}

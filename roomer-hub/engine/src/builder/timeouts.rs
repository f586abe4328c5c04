//! Timeouts and intervals.

use std::time::Duration;

use crate::builder::Builder;

impl<E> Builder<E> {
    /// Sets the interval between pings. Default: nine tenths of
    /// [`pong_timeout`](Self::pong_timeout), 54 s.
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.ping_interval = Some(interval);
        self
    }

    /// Sets how long a client may be silent before it is closed with 1013: its network has failed,
    /// or its machine sleeps. All traffic counts as a sign of life: a received byte, even of an
    /// incomplete message, and bytes that a full socket accepts again. Default 60 s.
    pub fn pong_timeout(mut self, timeout: Duration) -> Self {
        self.options.pong_timeout = timeout;
        self
    }

    /// Sets how long a client may accept none of the bytes queued for it. Default 10 s.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.options.write_timeout = timeout;
        self
    }

    /// Sets how long a complete handshake may take. Default 10 s.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.options.handshake_timeout = timeout;
        self
    }

    /// Sets the time limit for each 64 KiB of a partly received message, and for its last part.
    /// Default 30 s: a link of 17 kbit/s is fast enough, and a client that sends a byte now
    /// and then cannot occupy memory. A slower client is closed with 1013. For an extended client of which
    /// nothing has arrived for half of this time, the socket is lost, and its session stays.
    pub fn message_timeout(mut self, timeout: Duration) -> Self {
        self.options.message_timeout = timeout;
        self
    }

    /// Sets how long a closing connection may accept none of its last bytes, or leave the server's
    /// close frame unanswered. Default 5 s. A slow link that accepts them little by little has
    /// twelve times as long, unless the deadline of [`drain`](Self::drain) ends it earlier.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.options.close_timeout = timeout;
        self
    }

    /// Sets how long messages for a room of more than eight members are collected before they are
    /// written. Default 0: they are written as soon as all tasks that are ready have run. With a
    /// delay of one or a few milliseconds the messages of a busy room share fewer writes: it trades
    /// latency for CPU time.
    pub fn coalesce(mut self, delay: Duration) -> Self {
        self.options.coalesce = delay;
        self
    }
}

//! Options for per-connection rate limits.

use roomer_hub::Rate;

use crate::builder::{BuildError, Builder};

impl<E> Builder<E> {
    /// Limits the messages that one connection may send: `per_second` on average, in bursts of up
    /// to `burst`. Joins and leaves count too. Default: no limit. A client that exceeds the rate is
    /// closed with 1008 and the reason `rate`. Individual messages are never dropped, since the
    /// client could not tell which ones were dropped.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::Server; // or roomer_smol
    /// let server = Server::builder()
    ///     .message_rate(50, 200)
    ///     .join_rate(5, 100)
    ///     .max_message(64 * 1024)
    ///     .byte_rate(32 * 1024, 256 * 1024)
    ///     .build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    pub fn message_rate(mut self, per_second: u32, burst: u32) -> Self {
        self.config.message_rate = self.rate("message_rate", per_second, burst);
        self
    }

    /// Limits the message bytes that one connection may send, excluding frame headers. Average and
    /// burst work as in [`message_rate`](Self::message_rate). `burst` must not be below
    /// [`max_message`](Self::max_message). Default: no limit.
    pub fn byte_rate(mut self, per_second: u32, burst: u32) -> Self {
        self.config.byte_rate = self.rate("byte_rate", per_second, burst);
        self
    }

    /// Limits the joins that one connection may send. Average and burst work as in
    /// [`message_rate`](Self::message_rate). A join costs more than a message: each, even a
    /// repeated one, is answered with the room's member list, and announced to the members.
    /// Default: no limit. Choose a burst above the number of rooms that a client rejoins when it
    /// reconnects.
    pub fn join_rate(mut self, per_second: u32, burst: u32) -> Self {
        self.config.join_rate = self.rate("join_rate", per_second, burst);
        self
    }

    /// Limits the violations per connection: `per_second` on average, in bursts of up to `burst`.
    /// Above the limit, the connection is closed with 1008 and the reason `too many violations`.
    /// Default 1 and 256. A violation is a rejected message that the client could have avoided,
    /// such as a reserved event or a long name. Messages that were in flight when their sender was
    /// removed from the room, or when their receiver left, are rejected but are not violations.
    /// [`Config::violation_rate`](roomer_hub::Config::violation_rate) lists what counts.
    pub fn violation_rate(mut self, per_second: u32, burst: u32) -> Self {
        self.config.violation_rate = self.rate("violation_rate", per_second, burst);
        self
    }

    /// Never closes a connection because of violations. If both this and
    /// [`violation_rate`](Self::violation_rate) are called, the last call applies.
    pub fn unlimited_violations(mut self) -> Self {
        self.config.violation_rate = None;
        self
    }

    /// Allows direct messages only between clients that share a room other than `root`, which all
    /// connections join. Other direct messages are dropped and counted. Default: a client can send
    /// to any id that it knows, as in the Go original. Handlers are not restricted.
    pub fn shared_room_only(mut self) -> Self {
        self.config.shared_room_only = true;
        self
    }

    pub(super) fn rate(
        &mut self,
        option: &'static str,
        per_second: u32,
        burst: u32,
    ) -> Option<Rate> {
        let rate = Rate::new(per_second, burst);
        if rate.is_none() {
            self.fail(BuildError::Zero { option });
        }
        rate
    }
}

//! Options for message sizes, buffers and memory.

use crate::builder::Builder;

impl<E> Builder<E> {
    /// Sets the maximum length of a client's message in bytes. Default 16 MiB. A client that
    /// announces a longer message is closed with 1009 as soon as the length is received.
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.options.limits.max_message = bytes;
        self
    }

    /// Limits the fragments per client message to `count`, plus one for each `mean` bytes of the
    /// message. Default 1,024 and 256: a client that splits messages into one-kilobyte fragments
    /// may send large ones, while a flood of tiny or empty fragments is stopped. Above the limit,
    /// the connection is closed with 1009. With a `mean` of 0, only `count` applies.
    pub fn max_fragments(mut self, count: u32, mean: usize) -> Self {
        self.options.limits.max_fragments = count;
        self.options.limits.mean_fragment = mean;
        self
    }

    /// Sets a connection's high-water mark: the number of queued bytes, not counting the newest
    /// message, above which connections that send to it are paused briefly. Default 1 MiB.
    ///
    /// A connection above the mark is closed with 1013 if it accepts nothing for a second, or less
    /// than half the mark in four seconds. At three times the mark, as in a flood, it is closed
    /// much sooner so that senders do not wait for it. A message above 64 KiB whose transmission
    /// has begun is not counted here: on a slow link it may take as long as necessary, provided
    /// that it progresses ([`write_timeout`](Self::write_timeout)). Above four times the mark, or
    /// the sum of the mark and [`max_message`](Self::max_message) if that is more, the connection
    /// is closed immediately.
    pub fn max_backlog(mut self, bytes: usize) -> Self {
        self.options.max_backlog = bytes;
        self
    }

    /// Limits the bytes held in memory for all connections together: queued output and partly
    /// received messages. A buffer shared by many connections counts once. Above the limit,
    /// connections are closed with 1013 in descending order of bytes held, until an eighth of the
    /// budget is free; a connection whose socket does not accept even the close frame is aborted.
    ///
    /// Default: a quarter of the memory available to the process, as limited by the machine and the
    /// process's control groups
    /// ([`Environment::available_memory`](crate::Environment::available_memory)), at most 1 GiB;
    /// the rest is for the connections themselves, the system's buffers and the application.
    /// [`Server::memory_budget`](crate::Server::memory_budget) returns the value in use.
    ///
    /// The operating system's socket buffers are not included, nor are the bytes that a task queues
    /// in one poll before it writes them. Bytes that another thread is writing at this moment count
    /// only at the next flush.
    pub fn memory_budget(mut self, bytes: usize) -> Self {
        self.memory_budget = Some(bytes);
        self
    }

    /// Limits the number of rooms per connection, including `root`. Default 1,100. A join above the
    /// limit is answered with `leave_ack`.
    pub fn max_rooms(mut self, rooms: usize) -> Self {
        self.config.max_rooms = rooms;
        self
    }

    /// Limits the length in bytes of room and event names. Default 4,096.
    pub fn max_name(mut self, bytes: usize) -> Self {
        self.config.max_name = bytes;
        self
    }
}

//! The extended protocol: sessions that outlive their sockets.

use std::time::Duration;

use crate::builder::Builder;

impl<E> Builder<E> {
    /// Sets whether clients that ask for the extended protocol (`roomer=2` in the query of their
    /// address) get it. Default true, and false after [`compat`](Self::compat). Without it their
    /// query means nothing, and events that begin with `roomer:` are ordinary ones. Plain clients
    /// notice no difference, except that they may not send such events.
    pub fn extended(mut self, enabled: bool) -> Self {
        self.options.extended = enabled;
        self.config.extended = enabled;
        self
    }

    /// Sets how long the session of an extended client is kept after its socket was lost: its
    /// memberships stay, and what is sent to it meanwhile is kept for it. Default 30 s. With
    /// [`Duration::ZERO`] a lost socket ends the session, as it does with plain clients.
    ///
    /// A close by the server or the application, a close frame of the client, a drain and a
    /// shutdown always end it.
    pub fn resume_window(mut self, window: Duration) -> Self {
        self.options.resume_window = window;
        self
    }

    /// Sets how many sessions without a socket there are at most. Above it, a lost socket ends the
    /// session at once. Default 20,000: each keeps a task and its memberships for the whole
    /// [`resume_window`](Self::resume_window), whether or not its client returns.
    pub fn max_detached(mut self, sessions: usize) -> Self {
        self.options.max_detached = sessions;
        self
    }

    /// Sets the time over which a drain and a shutdown spread the return of extended clients. Each is
    /// closed with 1012 and the reason `retry=MS`, and comes back after so many milliseconds, so that
    /// the next process meets a steady rate of clients and not all of them at once. Default 10 s.
    pub fn retry_window(mut self, window: Duration) -> Self {
        self.options.retry_window = window;
        self
    }

    /// Sets how many bytes of messages, which an extended client has not acknowledged yet, are kept
    /// for its next socket. Default 256 KiB. A client without a socket that misses more has lost its
    /// session. They count against [`memory_budget`](Self::memory_budget).
    pub fn resume_buffer(mut self, bytes: usize) -> Self {
        self.options.resume_buffer = bytes;
        self
    }
}

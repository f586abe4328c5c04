//! Room history options.

use roomer_hub::History;

use crate::app::message::Message;
use crate::builder::Builder;
use crate::callbacks::handler::Callback;
use crate::server::conn::Conn;

/// The default of [`Builder::max_history`] in bytes, and a divisor: the default is at most the
/// memory budget divided by it.
const MAX_HISTORY: (usize, usize) = (64 << 20, 4);

impl<E> Builder<E> {
    /// Keeps each room's last messages, for extended clients that join later or whose session
    /// expired while they were disconnected. `pattern` is a room's name, or a name prefix followed
    /// by `*`; the first matching pattern applies. Default: no room keeps messages.
    ///
    /// A client requests the missed messages when it joins. The server sends them unchanged, after
    /// the `join_ack` and before any new message. Messages sent by handlers and by the application
    /// are also kept; direct messages are not. Plain clients are not affected.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::{History, Server}; // or roomer_smol
    /// use std::time::Duration;
    ///
    /// let server = Server::builder()
    ///     .history("chat/*", History::last(100).max_age(Duration::from_secs(3600)))
    ///     .build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    ///
    /// Messages are kept in this process's memory, so each cluster node has its own history. After
    /// the last member has left a room, its messages are kept until they reach the history's
    /// maximum age. A room that matches a pattern of [`Cluster::order`](crate::Cluster::order) with
    /// [`Order::Room`](crate::Order::Room) has no history.
    pub fn history(mut self, pattern: impl Into<String>, history: History) -> Self {
        self.histories.push((pattern.into(), history));
        self
    }

    /// Limits the total bytes kept for all rooms, which are part of the
    /// [`memory_budget`](Self::memory_budget). Default 64 MiB, or a quarter of that budget if that
    /// is less. Above the limit, histories of rooms without members are dropped, and a room that
    /// grows drops its oldest messages.
    pub fn max_history(mut self, bytes: usize) -> Self {
        self.max_history = Some(bytes);
        self
    }

    /// Sets the rule that decides whether a client that requests a room's history with its join
    /// receives it. If the rule returns false, the join continues without history; the join itself
    /// is decided by [`may_join`](Self::may_join). Default: every client that may join receives the
    /// history. A panic closes that connection with 1011.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::{History, Server}; // or roomer_smol
    ///
    /// let server = Server::builder()
    ///     .history("*", History::last(100))
    ///     .may_read_history(|conn, room| !room.starts_with("team/") || conn.user().is_some())
    ///     .build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    pub fn may_read_history<F>(mut self, rule: F) -> Self
    where
        F: Fn(&Conn, &str) -> bool + Send + Sync + 'static,
    {
        let rule = move |conn: &Conn, message: &Message<'_>| rule(conn, message.room);
        self.options.rules.read_history = Some(Callback::Sync(Box::new(rule)));
        self
    }

    /// Returns the part of the memory budget reserved for room histories, in bytes.
    pub(super) fn history_budget(&self) -> usize {
        if self.histories.is_empty() {
            return 0;
        }
        let (default, share) = MAX_HISTORY;
        self.max_history.unwrap_or(default.min(self.options.memory_budget / share))
    }
}

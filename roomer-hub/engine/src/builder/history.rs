//! Rooms that remember their last messages.

use roomer_hub::History;

use crate::app::message::Message;
use crate::builder::Builder;
use crate::callbacks::handler::Callback;
use crate::server::conn::Conn;

/// The default of [`Builder::max_history`], and its maximum share of the memory budget.
const MAX_HISTORY: (usize, usize) = (64 << 20, 4);

impl<E> Builder<E> {
    /// Lets rooms remember their last messages, for extended clients that join later or that were away
    /// for too long for their session. `pattern` is a room's name, or a prefix of names followed by
    /// `*`; the first matching pattern applies. Default: no room remembers.
    ///
    /// A client asks for what it missed when it joins, and receives it after its `join_ack` and before
    /// anything new, each message as it was. Messages of handlers and of the application count too,
    /// direct ones do not. Plain clients notice nothing.
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
    /// The memory is that of this process, and of this node in a cluster. It outlives the room's last
    /// member by the history's age. A room that a pattern of [`Cluster::order`](crate::Cluster::order) with
    /// [`Order::Room`](crate::Order::Room) matches does not remember.
    pub fn history(mut self, pattern: impl Into<String>, history: History) -> Self {
        self.histories.push((pattern.into(), history));
        self
    }

    /// Limits the bytes that all rooms together remember. Default 64 MiB, or a quarter of the
    /// [`memory_budget`](Self::memory_budget) if that is less; they are part of it. Above the limit
    /// rooms without members are forgotten, and a room that grows forgets its oldest messages.
    pub fn max_history(mut self, bytes: usize) -> Self {
        self.max_history = Some(bytes);
        self
    }

    /// Sets the rule that decides whether a client that joins a room receives what the room remembers, if
    /// it asks for it. If the rule returns false, the join is an ordinary one; whether that is permitted is
    /// decided by [`may_join`](Self::may_join). Default: each client that may join may have it. A panic
    /// closes that connection with 1011.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::{History, Server}; // or roomer_smol
    ///
    /// let server = Server::builder()
    ///     .history("*", History::last(100))
    ///     .may_recall(|conn, room| !room.starts_with("team/") || conn.user().is_some())
    ///     .build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    pub fn may_recall<F>(mut self, rule: F) -> Self
    where
        F: Fn(&Conn, &str) -> bool + Send + Sync + 'static,
    {
        let rule = move |conn: &Conn, message: &Message<'_>| rule(conn, message.room);
        self.options.rules.recall = Some(Callback::Sync(Box::new(rule)));
        self
    }

    /// Returns the bytes of the memory budget that are set aside for the memories of rooms.
    pub(super) fn history_budget(&self) -> usize {
        if self.histories.is_empty() {
            return 0;
        }
        let (default, share) = MAX_HISTORY;
        self.max_history.unwrap_or(default.min(self.options.memory_budget / share))
    }
}

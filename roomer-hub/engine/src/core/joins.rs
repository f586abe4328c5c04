//! Joins on which the application has not decided yet.

use std::collections::BTreeMap;

use roomer_hub::ConnKey;
#[cfg(feature = "audit")]
use roomer_hub::Tables;

/// The joins whose rule is being called or is pending, at most one per connection.
#[derive(Debug, Default)]
pub(crate) struct PendingJoins(BTreeMap<ConnKey, PendingJoin>);

#[derive(Debug)]
struct PendingJoin {
    room: Box<str>,
    is_cancelled: bool,
}

impl PendingJoins {
    /// Adds the join whose rule is about to be called.
    pub(crate) fn begin(&mut self, conn: ConnKey, room: &str) {
        self.0.insert(conn, PendingJoin { room: room.into(), is_cancelled: false });
    }

    /// Removes a connection's join, if it has one: the rule has decided, or the connection has ended.
    /// Returns true if the join was cancelled.
    pub(crate) fn end(&mut self, conn: ConnKey) -> bool {
        self.0.remove(&conn).is_some_and(|join| join.is_cancelled)
    }

    /// Cancels a connection's join to this room, if it is pending. Called when the connection is
    /// removed from the room: the hub then answers the client's join with `leave_ack`.
    pub(crate) fn cancel(&mut self, conn: ConnKey, room: &str) {
        if let Some(join) = self.0.get_mut(&conn).filter(|join| *join.room == *room) {
            join.is_cancelled = true;
        }
    }

    /// Returns true if a connection's join to this room is pending and was not cancelled.
    pub(crate) fn contains(&self, conn: ConnKey, room: &str) -> bool {
        self.0.get(&conn).is_some_and(|join| *join.room == *room && !join.is_cancelled)
    }

    /// Checks this table against the hub's tables; see [`Server::audit`](crate::Server::audit).
    #[cfg(feature = "audit")]
    pub(crate) fn audit(&self, tables: &Tables) -> Result<(), String> {
        match self.0.keys().find(|conn| tables.conn_id(**conn).is_none()) {
            Some(conn) => Err(format!("a pending join without a connection: {conn:?}")),
            None => Ok(()),
        }
    }
}

//! The table of open connections, by key and by user.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::app::conn_info::ConnInfo;
use roomer_hub::{ConnKey, KeyMap};

/// The open connections, with an index by user.
#[derive(Debug, Default)]
pub(crate) struct ConnTable {
    by_key: KeyMap<ConnKey, Arc<ConnInfo>>,
    /// The arrival numbers of connections that have a user.
    arrived: KeyMap<ConnKey, Arrival>,
    /// Each user's connections, oldest first.
    by_user: BTreeMap<Arc<str>, BTreeMap<Arrival, ConnKey>>,
    arrivals: Arrival,
}

/// A number that increases with each new connection.
type Arrival = u64;

impl ConnTable {
    pub(crate) fn insert(&mut self, info: &Arc<ConnInfo>) {
        self.arrivals += 1;
        if let Some(user) = info.user() {
            let connections = self.by_user.entry(user.clone()).or_default();
            connections.insert(self.arrivals, info.key);
            self.arrived.insert(info.key, self.arrivals);
        }
        self.by_key.insert(info.key, info.clone());
    }

    pub(crate) fn remove(&mut self, conn: ConnKey) -> Option<Arc<ConnInfo>> {
        let info = self.by_key.remove(conn)?;
        if let Some(user) = info.user()
            && let Some(arrival) = self.arrived.remove(conn)
            && let Some(connections) = self.by_user.get_mut(user)
        {
            connections.remove(&arrival);
            // Remove a user without connections, since the table would otherwise keep every user
            // that ever connected.
            if connections.is_empty() {
                self.by_user.remove(user);
            }
        }
        Some(info)
    }

    /// Replaces a connection's data. The connection keeps its place in its user's order.
    pub(crate) fn replace(&mut self, info: &Arc<ConnInfo>) {
        // A session keeps its user, so the index by user stays valid.
        if let Some(entry) = self.by_key.get_mut(info.key) {
            *entry = info.clone();
        }
    }

    pub(crate) fn get(&self, conn: ConnKey) -> Option<&Arc<ConnInfo>> {
        self.by_key.get(conn)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<ConnInfo>> {
        self.by_key.values()
    }

    /// Returns a user's connections, oldest first.
    pub(crate) fn of(&self, user: &str) -> impl ExactSizeIterator<Item = ConnKey> {
        self.by_user.get(user).map(BTreeMap::values).unwrap_or_default().copied()
    }

    /// Checks that the indexes agree; see [`Server::audit`](crate::Server::audit).
    #[cfg(feature = "audit")]
    pub(crate) fn audit(&self) -> Result<(), String> {
        for (user, connections) in &self.by_user {
            if connections.is_empty() {
                return Err(format!("user {user:?} is in the table without a connection"));
            }
            for (arrival, conn) in connections {
                let found = self.get(*conn).and_then(|info| info.user());
                if found != Some(user) || self.arrived.get(*conn) != Some(arrival) {
                    return Err(format!("{conn:?} is not a connection of user {user:?}"));
                }
            }
        }
        let with_user = self.iter().filter(|info| info.user().is_some()).count();
        let sum: usize = self.by_user.values().map(BTreeMap::len).sum();
        let arrived = self.arrived.len();
        match with_user == sum && arrived == sum {
            true => Ok(()),
            false => Err(format!(
                "{with_user} connections have a user, {sum} are in the table, {arrived} have arrived"
            )),
        }
    }
}

//! Per-connection data behind the application's handles: id, credentials and stored values.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use roomer_hub::{ConnId, ConnKey};

use crate::app::claims::{Claims, Credentials};
use crate::sync::{Mutex, lock};
use crate::transport::peer::PeerAddress;

/// A connection's data, kept as long as a handle to the connection exists.
#[derive(Debug)]
pub(crate) struct ConnInfo {
    pub(crate) key: ConnKey,
    pub(crate) id: ConnId,
    pub(crate) credentials: Option<Arc<Credentials>>,
    pub(crate) peer: PeerAddress,
    /// The values stored by the application. Boxed, since most connections have none.
    data: Mutex<Option<Box<Data>>>,
}

pub(crate) type Values = BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>;

#[derive(Debug)]
enum Data {
    Own(Values),
    /// A reference to the data of the session's first connection, which stores the application's
    /// values. Handles created before a resume stay valid and keep their own connection's
    /// credentials.
    OfFirst(Arc<ConnInfo>),
}

impl ConnInfo {
    pub(crate) fn new(
        key: ConnKey,
        id: ConnId,
        credentials: Option<Arc<Credentials>>,
        peer: PeerAddress,
    ) -> Arc<Self> {
        Arc::new(ConnInfo { key, id, credentials, peer, data: Mutex::default() })
    }

    /// Creates the data for a session resumed on another socket, with that socket's credentials.
    pub(crate) fn resumed(
        self: &Arc<Self>,
        credentials: Option<Arc<Credentials>>,
        peer: PeerAddress,
    ) -> Arc<Self> {
        // Always refer to the session's first connection so that repeated resumes do not build a
        // chain.
        let first = Data::OfFirst(self.first().unwrap_or_else(|| self.clone()));
        let (key, id, data) = (self.key, self.id, Mutex::new(Some(Box::new(first))));
        Arc::new(ConnInfo { key, id, credentials, peer, data })
    }

    /// Returns the data of the session's first connection, or `None` if that is this connection.
    fn first(&self) -> Option<Arc<ConnInfo>> {
        match lock(&self.data).as_deref() {
            Some(Data::OfFirst(first)) => Some(first.clone()),
            _ => None,
        }
    }

    /// Calls `run` with the values stored by the application.
    pub(crate) fn with_values<T>(&self, run: impl FnOnce(&mut Values) -> T) -> T {
        let first = self.first();
        let mut data = lock(&first.as_deref().unwrap_or(self).data);
        let mut none = Values::new();
        let values = match data.as_deref_mut() {
            Some(Data::Own(values)) => values,
            _ => &mut none,
        };
        let result = run(values);
        if !none.is_empty() {
            *data = Some(Box::new(Data::Own(none)));
        }
        result
    }

    pub(crate) fn claims(&self) -> Option<&Claims> {
        self.credentials.as_ref()?.claims.as_ref()
    }

    pub(crate) fn user(&self) -> Option<&Arc<str>> {
        self.credentials.as_ref()?.user()
    }

    /// Returns the time at which the login expires, or `None` if it does not.
    pub(crate) fn expires(&self) -> Option<Duration> {
        self.credentials.as_ref()?.expires
    }
}

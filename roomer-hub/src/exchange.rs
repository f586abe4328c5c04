//! The requests of extended connections that are not answered, in both directions.

use std::time::Duration;

use roomer_proto::ConnId;
use roomer_proto::extended::Tag;

use crate::keys::ConnKey;
use crate::rate::Bucket;

/// The age from which a request makes room for a new one. Its asker has most likely stopped waiting,
/// which the server does not learn.
const OLD_AGE: Duration = Duration::from_secs(60);

/// The requests from and to one connection. Connections without any do not have this.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    /// The client's requests to the server.
    pub(crate) calls: Vec<Tag>,
    /// The client's requests to other clients.
    pub(crate) asks: Vec<Ask>,
    /// The askers, on this node, of other clients' requests to this one, in order: each once for each
    /// request.
    pub(crate) askers: Vec<ConnKey>,
    /// The numbers of the server's requests to this client.
    pub(crate) numbers: Vec<u64>,
    /// Present once an error was sent.
    pub(crate) errors: Option<Bucket>,
}

/// A client's request to another client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) tag: Tag,
    /// The id of the receiver, which may be on another node.
    pub(crate) to: ConnId,
    pub(crate) asked_at: Duration,
}

impl Exchange {
    pub(crate) fn is_idle(&self) -> bool {
        let Exchange { calls, asks, askers, numbers, errors } = self;
        calls.is_empty()
            && asks.is_empty()
            && askers.is_empty()
            && numbers.is_empty()
            && errors.is_none()
    }
}

impl Ask {
    pub(crate) fn is_old(&self, now: Duration) -> bool {
        now.saturating_sub(self.asked_at) >= OLD_AGE
    }
}

//! Unanswered requests of one extended connection, in both directions.

use std::time::Duration;

use roomer_proto::ConnId;
use roomer_proto::extended::Tag;

use crate::keys::ConnKey;
use crate::rate::Bucket;

/// The minimum age at which a request may be dropped for a new one. Its requester has most likely
/// stopped waiting, but does not notify the server of that.
const OLD_AGE: Duration = Duration::from_secs(60);

/// Unanswered requests from and to one connection. Allocated only for connections that have some.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    /// The client's requests to the server.
    pub(crate) calls: Vec<Tag>,
    /// The client's requests to other clients.
    pub(crate) asks: Vec<Ask>,
    /// The local requesters of other clients' requests to this one, in the order of arrival. Each
    /// request has its own entry.
    pub(crate) askers: Vec<ConnKey>,
    /// The numbers of the server's requests to this client.
    pub(crate) numbers: Vec<u64>,
    /// The rate limit of errors, present once an error was sent.
    pub(crate) errors: Option<Bucket>,
}

/// A request from one client to another.
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

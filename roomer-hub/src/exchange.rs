//! Unanswered requests from and to one extended connection.

use std::time::Duration;

use roomer_proto::ConnId;
use roomer_proto::extended::{ErrorCode, Tag};

use crate::keys::ConnKey;
use crate::rate::Bucket;

/// The minimum age at which a request may be dropped for a new one. Its requester has most likely
/// stopped waiting by then, but does not report this to the server.
const OLD_AGE: Duration = Duration::from_secs(60);

/// Unanswered requests from and to one connection, allocated only if there are any.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    /// The client's requests to the server.
    pub(crate) calls: Vec<Tag>,
    /// The client's requests to other clients.
    pub(crate) asks: Vec<Ask>,
    /// The local clients with requests to this client, in the order of arrival. A client has one
    /// entry for each of its requests.
    pub(crate) askers: Vec<ConnKey>,
    /// The numbers of the server's requests to this client.
    pub(crate) numbers: Vec<u64>,
    /// The limit on errors, present once an error was sent.
    pub(crate) errors: Option<Box<ErrorLimit>>,
}

/// The error rate of one connection, and the rejected packets above it.
#[derive(Debug, Default)]
pub(crate) struct ErrorLimit {
    pub(crate) bucket: Bucket,
    pub(crate) unreported: Option<Unreported>,
}

/// Rejected packets for which no error was sent, because the error rate was exceeded.
#[derive(Debug)]
pub(crate) struct Unreported {
    /// The reason for rejecting the first of these packets, its room and its event.
    pub(crate) failure: (ErrorCode, &'static str),
    pub(crate) room: Box<str>,
    pub(crate) event: Box<str>,
    /// The number of these packets.
    pub(crate) count: u64,
}

/// A request from one client to another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) tag: Tag,
    /// The receiver, which may be on another node.
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

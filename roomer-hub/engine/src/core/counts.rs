//! Counters since the server's start, updated under the core's lock.

use std::collections::BTreeMap;

/// Counters since the server's start. Those kept in open connections' outboxes are not included;
/// they are added when the statistics are read.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) opened: u64,
    pub(crate) messages_in: u64,
    pub(crate) bytes_in: u64,
    pub(crate) messages_out: u64,
    /// Bytes written to connections that have ended. The outbox of an open connection counts its
    /// own bytes.
    pub(crate) bytes_out: u64,
    pub(crate) closes: BTreeMap<u16, u64>,
    pub(crate) by_peer: u64,
    pub(crate) lost: u64,
    pub(crate) handler_errors: u64,
    pub(crate) panics: u64,
    pub(crate) accept_errors: u64,
}

//! A cluster node's counters, for metrics.

use std::collections::BTreeMap;

use super::effect::Event;
use super::reasons::{GoneReason, ResetReason};

/// Counters since the node's start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Frames received from this cluster.
    pub frames_in: u64,
    /// Frames published, including retransmissions.
    pub frames_out: u64,
    /// Bytes in received frames.
    pub bytes_in: u64,
    /// Bytes in published frames.
    pub bytes_out: u64,
    /// Requests for missing frames.
    pub demands: u64,
    /// Missing frames that arrived late or were retransmitted.
    pub repaired: u64,
    /// Restarted streams, by reason.
    pub resets: BTreeMap<ResetReason, u64>,
    /// Reported losses of messages from a node, each for one room ([`Event::Gap`]).
    pub gaps: u64,
    /// Dropped peers, by reason.
    pub gone: BTreeMap<GoneReason, u64>,
    /// Dropped frames, by [reason](super::RefusedReason::name).
    pub refused: BTreeMap<&'static str, u64>,
    /// Streams dropped because too many of their bytes were unpublished.
    pub overflows: u64,
    /// Messages to rooms with a total order that were dropped because too many bytes were waiting
    /// for their places ([`Config::backlog_bytes`](super::Config::backlog_bytes)).
    pub unplaced: u64,
    /// Messages and commands from this node's application that were not sent, because peers would
    /// reject them as too large, or because their event belongs to the protocol.
    pub unsendable: u64,
}

impl Statistics {
    pub(super) fn count(&mut self, event: &Event) {
        match event {
            Event::Reset { reason, .. } => *self.resets.entry(*reason).or_default() += 1,
            Event::PeerGone { reason, .. } => *self.gone.entry(*reason).or_default() += 1,
            Event::Refused { reason } => *self.refused.entry(reason.name()).or_default() += 1,
            Event::Repaired { .. } => self.repaired += 1,
            Event::Gap { .. } => self.gaps += 1,
            Event::PeerLive { .. } | Event::Foreign { .. } | Event::Settings { .. } => {}
        }
    }
}

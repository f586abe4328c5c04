//! Counters of a node, for metrics.

use std::collections::BTreeMap;

use super::causes::{GoneCause, ResetCause};
use super::effect::Event;

/// Counts since the start of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Frames that were received, of this cluster.
    pub frames_in: u64,
    /// Frames that were published, including those that were published again.
    pub frames_out: u64,
    /// The bytes of the received frames.
    pub bytes_in: u64,
    /// The bytes of the published frames.
    pub bytes_out: u64,
    /// Requests for missing frames.
    pub demands: u64,
    /// Holes that were closed by frames that were sent again or arrived late.
    pub repaired: u64,
    /// Streams that started over, by cause.
    pub resets: BTreeMap<ResetCause, u64>,
    /// Losses of peers' messages, in one room each ([`Event::Gap`]).
    pub gaps: u64,
    /// Peers that are gone, by cause.
    pub gone: BTreeMap<GoneCause, u64>,
    /// Frames that were dropped, by [the name of the cause](super::RefusedCause::name).
    pub refused: BTreeMap<&'static str, u64>,
    /// Streams that were dropped because too many bytes were waiting to be published.
    pub overflows: u64,
    /// Messages of rooms with one order that were dropped because too many bytes were waiting for their
    /// places ([`Config::backlog_bytes`](super::Config::backlog_bytes)).
    pub unplaced: u64,
    /// Messages and commands of this node's application that peers would refuse for their size, or for
    /// an event of the protocol, and that were not sent to them.
    pub unsendable: u64,
}

impl Statistics {
    pub(super) fn count(&mut self, event: &Event) {
        match event {
            Event::Reset { why, .. } => *self.resets.entry(*why).or_default() += 1,
            Event::PeerGone { why, .. } => *self.gone.entry(*why).or_default() += 1,
            Event::Refused { why } => *self.refused.entry(why.name()).or_default() += 1,
            Event::Repaired { .. } => self.repaired += 1,
            Event::Gap { .. } => self.gaps += 1,
            Event::PeerLive { .. } | Event::Foreign { .. } | Event::Settings { .. } => {}
        }
    }
}

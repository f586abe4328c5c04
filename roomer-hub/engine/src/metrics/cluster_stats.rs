//! Statistics of a cluster node.

use std::collections::BTreeMap;

use roomer_hub::Tables;
use roomer_hub::cluster::{PeerState, Statistics};

use crate::cluster::ClusterState;

/// A node's cluster state, and counters since its start; see
/// [`Stats::cluster`](crate::Stats::cluster).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterStats {
    /// True while the broker is reachable.
    pub link_up: bool,
    /// The number of other nodes by [state](PeerState::name).
    pub peers: BTreeMap<&'static str, usize>,
    /// Connections on other nodes that are in rooms with full presence.
    pub guests: usize,
    /// Bytes of frames that are buffered until an earlier frame arrives.
    pub held_bytes: usize,
    /// Bytes published by this node that other nodes have not applied yet, according to their last
    /// acknowledgements.
    pub unapplied_bytes: usize,
    /// The longest silence among nodes that count as alive, in milliseconds.
    pub lag_ms: u64,
    /// Frames received from other nodes.
    pub frames_in: u64,
    /// Frames published to other nodes.
    pub frames_out: u64,
    /// Bytes of frames received from the broker.
    pub bytes_in: u64,
    /// Bytes of frames published to the broker.
    pub bytes_out: u64,
    /// Requests for missing frames.
    pub demands: u64,
    /// Gaps in a stream that were repaired without a loss.
    pub repaired: u64,
    /// Reset streams, by [reason](roomer_hub::cluster::ResetReason::name). Messages may have been
    /// lost, which clients observe as their senders leaving and rejoining. `divergence` indicates a
    /// bug in roomer.
    pub resets: BTreeMap<&'static str, u64>,
    /// Possible losses of other nodes' messages, counted once per affected room; see
    /// [`Builder::on_gap`](crate::Builder::on_gap).
    pub gaps: u64,
    /// Node departures, by [reason](roomer_hub::cluster::GoneReason::name).
    pub gone: BTreeMap<&'static str, u64>,
    /// Dropped frames, by [reason](roomer_hub::cluster::RefusedReason::name).
    pub refused: BTreeMap<&'static str, u64>,
    /// Streams dropped because too many bytes were queued for the broker.
    pub overflows: u64,
}

impl ClusterStats {
    pub(crate) fn new(state: &ClusterState, tables: &Tables) -> Self {
        let machine = &state.machine;
        // Include states that no node is in, so that graphs show zeros instead of gaps.
        let mut peers: BTreeMap<_, _> =
            PeerState::ALL.into_iter().map(|state| (state.name(), 0)).collect();
        let (mut held_bytes, mut unapplied_bytes, mut lag) = (0, 0, std::time::Duration::ZERO);
        for peer in machine.peers() {
            *peers.entry(peer.state.name()).or_default() += 1;
            held_bytes += peer.held_bytes;
            unapplied_bytes += peer.unapplied_bytes;
            if !matches!(peer.state, PeerState::Dead | PeerState::Foreign) {
                lag = lag.max(peer.silence);
            }
        }
        let Statistics {
            frames_in,
            frames_out,
            bytes_in,
            bytes_out,
            demands,
            repaired,
            resets,
            gaps,
            gone,
            refused,
            overflows,
            ..
        } = machine.statistics().clone();
        ClusterStats {
            link_up: machine.is_up(),
            peers,
            guests: tables.guest_count(),
            held_bytes,
            unapplied_bytes,
            lag_ms: lag.as_millis() as u64,
            frames_in,
            frames_out,
            bytes_in,
            bytes_out,
            demands,
            repaired,
            resets: resets.into_iter().map(|(reason, count)| (reason.name(), count)).collect(),
            gaps,
            gone: gone.into_iter().map(|(reason, count)| (reason.name(), count)).collect(),
            refused,
            overflows,
        }
    }
}

//! The reasons why peers are dropped or reset, and why frames are rejected.

use roomer_proto::cluster::FrameError;

/// The reason for dropping a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum GoneReason {
    /// The peer announced that it is stopping.
    Bye,
    /// The peer was silent for [`Config::dead_after`](super::Config::dead_after).
    Silent,
    /// The peer did not respond to requests for its members.
    NoState,
    /// The peer sent ten frames within a minute that could not be decoded or exceeded a limit.
    /// It is readmitted after 30 s.
    BadFrames,
}

/// The reason for restarting a peer's stream from its member list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ResetReason {
    /// A missing frame did not arrive in time ([`Config::repair_timeout`](super::Config::repair_timeout)).
    Gap,
    /// The peer's journal no longer contains a missing frame.
    Missing,
    /// The peer has restarted, or has abandoned its stream.
    Stream,
    /// The members differ although no frame is missing, so there is a bug in roomer.
    Divergence,
    /// A frame in the stream could not be decoded.
    Malformed,
}

impl ResetReason {
    /// Returns the reason's short name, for metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ResetReason::Gap => "gap",
            ResetReason::Missing => "missing",
            ResetReason::Stream => "stream",
            ResetReason::Divergence => "divergence",
            ResetReason::Malformed => "malformed",
        }
    }
}

impl GoneReason {
    /// Returns the reason's short name, for metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            GoneReason::Bye => "bye",
            GoneReason::Silent => "silent",
            GoneReason::NoState => "no_state",
            GoneReason::BadFrames => "bad_frames",
        }
    }
}

/// The reason for dropping a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusedReason {
    /// The frame could not be decoded.
    Malformed(FrameError),
    /// The frame belongs to another cluster.
    OtherCluster,
    /// The frame, or an item in it, exceeds a limit.
    TooLarge,
    /// The frame comes from a new node, but the maximum number of peers is reached.
    TooManyPeers,
}

impl RefusedReason {
    /// Returns the reason's short name, for metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            RefusedReason::Malformed(_) => "malformed",
            RefusedReason::OtherCluster => "other_cluster",
            RefusedReason::TooLarge => "too_large",
            RefusedReason::TooManyPeers => "too_many_peers",
        }
    }
}

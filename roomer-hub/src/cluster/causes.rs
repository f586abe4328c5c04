//! The reasons why peers are dropped or reset, and why frames are rejected.

use roomer_proto::cluster::FrameError;

/// The reason for dropping a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum GoneCause {
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
pub enum ResetCause {
    /// A missing frame did not arrive in time ([`Config::repair_wait`](super::Config::repair_wait)).
    Hole,
    /// The peer's journal no longer contains a missing frame.
    Missing,
    /// The held frames exceeded [`Config::held_bytes`](super::Config::held_bytes).
    HeldBytes,
    /// The peer has restarted, or has abandoned the stream.
    Stream,
    /// The members differ although no frame is missing, which indicates a bug in roomer.
    Divergence,
    /// A frame in the stream could not be decoded.
    Malformed,
}

impl ResetCause {
    /// Returns the cause's short name, for metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ResetCause::Hole => "hole",
            ResetCause::Missing => "missing",
            ResetCause::HeldBytes => "held_bytes",
            ResetCause::Stream => "stream",
            ResetCause::Divergence => "divergence",
            ResetCause::Malformed => "malformed",
        }
    }
}

impl GoneCause {
    /// Returns the cause's short name, for metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            GoneCause::Bye => "bye",
            GoneCause::Silent => "silent",
            GoneCause::NoState => "no_state",
            GoneCause::BadFrames => "bad_frames",
        }
    }
}

/// The reason for dropping a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusedCause {
    /// The frame could not be decoded.
    Malformed(FrameError),
    /// The frame belongs to another cluster.
    OtherCluster,
    /// The frame, or an item in it, exceeds a limit.
    TooLarge,
    /// The frame comes from a new node, but the maximum number of peers is reached.
    TooManyPeers,
}

impl RefusedCause {
    /// Returns the cause's short name, for metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            RefusedCause::Malformed(_) => "malformed",
            RefusedCause::OtherCluster => "other_cluster",
            RefusedCause::TooLarge => "too_large",
            RefusedCause::TooManyPeers => "too_many_peers",
        }
    }
}

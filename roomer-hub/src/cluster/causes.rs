//! Why peers are gone, start over, or have frames refused.

use roomer_proto::cluster::FrameError;

/// Why a peer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum GoneCause {
    /// The peer announced its stop.
    Bye,
    /// The peer was silent for [`Config::dead_after`](super::Config::dead_after).
    Silent,
    /// The peer did not answer requests for its members.
    NoState,
    /// The peer sent ten frames in a minute that cannot be decoded or exceed a bound. It is admitted
    /// again after 30 s.
    BadFrames,
}

/// Why a peer starts over with its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ResetCause {
    /// A missing frame did not arrive in time ([`Config::repair_wait`](super::Config::repair_wait)).
    Hole,
    /// The peer no longer has a missing frame.
    Missing,
    /// More bytes were held than [`Config::held_bytes`](super::Config::held_bytes).
    HeldBytes,
    /// The peer has started over, or has given the stream up.
    Stream,
    /// The members differ although no frame is missing, which is a bug in roomer.
    Divergence,
    /// A frame of the stream could not be decoded.
    Malformed,
}

impl ResetCause {
    /// Returns a short name of the cause, for metrics.
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
    /// Returns a short name of the cause, for metrics.
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

/// Why a frame was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusedCause {
    /// The frame cannot be decoded.
    Malformed(FrameError),
    /// The frame is of another cluster.
    OtherCluster,
    /// The frame, or an item in it, exceeds a bound.
    TooLarge,
    /// There are too many peers to admit its sender.
    TooManyPeers,
}

impl RefusedCause {
    /// Returns a short name of the cause, for metrics.
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

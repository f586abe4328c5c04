//! Frame and item decoding errors.

use super::NodeId;
use crate::DecodeError;

/// The reason that a frame or one of its items cannot be decoded. The frame is dropped: its sender
/// is faulty, or does not belong to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The frame does not start with roomer's magic bytes.
    #[error("not a frame of roomer")]
    NotAFrame,
    /// This release does not decode frames of this version.
    #[error("frame of version {version}, which this release does not decode")]
    Version {
        /// The frame's version.
        version: u8,
        /// The frame's cluster, at the same offset in every version.
        cluster: u64,
        /// The sending node, also at a fixed offset.
        from: NodeId,
    },
    /// The frame or an item is too short for its content.
    #[error("{what} is cut off")]
    Truncated {
        /// The incomplete part.
        what: &'static str,
    },
    /// An item has trailing bytes after its content.
    #[error("{extra} bytes after the end of an item")]
    TrailingBytes {
        /// The number of trailing bytes.
        extra: usize,
    },
    /// A field has an invalid value.
    #[error("{what} has an impossible value")]
    Impossible {
        /// The field with the invalid value.
        what: &'static str,
    },
    /// A packet in an item cannot be decoded.
    #[error("packet in a frame: {0}")]
    Packet(#[from] DecodeError),
}

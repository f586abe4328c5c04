//! Errors of decoding frames.

use super::NodeId;
use crate::DecodeError;

/// An error of decoding a frame or one of its items. The frame is dropped; its sender has a fault, or
/// does not belong to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The frame does not start with the mark of roomer's frames.
    #[error("not a frame of roomer")]
    NotAFrame,
    /// The frame has a version that this release does not decode.
    #[error("frame of version {version}, which this release does not decode")]
    Version {
        /// The version of the frame.
        version: u8,
        /// The number of the sender's cluster, which every version has at the same place.
        cluster: u64,
        /// The sender, likewise.
        from: NodeId,
    },
    /// The frame or an item ends before its content does.
    #[error("{what} is cut off")]
    Truncated {
        /// The incomplete part.
        what: &'static str,
    },
    /// An item has bytes after its content.
    #[error("{extra} bytes after the end of an item")]
    TrailingBytes {
        /// The number of those bytes.
        extra: usize,
    },
    /// A field has an impossible value.
    #[error("{what} has an impossible value")]
    Impossible {
        /// The field with that value.
        what: &'static str,
    },
    /// A packet in an item cannot be decoded.
    #[error("packet in a frame: {0}")]
    Packet(#[from] DecodeError),
}

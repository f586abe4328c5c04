//! Frame heads: version, cluster, sender, and the frame's place in a stream.

use alloc::vec::Vec;

use super::cursor::Cursor;
use super::{FrameError, NodeId};

/// The frame version that this release encodes. Increment it with every change that older releases
/// cannot skip.
pub const VERSION: u8 = 1;

/// The maximum length of a head in bytes.
pub const HEAD_MAX: usize = 32;

const MAGIC: [u8; 2] = *b"rm";
const STREAM: u8 = 1;
const MORE: u8 = 2;

/// A frame's head. Its first 19 bytes have the same meaning in all versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// A hash of the cluster's name, which separates clusters that share a broker.
    pub cluster: u64,
    /// The sending node.
    pub from: NodeId,
    /// The frame's kind: a control frame, or part of a stream.
    pub kind: FrameKind,
}

/// A frame's kind, with its position if it is part of a stream.
///
/// The enum is exhaustive: another kind would require another version of the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A frame outside any stream, without a number.
    Control,
    /// A frame in the stream from the sender to the receiver.
    Stream {
        /// The stream's number, chosen by the receiver.
        stream: u32,
        /// The frame's number within its stream, starting at 1.
        number: u64,
        /// True if the body continues in the next frame.
        more: bool,
    },
}

impl Head {
    /// Appends the head to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        out.extend_from_slice(&self.cluster.to_be_bytes());
        out.extend_from_slice(&self.from.0.to_be_bytes());
        match self.kind {
            FrameKind::Control => out.push(0),
            FrameKind::Stream { stream, number, more } => {
                out.push(STREAM | if more { MORE } else { 0 });
                out.extend_from_slice(&stream.to_be_bytes());
                out.extend_from_slice(&number.to_be_bytes());
            }
        }
    }

    /// Decodes a frame's head. Returns the head and the body.
    ///
    /// # Errors
    ///
    /// Returns a [`FrameError`] if the frame is not one of roomer's, has a different version, or is
    /// truncated.
    pub fn decode(frame: &[u8]) -> Result<(Self, &[u8]), FrameError> {
        let mut cursor = Cursor(frame);
        // A one-byte frame passes here, and fails as truncated below.
        if cursor.array("head").is_ok_and(|magic: [u8; 2]| magic != MAGIC) {
            return Err(FrameError::NotAFrame);
        }
        let version = cursor.u8("head")?;
        let cluster = cursor.u64("head")?;
        let from = NodeId(cursor.u64("head")?);
        // Check this after the cluster and sender, which are at the same offset in all versions, so
        // that the error can include them.
        if version != VERSION {
            return Err(FrameError::Version { version, cluster, from });
        }
        let kind = match cursor.u8("head")? {
            0 => FrameKind::Control,
            // `MORE` without `STREAM` is invalid, since control frames are never continued.
            flags @ (STREAM | 3) => {
                let (stream, number) = (cursor.u32("head")?, cursor.u64("head")?);
                FrameKind::Stream { stream, number, more: flags & MORE != 0 }
            }
            _ => return Err(FrameError::Impossible { what: "kind of a frame" }),
        };
        Ok((Head { cluster, from, kind }, cursor.0))
    }
}

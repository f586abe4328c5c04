//! The head of a frame.

use alloc::vec::Vec;

use super::cursor::Cursor;
use super::{FrameError, NodeId};

/// The version of frames that this release encodes. Bump it with every change that an older release
/// cannot skip.
pub const VERSION: u8 = 1;

/// The length of the longest head in bytes.
pub const HEAD_MAX: usize = 32;

const MAGIC: [u8; 2] = *b"rm";
const STREAM: u8 = 1;
const MORE: u8 = 2;

/// The head of a frame. Its first 19 bytes have the same meaning in every version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// A hash of the cluster's name, so that two clusters on one broker do not mix.
    pub cluster: u64,
    /// The node that has sent the frame.
    pub from: NodeId,
    /// Whether the frame is part of a stream.
    pub kind: FrameKind,
}

/// The kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A frame without a number.
    Control,
    /// A frame of the stream from the sender to the receiver.
    Stream {
        /// The number of the stream, which the receiver has chosen.
        stream: u32,
        /// The number of the frame in its stream, from 1.
        number: u64,
        /// True if the body continues in that of the next frame.
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

    /// Decodes the head of a frame and returns it with the body.
    ///
    /// # Errors
    ///
    /// [`FrameError`] if the frame is not one of roomer's, has another version or is truncated.
    pub fn decode(frame: &[u8]) -> Result<(Self, &[u8]), FrameError> {
        let mut cursor = Cursor(frame);
        // A frame of one byte passes here, and is found to be truncated below.
        if cursor.array("head").is_ok_and(|magic: [u8; 2]| magic != MAGIC) {
            return Err(FrameError::NotAFrame);
        }
        let version = cursor.u8("head")?;
        let cluster = cursor.u64("head")?;
        let from = NodeId(cursor.u64("head")?);
        // After the cluster and the sender, which stand at the same place in every version, so that the
        // error can name them.
        if version != VERSION {
            return Err(FrameError::Version { version, cluster, from });
        }
        let kind = match cursor.u8("head")? {
            0 => FrameKind::Control,
            // `MORE` without `STREAM` has no meaning, since control frames stand alone.
            flags @ (STREAM | 3) => {
                let (stream, number) = (cursor.u32("head")?, cursor.u64("head")?);
                FrameKind::Stream { stream, number, more: flags & MORE != 0 }
            }
            _ => return Err(FrameError::Impossible { what: "kind of a frame" }),
        };
        Ok((Head { cluster, from, kind }, cursor.0))
    }
}

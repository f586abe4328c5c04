//! Stream ends: the last frame of each of a node's streams, as listed in its heartbeats.

use alloc::vec::Vec;

use super::FrameError;
use super::cursor::{Cursor, put_varint, varint_len};
use super::node::NodeId;
use super::position::StreamPosition;

/// The last frame sent to one peer, and the last frame applied from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamEnd {
    /// The receiving node.
    pub to: NodeId,
    /// The number of the stream; 0 if there is no stream.
    pub stream: u32,
    /// The number of the last frame sent; 0 before the first frame.
    pub last: u64,
    /// The last applied frame from the stream in the opposite direction.
    pub applied: StreamPosition,
}

/// The ends of all streams of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamEnds<'a>(Ends<'a>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends<'a> {
    Given(&'a [StreamEnd]),
    Encoded(&'a [u8]),
}

impl Default for StreamEnds<'_> {
    fn default() -> Self {
        StreamEnds(Ends::Given(&[]))
    }
}

impl<'a> StreamEnds<'a> {
    /// Borrows a list of stream ends.
    #[must_use]
    pub fn new(ends: &'a [StreamEnd]) -> Self {
        StreamEnds(Ends::Given(ends))
    }

    /// Returns the stream ends.
    pub fn iter(&self) -> impl Iterator<Item = StreamEnd> + use<'a> {
        let (given, encoded) = match self.0 {
            Ends::Given(ends) => (ends, &[][..]),
            Ends::Encoded(bytes) => (&[][..], bytes),
        };
        let mut cursor = Cursor(encoded);
        given
            .iter()
            .copied()
            .chain(core::iter::from_fn(move || StreamEnd::decode(&mut cursor).ok()))
    }

    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let mut cursor = Cursor(bytes);
        while !cursor.0.is_empty() {
            StreamEnd::decode(&mut cursor)?;
        }
        Ok(StreamEnds(Ends::Encoded(bytes)))
    }

    pub(super) fn encoded_len(&self) -> usize {
        self.iter().map(|end| 16 + varint_len(end.last) + varint_len(end.applied.number)).sum()
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for end in self.iter() {
            out.extend_from_slice(&end.to.0.to_be_bytes());
            out.extend_from_slice(&end.stream.to_be_bytes());
            put_varint(end.last, out);
            out.extend_from_slice(&end.applied.stream.to_be_bytes());
            put_varint(end.applied.number, out);
        }
    }
}

impl StreamEnd {
    fn decode(cursor: &mut Cursor<'_>) -> Result<Self, FrameError> {
        let (to, stream) = (NodeId(cursor.u64("stream")?), cursor.u32("stream")?);
        let last = cursor.varint("stream")?;
        let applied =
            StreamPosition { stream: cursor.u32("stream")?, number: cursor.varint("stream")? };
        Ok(StreamEnd { to, stream, last, applied })
    }
}

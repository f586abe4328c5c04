//! Positions in streams, ranges of missing frames, and descriptions of lost messages.

use alloc::vec::Vec;

use super::FrameError;
use super::cursor::Cursor;
use super::list::{Ids, Names};

/// The position up to which a node has applied a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamPosition {
    /// The stream's number; 0 if there was none.
    pub stream: u32,
    /// The last applied frame's number.
    pub number: u64,
}

/// A range of frames that a node has not received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRange {
    /// The stream's number.
    pub stream: u32,
    /// The first missing frame's number.
    pub first: u64,
    /// The last missing frame's number.
    pub last: u64,
}

/// The messages that a receiver may have missed before a stream started.
///
/// The enum is exhaustive: either it is known which messages may be lost, or it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost<'a> {
    /// Any message may have been missed.
    All,
    /// Only messages in these rooms, and direct messages from these senders.
    Some {
        /// The rooms with lost messages.
        rooms: Names<'a>,
        /// The senders of lost direct messages.
        senders: Ids<'a>,
    },
}

impl StreamPosition {
    pub(super) fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.stream.to_be_bytes());
        out.extend_from_slice(&self.number.to_be_bytes());
    }

    pub(super) fn decode(cursor: &mut Cursor<'_>) -> Result<Self, FrameError> {
        Ok(StreamPosition { stream: cursor.u32("stream")?, number: cursor.u64("stream")? })
    }
}

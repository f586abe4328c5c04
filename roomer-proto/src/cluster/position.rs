//! Positions in streams, and the frames that are requested or lost there.

use alloc::vec::Vec;

use super::FrameError;
use super::cursor::Cursor;
use super::list::{Ids, Names};

/// How much of a stream a node has applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    /// The number of the stream; 0 if there was none.
    pub stream: u32,
    /// The number of its last applied frame.
    pub number: u64,
}

/// Frames of a stream that a node has not received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The number of the stream.
    pub stream: u32,
    /// The number of the first missing frame.
    pub first: u64,
    /// The number of the last missing frame.
    pub last: u64,
}

/// The messages that a receiver may have missed before a stream started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost<'a> {
    /// The receiver may have missed any message.
    All,
    /// Messages in these rooms, and direct messages of these senders.
    Some {
        /// The rooms with messages.
        rooms: Names<'a>,
        /// The senders of direct messages.
        senders: Ids<'a>,
    },
}

impl Resume {
    pub(super) fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.stream.to_be_bytes());
        out.extend_from_slice(&self.number.to_be_bytes());
    }

    pub(super) fn decode(cursor: &mut Cursor<'_>) -> Result<Self, FrameError> {
        Ok(Resume { stream: cursor.u32("stream")?, number: cursor.u64("stream")? })
    }
}

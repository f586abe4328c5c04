//! The heartbeat: a node's periodic report of its version, load and streams.

use alloc::vec::Vec;

use super::FrameError;
use super::cursor::{Cursor, prefixed_len, put_prefixed, put_varint, varint_len};
use super::ends::StreamEnds;

/// The contents of a heartbeat, as sent to all nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beat<'a> {
    /// The oldest frame version that the node decodes.
    pub oldest_version: u8,
    /// The newest frame version that the node decodes.
    pub newest_version: u8,
    /// The node's name, for display.
    pub name: &'a str,
    /// The time since the node started, in milliseconds.
    pub uptime_ms: u64,
    /// The number of connections on the node.
    pub connections: u64,
    /// The number of rooms that this node's connections are in.
    pub rooms: u64,
    /// A hash of the settings that all nodes should share.
    pub settings: u64,
    /// The sum of the hashes of this node's members, over all rooms with full presence.
    pub digest: u64,
    /// The ends of the node's streams when the digest was computed.
    pub streams: StreamEnds<'a>,
}

impl<'a> Beat<'a> {
    pub(super) fn encoded_len(&self) -> usize {
        let numbers = [self.uptime_ms, self.connections, self.rooms];
        let numbers: usize = numbers.into_iter().map(varint_len).sum();
        2 + prefixed_len(self.name.len()) + numbers + 16 + self.streams.encoded_len()
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.oldest_version, self.newest_version]);
        put_prefixed(self.name.as_bytes(), out);
        for number in [self.uptime_ms, self.connections, self.rooms] {
            put_varint(number, out);
        }
        out.extend_from_slice(&self.settings.to_be_bytes());
        out.extend_from_slice(&self.digest.to_be_bytes());
        self.streams.encode(out);
    }

    pub(super) fn decode(cursor: &mut Cursor<'a>) -> Result<Self, FrameError> {
        Ok(Beat {
            oldest_version: cursor.u8("beat")?,
            newest_version: cursor.u8("beat")?,
            name: cursor.name("beat")?,
            uptime_ms: cursor.varint("beat")?,
            connections: cursor.varint("beat")?,
            rooms: cursor.varint("beat")?,
            settings: cursor.u64("beat")?,
            digest: cursor.u64("beat")?,
            // The list extends to the end of the item, so it has no length prefix.
            streams: StreamEnds::decode(core::mem::take(&mut cursor.0))?,
        })
    }
}

//! Room messages with two encodings: as they are, and compressed. Bytes without a compressed one pass through.
//!
//! A room's batch is encoded once, as plain frames. Everything that decides about it works with these:
//! who is left out, the water marks of receivers, the logs of sessions. A receiver that has negotiated
//! compression gets the same chunk of plain bytes as all others, with a reference to the batch's compressed
//! form ([`CompressedBatch`]). That is made when the first of these chunks is about to be written, once for
//! all receivers, and the chunk's bytes are replaced by their compressed form there.
//!
//! | what | sees | because |
//! |---|---|---|
//! | a sender left out of its own message | plain ranges | a range of whole frames has its counterpart in the compressed form |
//! | an outbox's water marks, the memory budget | plain lengths until the write, then compressed ones | a receiver that takes nothing costs no compression |
//! | a session's log | plain bytes | the client's next connection may not have negotiated compression |
//! | the hub, rooms that remember, a cluster's other nodes | packets | each node compresses for its own members |
//!
//! So compression happens without the server's lock, in the task that flushes, and never for a room without
//! a receiver for it. Each frame is compressed for itself, since no receiver has the others of its sender.
//! Messages to one connection (direct ones, `join_ack`, answers, what a member gets early because it
//! leaves) stay plain: compressing them would cost the same work for one receiver.
//!
//! Without the feature `deflate`, [`CompressedBatch`] has no values, and costs nothing.

#[cfg(feature = "deflate")]
mod codec;
mod rules;
#[cfg(feature = "deflate")]
mod with;
#[cfg(not(feature = "deflate"))]
mod without;

pub(crate) use rules::CompressionRules;
#[cfg(feature = "deflate")]
pub(crate) use with::{CompressedBatch, echo, inflate};
#[cfg(not(feature = "deflate"))]
pub(crate) use without::{CompressedBatch, echo, inflate};

use roomer_hub::ConnKey;
use roomer_proto::websocket::{self, Kind};

use crate::outbound::chunk::Chunk;
use crate::outbound::outbox::InFlight;
use crate::outbound::{Outbound, schedule};

/// The bytes that compression has taken off chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Saved {
    pub(crate) total: usize,
    /// Those of the last chunk.
    pub(crate) last: usize,
}

impl Chunk {
    /// Lets a chunk of a batch be written in its compressed form.
    pub(crate) fn compressible(mut self, batch: Option<&CompressedBatch>) -> Self {
        // A part that was copied, as sessions get it, has no place in the compressed form.
        self.compressed = batch.filter(|batch| batch.contains(&self.bytes)).cloned();
        self
    }

    /// Replaces the bytes by their compressed form, if the chunk has one. Returns the difference.
    #[inline]
    pub(crate) fn compress(&mut self) -> usize {
        match self.compressed.take() {
            Some(batch) => self.replace(&batch),
            None => 0,
        }
    }

    #[cold]
    fn replace(&mut self, batch: &CompressedBatch) -> usize {
        let before = self.bytes.len();
        self.bytes = batch.part(&self.bytes);
        before - self.bytes.len()
    }
}

impl InFlight {
    /// Compresses what is about to be written, at most so many chunks.
    #[inline]
    pub(crate) fn compress(&mut self, most: usize) {
        let mut compress = |chunk: &mut Chunk| {
            let saved = chunk.compress();
            self.saved = Saved { total: self.saved.total + saved, last: saved };
        };
        compress(&mut self.front);
        // The usual write is of one chunk.
        if self.back.is_empty() {
            return;
        }
        let unwritten = self.back.len().saturating_sub(most);
        self.back.iter_mut().take(most).for_each(compress);
        // The newest message is behind those that were compressed.
        if unwritten > 0 {
            self.saved.last = 0;
        }
    }
}

impl Outbound {
    /// Sends a message back to its sender.
    pub(crate) fn echo(&mut self, conn: ConnKey, kind: Kind, data: &[u8]) {
        let Some(writer) = self.writers.get(conn) else { return };
        let mut frame = Vec::new();
        match writer.takes_compressed() {
            true => echo(kind, data, &mut frame),
            false => websocket::message_frame(kind, data, &mut frame),
        }
        schedule(conn, writer, Chunk::complete(frame), &mut self.flush_list);
    }
}

#[cfg(all(test, feature = "deflate", not(roomer_loom)))]
mod tests;

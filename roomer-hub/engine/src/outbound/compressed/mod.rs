//! Room messages in two encodings, plain and compressed.
//!
//! Chunks without a compressed form are written unchanged.
//!
//! A room's batch is encoded once, as plain frames. Exclusions, the receivers' water marks and the
//! sessions' logs all refer to the plain frames. A receiver that has negotiated compression gets
//! the same plain chunk as all others, with a reference to the batch's compressed form
//! ([`CompressedBatch`]). The compressed form is created once for all receivers, when the first
//! chunk that refers to it is about to be written. The chunk's bytes are then replaced by their
//! compressed form.
//!
//! | part | operates on | reason |
//! |---|---|---|
//! | the exclusion of a sender from its own message | plain ranges | a range of whole frames has a counterpart in the compressed form |
//! | an outbox's water marks, the memory budget | plain lengths until the write, then compressed ones | a receiver that accepts nothing requires no compression |
//! | a session's log | plain bytes | the client's next connection may not have negotiated compression |
//! | the hub, rooms with history, other nodes of a cluster | packets | each node compresses for its own members |
//!
//! Compression therefore runs without the server's lock, in the task that flushes, and only if a
//! room has a receiver that accepts compressed messages. Each frame is compressed independently,
//! since no receiver has all of the sender's earlier frames. Messages to one connection (direct
//! messages, `join_ack`, replies, and the part of a batch delivered early to a leaving member) stay
//! plain: compressing them would benefit only one receiver.
//!
//! Without the `deflate` feature, [`CompressedBatch`] is uninhabited and costs nothing.

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
use roomer_proto::websocket::{self, Decoder, Kind};

use crate::outbound::chunk::Chunk;
use crate::outbound::outbox::InFlight;
use crate::outbound::{Outbound, schedule};

/// The compression that a connection has negotiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compression {
    /// True if the client may send compressed messages.
    pub(crate) is_agreed: bool,
    /// True if the client also accepts compressed messages: its window is at least as large as the
    /// compressor's, whose output is shared by all receivers.
    pub(crate) is_shared: bool,
}

impl Compression {
    /// Returns a decoder for a connection with this compression.
    pub(crate) fn decoder(self) -> Decoder {
        let mut decoder = Decoder::new();
        if self.is_agreed {
            decoder.accept_compressed();
        }
        decoder
    }
}

/// The number of bytes saved by compressing the chunks of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Saved {
    pub(crate) total: usize,
    /// The bytes saved on the last chunk.
    pub(crate) last: usize,
}

impl Chunk {
    /// Attaches a batch's compressed form to this chunk, if the chunk is a slice of that batch. The
    /// compressed form is then used when the chunk is written.
    pub(crate) fn compressible(mut self, batch: Option<&CompressedBatch>) -> Self {
        // A part copied for a session cannot be located in the compressed form.
        self.compressed = batch.filter(|batch| batch.contains(&self.bytes)).cloned();
        self
    }

    /// Replaces the bytes with their compressed form, if the chunk has one. Returns the number of
    /// bytes saved.
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
    /// Compresses the first chunks of a write, at most `most` of those after the front one.
    #[inline]
    pub(crate) fn compress(&mut self, most: usize) {
        let mut compress = |chunk: &mut Chunk| {
            let saved = chunk.compress();
            self.saved = Saved { total: self.saved.total + saved, last: saved };
        };
        compress(&mut self.front);
        // Usually the write consists of a single chunk.
        if self.back.is_empty() {
            return;
        }
        let unwritten = self.back.len().saturating_sub(most);
        self.back.iter_mut().take(most).for_each(compress);
        // The newest message was not compressed, so its size stays the same.
        if unwritten > 0 {
            self.saved.last = 0;
        }
    }
}

impl Outbound {
    /// Returns a message to its sender, for the echo server.
    pub(crate) fn echo(&mut self, conn: ConnKey, kind: Kind, data: &[u8]) {
        let Some(writer) = self.writers.get(conn) else { return };
        let mut frame = Vec::new();
        match writer.accepts_compressed() {
            true => echo(kind, data, &mut frame),
            false => websocket::message_frame(kind, data, &mut frame),
        }
        schedule(conn, writer, Chunk::complete(frame), &mut self.flush_list);
    }
}

#[cfg(all(test, feature = "deflate", not(roomer_loom)))]
mod tests;

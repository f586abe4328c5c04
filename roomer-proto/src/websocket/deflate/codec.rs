//! Compression and decompression of whole messages (RFC 7692 section 7.2).

use alloc::vec::Vec;
use core::fmt;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::websocket::encode::compressed_frame;
use crate::websocket::{Kind, Violation, message_frame};

/// The last bytes of every compressed message, which are not transmitted (section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The tail, followed by an empty final block. The decompressor reaches the end of that block
/// only if the message ended on a block boundary.
const END: [u8; 6] = [0, 0, 0xff, 0xff, 3, 0];

/// The compression level, from 1 to 9. For a kilobyte of JSON, higher levels take longer for
/// almost no gain; level 1 takes half the time but produces a third more output.
const LEVEL: u32 = 3;

/// The initial capacity of an output buffer. It grows, since the inflated length is not known.
const FIRST_CAPACITY: usize = 1024;

/// The number of bytes that a compressed message may have in addition to [`MAX_BLOCKS_PER_BYTE`] for each
/// byte of its content.
const MAX_PADDING: usize = 1024;
/// The maximum number of compressed bytes for one byte of content. Blocks that expand to little or
/// nothing cost more time than their bytes suggest, so a message made of them would circumvent a
/// limit on bytes. A compressor that flushes after every byte produces nine bytes for one.
const MAX_BLOCKS_PER_BYTE: usize = 10;

/// A compressor for any number of messages. It allocates about 300 KiB, and should therefore be
/// shared by many connections.
pub struct Deflater {
    stream: Compress,
    /// The last compressed message, whose buffer is reused.
    output: Vec<u8>,
}

impl Deflater {
    /// Creates a compressor.
    #[must_use]
    pub fn new() -> Self {
        Deflater { stream: Compress::new(Compression::new(LEVEL), false), output: Vec::new() }
    }

    /// Appends a message as a compressed server frame, or as an uncompressed one if that is not longer.
    pub fn message_frame(&mut self, kind: Kind, data: &[u8], out: &mut Vec<u8>) {
        match self.deflate(data) {
            Some(compressed) => compressed_frame(kind, compressed, out),
            None => message_frame(kind, data, out),
        }
    }

    /// Compresses a message, without the tail. Returns `None` if the result is not shorter.
    pub fn deflate(&mut self, data: &[u8]) -> Option<&[u8]> {
        // The buffer is only as long as the input, so compression stops early if the message
        // does not shrink.
        self.output.clear();
        self.output.reserve_exact(data.len());
        self.stream.reset();
        let result = self.stream.compress_vec(data, &mut self.output, FlushCompress::Sync);
        let is_whole = result.is_ok()
            && self.stream.total_in() == data.len() as u64
            && self.output.len() < self.output.capacity();
        let compressed = self.output.strip_suffix(&TAIL).filter(|_| is_whole)?;
        (compressed.len() < data.len()).then_some(compressed)
    }
}

/// A decompressor for any number of messages. It allocates about 50 KiB.
pub struct Inflater(Decompress);

impl Inflater {
    /// Creates a decompressor.
    #[must_use]
    pub fn new() -> Self {
        Inflater(Decompress::new(false))
    }

    /// Inflates a message. The output never exceeds `max_message`: its length is checked while it grows.
    ///
    /// # Errors
    ///
    /// Returns a [`Violation`] for the close frame: 1007 if `data` is not valid compressed data, or
    /// text is not UTF-8; 1009 if the message is longer than `max_message`.
    pub fn inflate(
        &mut self,
        kind: Kind,
        data: &[u8],
        max_message: usize,
    ) -> Result<Vec<u8>, Violation> {
        self.0.reset(false);
        let mut message = Vec::new();
        // Empty data stands for an empty message. If such a message follows another one, zlib
        // compresses it to no bytes instead of the single byte of section 7.2.3.6.
        if !data.is_empty() && !self.inflate_into(data, max_message, &mut message)? {
            self.inflate_into(&END, max_message, &mut message)?
                .then_some(())
                .ok_or(Violation::invalid_payload("compressed message ends inside a block"))?;
        }
        check_padding(data.len(), message.len())?;
        if kind == Kind::Text && core::str::from_utf8(&message).is_err() {
            return Err(Violation::invalid_payload("text is not UTF-8"));
        }
        Ok(message)
    }

    /// Appends the inflated data. Returns true if the data ends with the end of a final block.
    fn inflate_into(
        &mut self,
        mut data: &[u8],
        max_message: usize,
        message: &mut Vec<u8>,
    ) -> Result<bool, Violation> {
        let length = data.len();
        loop {
            if message.len() == message.capacity() {
                if message.len() > max_message {
                    return Err(Violation::too_big("inflated message is above the limit"));
                }
                // One byte above the limit is enough to detect a message that exceeds it.
                let most = max_message.saturating_add(1);
                let first = data.len().saturating_mul(2).max(FIRST_CAPACITY);
                let capacity = (2 * message.capacity()).max(first).min(most);
                message.reserve_exact(capacity - message.len());
            }
            let before = (self.0.total_in(), message.len());
            let status = self.0.decompress_vec(data, message, FlushDecompress::Sync);
            let status =
                status.map_err(|_| Violation::invalid_payload("message is not compressed data"))?;
            data = &data[(self.0.total_in() - before.0) as usize..];
            if message.len() > max_message {
                return Err(Violation::too_big("inflated message is above the limit"));
            }
            match status {
                Status::StreamEnd if data.is_empty() => return Ok(true),
                // More blocks may follow a final block (section 7.2.1).
                Status::StreamEnd => {
                    // Check the padding here too, because restarting is the most expensive step.
                    check_padding(length - data.len(), message.len())?;
                    self.0.reset(false);
                }
                // The output has space left, so all input was consumed.
                Status::Ok | Status::BufError if message.len() < message.capacity() => {
                    return match data.is_empty() {
                        true => Ok(false),
                        false => Err(Violation::invalid_payload("message is not compressed data")),
                    };
                }
                Status::Ok | Status::BufError => {}
            }
        }
    }
}

/// Rejects compressed data that expands to far fewer bytes.
fn check_padding(compressed: usize, message: usize) -> Result<(), Violation> {
    if compressed.saturating_sub(MAX_PADDING) / MAX_BLOCKS_PER_BYTE > message {
        return Err(Violation::invalid_payload("compressed message consists of empty blocks"));
    }
    Ok(())
}

impl Default for Deflater {
    fn default() -> Self {
        Deflater::new()
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Inflater::new()
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deflater")
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inflater")
    }
}

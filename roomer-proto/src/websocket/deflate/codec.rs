//! Compression and decompression of whole messages (RFC 7692 section 7.2).

use alloc::vec::Vec;
use core::fmt;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::websocket::encode::compressed_frame;
use crate::websocket::{Kind, Violation, message_frame};

/// The end of a compressed message that is not sent (section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The tail, and an empty last block. The decompressor reports that block only if the message ended where
/// a block may begin.
const END: [u8; 6] = [0, 0, 0xff, 0xff, 3, 0];

/// The level of compression, from 1 to 9. For a kilobyte of JSON, higher ones take longer and hardly
/// leave less; level 1 takes half of the time and leaves a third more.
const LEVEL: u32 = 3;

/// The first step of an output buffer, whose length a peer does not announce.
const FIRST_CAPACITY: usize = 1024;

/// The limit on the bytes of a compressed message: this many, and for each byte of its content as many as
/// [`MOST_FOR_ONE`]. Blocks that expand to little cost more than what they count as, so a message that consists of
/// them would get around a limit of bytes. A compressor that flushes after each byte sends nine for one.
const MOST_PADDING: usize = 1024;
const MOST_FOR_ONE: usize = 10;

/// A compressor, for any number of messages. It owns about 300 KiB, and so should serve many
/// connections.
pub struct Deflater {
    stream: Compress,
    /// The last compressed message. Its memory is used again.
    output: Vec<u8>,
}

impl Deflater {
    /// Creates a compressor.
    #[must_use]
    pub fn new() -> Self {
        Deflater { stream: Compress::new(Compression::new(LEVEL), false), output: Vec::new() }
    }

    /// Appends a message as a compressed frame of a server; as a plain one if that is not longer.
    pub fn message_frame(&mut self, kind: Kind, data: &[u8], out: &mut Vec<u8>) {
        match self.deflate(data) {
            Some(compressed) => compressed_frame(kind, compressed, out),
            None => message_frame(kind, data, out),
        }
    }

    /// Returns a message compressed, without its tail; `None` if that does not make it shorter.
    pub fn deflate(&mut self, data: &[u8]) -> Option<&[u8]> {
        // A message that does not get shorter does not fit, and so is not compressed to its end.
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

/// A decompressor, for any number of messages. It owns about 50 KiB.
pub struct Inflater(Decompress);

impl Inflater {
    /// Creates a decompressor.
    #[must_use]
    pub fn new() -> Self {
        Inflater(Decompress::new(false))
    }

    /// Returns the message of which `data` is the compressed form. It is never longer than
    /// `max_message`: what a short frame expands to is counted while it expands.
    ///
    /// # Errors
    ///
    /// A [`Violation`] with which to close: 1007 if the data are not compressed data to their end, or a
    /// text is not UTF-8; 1009 if the message is longer than `max_message`.
    pub fn inflate(
        &mut self,
        kind: Kind,
        data: &[u8],
        max_message: usize,
    ) -> Result<Vec<u8>, Violation> {
        self.0.reset(false);
        let mut message = Vec::new();
        // zlib sends nothing for an empty message after another one, in place of the one byte of section
        // 7.2.3.6.
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

    /// Appends what the data expand to. Returns true if they end with the end of a last block.
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
                // One byte above the limit: with it, the message is known to be longer.
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
                // Blocks may follow a last one (section 7.2.1).
                Status::StreamEnd => {
                    // Here too, since to start again is what costs most.
                    check_padding(length - data.len(), message.len())?;
                    self.0.reset(false);
                }
                // With room in the output, all input was taken.
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

/// Rejects compressed bytes that expand to far fewer.
fn check_padding(compressed: usize, message: usize) -> Result<(), Violation> {
    if compressed.saturating_sub(MOST_PADDING) / MOST_FOR_ONE > message {
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

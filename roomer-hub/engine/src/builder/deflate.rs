//! Per-room compression options.

use crate::builder::Builder;

impl<E> Builder<E> {
    /// Compresses the messages of rooms with permessage-deflate (RFC 7692). `pattern` is a room's name,
    /// or a name prefix followed by `*`; the first matching pattern applies. A message is compressed if
    /// it has at least `threshold` bytes and becomes shorter; `usize::MAX` disables compression for the
    /// room. Default: no room, in which case compression is not negotiated.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::Server; // or roomer_smol
    ///
    /// let server = Server::builder()
    ///     .deflate("documents/*", 512)
    ///     .build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    ///
    /// A message to a room is compressed once, by the task that writes it, for all members that
    /// have negotiated compression, as browsers do by default. Compressing a kilobyte of JSON takes
    /// about 20 µs, regardless of the number of members. Direct messages, replies, member lists and
    /// messages above 1 MiB are not compressed. No per-connection memory is allocated for
    /// compression.
    ///
    /// Clients that have negotiated compression may compress the messages they send, to any room.
    /// [`max_message`](Self::max_message) limits the inflated length, and
    /// [`byte_rate`](Self::byte_rate) counts inflated bytes. Set both, since a message may inflate
    /// to a thousand times its length.
    ///
    /// The length of a compressed message reveals something about its content. If an attacker can
    /// observe the number of bytes on the connection, do not compress rooms whose messages combine a
    /// secret with text chosen by others (the CRIME and BREACH attacks).
    pub fn deflate(mut self, pattern: impl Into<String>, threshold: usize) -> Self {
        self.options.handshake.compression.push((pattern.into(), threshold));
        self
    }
}

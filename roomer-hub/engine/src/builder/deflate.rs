//! Rooms whose messages are compressed.

use crate::builder::Builder;

impl<E> Builder<E> {
    /// Compresses the messages of rooms, by permessage-deflate (RFC 7692). `pattern` is a room's name, or a
    /// prefix of names followed by `*`; the first matching pattern applies. A message is compressed if it
    /// is at least `threshold` bytes long and becomes shorter; `usize::MAX` turns it off for the room.
    /// Default: no room, and then no client can negotiate compression.
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
    /// A message to a room is compressed once, by the task that writes it, for all members that have
    /// negotiated compression; browsers do so by themselves. For a kilobyte of JSON that takes some 20 µs,
    /// whatever the number of members. Direct messages, answers and lists of members stay as they are, and
    /// so do messages above 1 MiB. No connection owns memory for compression.
    ///
    /// Clients that have negotiated compression may compress what they send, to any room.
    /// [`max_message`](Self::max_message) limits the inflated length, and
    /// [`byte_rate`](Self::byte_rate) counts it: a client can make the server inflate a thousand times what
    /// it sends, so set both.
    ///
    /// The length of a compressed message reveals something about its content. Do not compress rooms in
    /// whose messages a secret stands together with text of others, if the connection's bytes can be
    /// counted (the attacks CRIME and BREACH).
    pub fn deflate(mut self, pattern: impl Into<String>, threshold: usize) -> Self {
        self.options.handshake.compression.push((pattern.into(), threshold));
        self
    }
}

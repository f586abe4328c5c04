//! The client's use of compression: the offer, its acceptance, and compressed messages.

use core::time::Duration;

use super::compression::Compression;
use super::lifecycle::Client;
use crate::websocket::Kind;

impl Client {
    /// Returns true if the client offers compression to the server.
    pub(super) fn offers_compression(&self) -> bool {
        #[cfg(feature = "deflate")]
        return self.options.deflate.is_some();
        #[cfg(not(feature = "deflate"))]
        false
    }

    /// Enables compression, after the server has accepted the offer.
    pub(super) fn compression_agreed(&mut self) {
        let compression = Compression::new(&self.options);
        if let Some(socket) = &mut self.socket
            && let Some(compression) = compression
        {
            socket.frames.accept_compressed();
            socket.compression = Some(compression.into());
        }
    }

    /// Inflates a compressed message and handles it.
    pub(super) fn compressed(&mut self, now: Duration, kind: Kind, data: &[u8]) {
        let max_message = self.options.max_message;
        let socket = self.socket.as_mut();
        // The state exists: without negotiation, the decoder would have rejected the compressed
        // frame.
        let Some(compression) = socket.and_then(|socket| socket.compression.as_mut()) else {
            return;
        };
        match compression.inflate(kind, data, max_message) {
            Ok(message) => self.message(now, &message),
            Err(violation) => self.violated(now, violation),
        }
    }
}

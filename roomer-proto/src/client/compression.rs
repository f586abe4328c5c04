//! permessage-deflate state of one connection: compresses packets and inflates messages.
//!
//! Without the `deflate` feature, [`Compression`] is an uninhabited type.

#[cfg(feature = "deflate")]
pub(super) use with::{Compression, agreed, offer};
#[cfg(not(feature = "deflate"))]
pub(super) use without::{Compression, agreed, offer};

#[cfg(feature = "deflate")]
mod with {
    use alloc::vec::Vec;

    use crate::client::options::Options;
    use crate::websocket::deflate::{Agreement, Deflater, Inflater, OFFER};
    use crate::websocket::{Kind, Violation, masked_compressed_frame};

    /// The state of a connection that has negotiated compression.
    #[derive(Debug)]
    pub(in super::super) struct Compression {
        /// Packets of at least this many bytes are compressed.
        threshold: usize,
        // The compressor and decompressor are allocated on first use, since they take about 350
        // KiB.
        deflater: Option<Deflater>,
        inflater: Option<Inflater>,
    }

    /// Returns the value of `Sec-WebSocket-Extensions` in the request.
    pub(in super::super) fn offer() -> &'static str {
        OFFER
    }

    /// Returns `Some(true)` if the server accepted [`offer`], `Some(false)` if it declined, and
    /// `None` if its response is invalid.
    pub(in super::super) fn agreed<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<bool> {
        Agreement::confirm(lines).ok().map(|agreement| agreement.is_some())
    }

    impl Compression {
        pub(in super::super) fn new(options: &Options) -> Option<Self> {
            let threshold = options.deflate?;
            Some(Compression { threshold, deflater: None, inflater: None })
        }

        pub(in super::super) fn inflate(
            &mut self,
            kind: Kind,
            data: &[u8],
            max_message: usize,
        ) -> Result<Vec<u8>, Violation> {
            self.inflater.get_or_insert_default().inflate(kind, data, max_message)
        }

        /// Appends a packet as a compressed frame. Returns false if the packet should be sent
        /// uncompressed.
        pub(in super::super) fn frame(
            &mut self,
            packet: &[u8],
            key: [u8; 4],
            out: &mut Vec<u8>,
        ) -> bool {
            // Small packets hardly shrink, so compressing them is not worth the time.
            if packet.len() < self.threshold {
                return false;
            }
            let compressed = self.deflater.get_or_insert_default().deflate(packet);
            compressed.map(|data| masked_compressed_frame(data, key, out)).is_some()
        }
    }
}

#[cfg(not(feature = "deflate"))]
mod without {
    use alloc::vec::Vec;

    use crate::client::options::Options;
    use crate::websocket::{Kind, Violation};

    #[derive(Debug)]
    pub(in super::super) enum Compression {}

    pub(in super::super) fn offer() -> &'static str {
        ""
    }

    pub(in super::super) fn agreed<'a>(_: impl Iterator<Item = &'a [u8]>) -> Option<bool> {
        // This is unreachable: without an offer, the handshake rejects every response that
        // selects an extension.
        None
    }

    impl Compression {
        pub(in super::super) fn new(_: &Options) -> Option<Self> {
            None
        }

        pub(in super::super) fn inflate(
            &mut self,
            _: Kind,
            _: &[u8],
            _: usize,
        ) -> Result<Vec<u8>, Violation> {
            match *self {}
        }

        pub(in super::super) fn frame(&mut self, _: &[u8], _: [u8; 4], _: &mut Vec<u8>) -> bool {
            match *self {}
        }
    }
}

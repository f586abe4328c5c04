//! Negotiation of permessage-deflate.

use http::HeaderMap;
use roomer_proto::websocket::Decoder;

use crate::handshake::options::HandshakeOptions;

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

/// Returns the negotiated compression, and the value of `Sec-WebSocket-Extensions` for the response, if
/// any.
#[cfg(feature = "deflate")]
pub(crate) fn negotiate(
    headers: &HeaderMap,
    options: &HandshakeOptions,
) -> (Compression, Option<String>) {
    use http::header::SEC_WEBSOCKET_EXTENSIONS;
    use roomer_proto::websocket::deflate::Agreement;

    let offers = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter().map(|line| line.as_bytes());
    let agreed = (!options.compression.is_empty()).then(|| Agreement::accept(offers)).flatten();
    match agreed {
        Some(agreed) => {
            let is_shared = agreed.has_full_window();
            (Compression { is_agreed: true, is_shared }, Some(agreed.to_string()))
        }
        None => Default::default(),
    }
}

#[cfg(not(feature = "deflate"))]
pub(crate) fn negotiate(_: &HeaderMap, _: &HandshakeOptions) -> (Compression, Option<String>) {
    Default::default()
}

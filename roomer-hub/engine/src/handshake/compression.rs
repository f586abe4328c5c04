//! Negotiation of permessage-deflate.

use http::HeaderMap;

use crate::handshake::options::HandshakeOptions;
use crate::outbound::compressed::Compression;

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

//! TLS from a client to a server.

use std::io;
use std::sync::Arc;

use futures_rustls::TlsConnector;
use futures_rustls::rustls::crypto::{CryptoProvider, ring};
use futures_rustls::rustls::pki_types::ServerName;
use futures_rustls::rustls::{
    CertificateError, ClientConfig, Error, InvalidMessage, RootCertStore,
};

use super::builder::BoxStream;
use super::runtime::ByteStream;

/// Performs the TLS handshake with the server.
pub(super) async fn secure(
    config: Option<Arc<ClientConfig>>,
    host: &str,
    stream: impl ByteStream,
) -> Result<BoxStream, String> {
    let config = match config {
        Some(config) => config,
        // Load the authorities for each connection, since the system's authorities may change and a
        // client connects rarely.
        None => Arc::new(system()?),
    };
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| "the host cannot be in a certificate".to_owned())?;
    let stream = TlsConnector::from(config).connect(name, stream).await;
    Ok(Box::new(stream.map_err(|error| format!("TLS fails: {}", explain(&error)))?))
}

/// Returns the remedy if the cause is a common mistake, otherwise the error's own text.
fn explain(error: &io::Error) -> String {
    match error.get_ref().and_then(|error| error.downcast_ref()) {
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            "the server does not use TLS at this port: write ws://, or use the port for TLS".into()
        }
        // The error's type belongs to a crate that rustls does not export, so search for its name
        // in the text.
        Some(Error::InvalidCertificate(CertificateError::Other(other)))
            if format!("{other:?}").contains("CaUsedAsEndEntity") =>
        {
            "the server's certificate is that of an authority (CA): create one for the host; with \
             `openssl req -x509`, add `-addext basicConstraints=critical,CA:FALSE`"
                .into()
        }
        _ => error.to_string(),
    }
}

fn system() -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    // Skip system certificates that rustls does not accept.
    let (count, _) =
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if count == 0 {
        return Err("the system has no CA certificates".into());
    }
    // Do not use `ClientConfig::builder`: it chooses a provider itself, and panics if the
    // application has enabled a second one.
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(ring::default_provider()));
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

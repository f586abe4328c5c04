//! TLS to a broker.

use std::path::Path;
use std::sync::Arc;

use futures_io::{AsyncRead, AsyncWrite};
use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use futures_rustls::rustls::crypto::{CryptoProvider, ring};
use futures_rustls::rustls::pki_types::pem::PemObject;
use futures_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use futures_rustls::rustls::{ClientConfig, RootCertStore};

use super::carrier::describe;
use crate::cluster::address::{Broker, TlsFiles};

/// Performs the TLS handshake. Certificate files are read for each connection, so that a renewed
/// certificate takes effect with the next connection.
pub(super) async fn secure<S>(broker: Broker, stream: S) -> Result<TlsStream<S>, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = config(&broker.files)?;
    let name = ServerName::try_from(broker.host)
        .map_err(|_| "its host cannot be in a certificate".to_owned())?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    stream.map_err(|error| format!("TLS fails: {}", describe(&error)))
}

fn config(files: &TlsFiles) -> Result<ClientConfig, String> {
    let roots = match &files.ca {
        Some(file) => authorities(file)?,
        None => system()?,
    };
    // Do not use `ClientConfig::builder`: it chooses a provider itself, and panics if the
    // application has enabled a second one.
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(ring::default_provider()));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    match (&files.cert, &files.key) {
        (Some(cert), Some(key)) => {
            let chain = certificates(cert)?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| format!("the key {}: {error}", key.display()))?;
            config.with_client_auth_cert(chain, key).map_err(|error| error.to_string())
        }
        _ => Ok(config.with_no_client_auth()),
    }
}

fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        let added = roots.add(certificate);
        added.map_err(|error| format!("the certificate {}: {error}", file.display()))?;
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = || CertificateDer::pem_file_iter(file)?.collect::<Result<Vec<_>, _>>();
    match read() {
        Ok(list) if list.is_empty() => {
            Err(format!("the file {} has no certificate in PEM", file.display()))
        }
        Ok(list) => Ok(list),
        Err(error) => Err(format!("the certificate {}: {error}", file.display())),
    }
}

/// Returns the system's certificate authorities. `SSL_CERT_FILE` and `SSL_CERT_DIR` override them.
fn system() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    // Skip system certificates that rustls cannot parse.
    let (count, _) = roots.add_parsable_certificates(found.certs);
    if count == 0 {
        return Err("the system has no CA certificates: write ?ca=FILE".into());
    }
    Ok(roots)
}

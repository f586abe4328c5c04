//! A certificate and its key from files, as PEM.

use std::path::Path;

use roomer_engine::tls::rustls::ServerConfig;
use roomer_engine::tls::rustls::pki_types::pem::PemObject;
use roomer_engine::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::program::Outcome;

/// Returns the TLS configuration for a certificate. Each error names its file.
pub fn config(cert: &Path, key: &Path) -> Outcome<ServerConfig> {
    let (cert_name, key_name) = (cert.display(), key.display());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|error| format!("cannot read the certificate {cert_name}: {error}"))?;
    if chain.is_empty() {
        return Err(format!("there is no certificate in {cert_name}; it must be PEM").into());
    }
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| format!("cannot read the key {key_name}: {error}"))?;
    let builder = ServerConfig::builder().with_no_client_auth();
    let config = builder.with_single_cert(chain, key);
    Ok(config.map_err(|error| {
        format!("the certificate {cert_name} and the key {key_name} cannot be used: {error}")
    })?)
}

//! The certificate for TLS. It is read from files, and can be replaced while the server runs.

use std::path::Path;
use std::sync::Arc;

use roomer_tokio::rustls::ServerConfig;
use roomer_tokio::rustls::server::{ClientHello, ResolvesServerCert};
use roomer_tokio::rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::serve::config::Config;
use crate::serve::config::values::Problem;
use crate::serve::replaceable::{Replaceable, Replacement};

/// The certificate for new connections, which can be replaced.
#[derive(Debug)]
pub(crate) struct Certificate(Replaceable<Arc<CertifiedKey>>);

impl Certificate {
    /// Reads the certificate and its key, if the configuration contains their paths.
    pub(crate) fn new(config: &Config) -> Result<Option<Arc<Certificate>>, Problem> {
        Ok(read(config)?.map(|key| Arc::new(Certificate(Replaceable::new(Arc::new(key))))))
    }

    /// Prepares to replace the certificate. Open connections keep the previous one.
    pub(crate) fn adopt(&self, new: &Certificate) -> Replacement<'_> {
        self.0.prepare(new.current())
    }

    fn current(&self) -> Arc<CertifiedKey> {
        self.0.read().clone()
    }

    pub(crate) fn config(self: Arc<Self>) -> ServerConfig {
        ServerConfig::builder().with_no_client_auth().with_cert_resolver(self)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

fn read(config: &Config) -> Result<Option<CertifiedKey>, Problem> {
    let options = &config.options;
    let (certificate, key) = match (&options.tls_certificate, &options.tls_key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(config.problem("tls.certificate", "needs tls.key as well")),
        (None, Some(_)) => return Err(config.problem("tls.key", "needs tls.certificate as well")),
    };
    let chain = chain(certificate).map_err(|text| config.problem("tls.certificate", text))?;
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| config.problem("tls.key", in_file(key, &error, "private key")))?;
    // `from_der` also checks that the key belongs to the certificate.
    let key = CertifiedKey::from_der(chain, key, ServerConfig::builder().crypto_provider());
    let key = key.map_err(|error| {
        config.problem("tls.key", format!("does not match the certificate: {error}"))
    })?;
    Ok(Some(key))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match chain {
        // If the file contains no certificate, the iterator is empty, and reports no error.
        Ok(chain) if chain.is_empty() => {
            Err(in_file(path, &pem::Error::NoItemsFound, "certificate"))
        }
        Ok(chain) => Ok(chain),
        Err(error) => Err(in_file(path, &error, "certificate")),
    }
}

fn in_file(path: &Path, error: &pem::Error, kind: &str) -> String {
    // An encrypted key has the line `BEGIN ENCRYPTED PRIVATE KEY`, or the header `Proc-Type:
    // 4,ENCRYPTED`.
    let is_encrypted =
        || std::fs::read_to_string(path).is_ok_and(|text| text.contains("ENCRYPTED"));
    match error {
        _ if kind == "private key" && is_encrypted() => format!(
            "{path} is encrypted: decrypt it with `openssl pkey -in {path} -out FILE`, and protect that \
             file by its permissions",
            path = path.display()
        ),
        pem::Error::Io(error) => format!("{}: {error}", path.display()),
        pem::Error::NoItemsFound => {
            format!("{} contains no {kind}: write the path of one in PEM", path.display())
        }
        error => format!("{}: {error}", path.display()),
    }
}

//! Certificates from files.

use std::path::Path;
use std::sync::Arc;

use roomer_tokio::rustls::ServerConfig;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::serve::config::Config;
use crate::serve::config::values::Problem;

pub(crate) type TlsConfig = Arc<ServerConfig>;

/// Reads the certificate and its key, if the configuration names them.
pub(crate) fn read(config: &Config) -> Result<Option<TlsConfig>, Problem> {
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
    let tls = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    let tls = tls.map_err(|error| {
        config.problem("tls.key", format!("does not go with the certificate: {error}"))
    })?;
    Ok(Some(Arc::new(tls)))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match chain {
        Ok(chain) if chain.is_empty() => {
            Err(in_file(path, &pem::Error::NoItemsFound, "certificate"))
        }
        Ok(chain) => Ok(chain),
        Err(error) => Err(in_file(path, &error, "certificate")),
    }
}

fn in_file(path: &Path, error: &pem::Error, kind: &str) -> String {
    match error {
        pem::Error::Io(error) => format!("{}: {error}", path.display()),
        pem::Error::NoItemsFound => {
            format!("{} contains no {kind}: write the path of one in PEM", path.display())
        }
        error => format!("{}: {error}", path.display()),
    }
}

//! TLS configuration from a certificate file and a key file.

use std::path::{Path, PathBuf};

use futures_rustls::rustls::pki_types::pem::{self, PemObject};
use futures_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use futures_rustls::rustls::{self, ServerConfig};

/// Loads a TLS configuration from PEM files: a certificate, with its chain if any, and its key. Clients
/// need no certificate. For other rules, build a [`ServerConfig`].
///
/// # Errors
///
/// Returns a [`TlsFileError`] if a file cannot be read or used. The text names the file.
pub fn tls_config(
    certificate: impl AsRef<Path>,
    key: impl AsRef<Path>,
) -> Result<ServerConfig, TlsFileError> {
    let (path, key_path) = (certificate.as_ref(), key.as_ref());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|cause| TlsFileError::Certificate { path: path.into(), cause })?;
    if chain.is_empty() {
        return Err(TlsFileError::NoCertificate { path: path.into() });
    }
    let key = PrivateKeyDer::from_pem_file(key_path).map_err(|cause| {
        let path = key_path.into();
        match is_encrypted(key_path) {
            true => TlsFileError::EncryptedKey { path },
            false => TlsFileError::Key { path, cause },
        }
    })?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    config.map_err(|cause| TlsFileError::Pair {
        certificate: path.into(),
        key: key_path.into(),
        cause,
    })
}

/// Returns true if a file contains a key that needs a password.
fn is_encrypted(path: &Path) -> bool {
    // The word occurs in the line `BEGIN ENCRYPTED PRIVATE KEY` and in the header `Proc-Type:
    // 4,ENCRYPTED`.
    std::fs::read_to_string(path).is_ok_and(|text| text.contains("ENCRYPTED"))
}

/// The error returned by [`tls_config`]. The text names the file.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum TlsFileError {
    /// The certificate cannot be read.
    #[error("cannot read the certificate {}: {cause}", path.display())]
    Certificate {
        /// The file's path.
        path: PathBuf,
        /// The error that occurred when the file was read or parsed.
        #[source]
        cause: pem::Error,
    },
    /// The file contains no certificate.
    #[error("there is no certificate in {}; it must be PEM", path.display())]
    NoCertificate {
        /// The file's path.
        path: PathBuf,
    },
    /// The key cannot be read.
    #[error("cannot read the key {}: {cause}", path.display())]
    Key {
        /// The file's path.
        path: PathBuf,
        /// The error that occurred when the file was read or parsed.
        #[source]
        cause: pem::Error,
    },
    /// The key is encrypted with a password.
    #[error(
        "the key {} is encrypted: decrypt it with `openssl pkey -in {} -out FILE`, and protect that \
         file with its permissions",
        path.display(),
        path.display()
    )]
    EncryptedKey {
        /// The file's path.
        path: PathBuf,
    },
    /// The certificate and key do not match, or are of an unsupported kind.
    #[error(
        "the certificate {} and the key {} cannot be used: {cause}",
        certificate.display(),
        key.display()
    )]
    Pair {
        /// The certificate file's path.
        certificate: PathBuf,
        /// The key file's path.
        key: PathBuf,
        /// The reason why rustls rejects them.
        #[source]
        cause: rustls::Error,
    },
}

roomer_proto::debug_as_display!(TlsFileError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_of_main_names_file() {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        for (certificate, text) in
            [("missing.pem", "certificate missing.pem: "), (manifest, "no certificate in ")]
        {
            let error = tls_config(certificate, "key.pem").unwrap_err();
            let debug = format!("{error:?}");
            assert!(debug.contains(text) && debug.contains(certificate), "{debug}");
        }
    }

    #[test]
    fn encrypted_key_error_names_remedy() {
        let path =
            |name| std::env::temp_dir().join(format!("roomer-{}-{name}", std::process::id()));
        let (certificate, key) = (path("certificate.pem"), path("key.pem"));
        for (path, kind) in [(&certificate, "CERTIFICATE"), (&key, "ENCRYPTED PRIVATE KEY")] {
            let text = format!("-----BEGIN {kind}-----\nMIIF\n-----END {kind}-----\n");
            std::fs::write(path, text).unwrap();
        }
        let error = tls_config(&certificate, &key).unwrap_err().to_string();
        assert!(error.contains("is encrypted: decrypt it with `openssl pkey"), "{error}");
        for path in [certificate, key] {
            std::fs::remove_file(path).unwrap();
        }
    }
}

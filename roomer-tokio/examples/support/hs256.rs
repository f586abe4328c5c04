//! HS256 for `jsonwebtoken`, with ring, which TLS needs anyway.
//!
//! In your own program, omit this file, and enable the feature `aws_lc_rs` or `rust_crypto` of the
//! crate.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};
use ring::hmac::{self, HMAC_SHA256};
use signature::{Error, Signer, Verifier};

/// Registers this module with `jsonwebtoken`. Further calls have no effect.
pub fn install() {
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: signer,
        verifier_factory: verifier,
        key_utils: KeyUtils::new_unimplemented(),
    };
    let _ = PROVIDER.install_default();
}

struct Hs256(hmac::Key);

/// Returns a key for HS256. Returns an error for any other algorithm.
fn key(algorithm: Algorithm, family: AlgorithmFamily, secret: &[u8]) -> Result<Box<Hs256>> {
    if (algorithm, family) != (Algorithm::HS256, AlgorithmFamily::Hmac) {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    Ok(Box::new(Hs256(hmac::Key::new(HMAC_SHA256, secret))))
}

fn signer(algorithm: &Algorithm, secret: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    Ok(key(*algorithm, secret.family(), secret.as_bytes())?)
}

fn verifier(algorithm: &Algorithm, secret: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    Ok(key(*algorithm, secret.family(), secret.try_get_as_bytes()?)?)
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> core::result::Result<Vec<u8>, Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], tag: &Vec<u8>) -> core::result::Result<(), Error> {
        hmac::verify(&self.0, message, tag).map_err(|_| Error::new())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

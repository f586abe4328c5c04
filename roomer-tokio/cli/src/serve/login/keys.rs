//! Keys that verify tokens, from PEM files and from sets of JSON Web Keys.

use std::path::Path;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;

/// The minimum length of a secret, in bytes. If it were shorter than the hash, it would be easier
/// to guess than the hash.
const MIN_SECRET: usize = 32;

/// A key and the only algorithm for which it is valid. A token cannot select another one, for
/// example to have a public key used as a secret.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// Reads a secret for HS256 from a file. White space around it is ignored.
pub(super) fn secret(path: &Path) -> Result<Key, String> {
    let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let secret = text.trim_ascii();
    if secret.len() < MIN_SECRET {
        return Err(format!(
            "{} has {} bytes: HS256 needs {MIN_SECRET} or more, for example from `openssl rand -hex 32`",
            path.display(),
            secret.len()
        ));
    }
    Ok(Key { id: None, algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret) })
}

/// Reads a public key from a PEM file, in the format that `openssl pkey -pubout` writes.
pub(super) fn public(path: &Path) -> Result<Key, String> {
    let info = SubjectPublicKeyInfoDer::from_pem_file(path).map_err(|_| {
        format!(
            "{} contains no public key in PEM, as `openssl pkey -pubout` writes it",
            path.display()
        )
    })?;
    let (algorithm, key) = parse(&info).ok_or_else(|| {
        format!(
            "{}: the key is none of RSA (RS256), P-256 (ES256), Ed25519 (EdDSA)",
            path.display()
        )
    })?;
    Ok(Key { id: None, algorithm, key })
}

/// Identifiers of algorithms, encoded in DER.
const RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
const P256: &[u8] =
    b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const ED25519: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70";

/// Extracts the key from a `SubjectPublicKeyInfo`: a sequence of the algorithm and a bit string.
fn parse(info: &[u8]) -> Option<(Algorithm, DecodingKey)> {
    let content = element(0x30, info)?;
    // The first byte of a bit string is the number of unused bits at its end, which must be 0.
    let bits = |algorithm| element(0x03, content.strip_prefix(algorithm)?)?.strip_prefix(&[0]);
    if let Some(key) = bits(RSA) {
        return Some((Algorithm::RS256, DecodingKey::from_rsa_der(key)));
    }
    if let Some(key) = bits(P256) {
        return Some((Algorithm::ES256, DecodingKey::from_ec_der(key)));
    }
    Some((Algorithm::EdDSA, DecodingKey::from_ed_der(bits(ED25519)?)))
}

/// Returns the content of a DER element, which must fill all of `bytes`.
fn element(tag: u8, bytes: &[u8]) -> Option<&[u8]> {
    let (&first, rest) = bytes.strip_prefix(&[tag])?.split_first()?;
    let (length, content) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => {
            let (length, content) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), content)
        }
        _ => return None,
    };
    // Reject bytes that follow the element.
    (content.len() == length).then_some(content)
}

/// Returns the keys in a set that are for a supported kind of signature. All others are omitted,
/// and so are secrets, which must not be in a published set.
pub(super) fn set(json: &[u8]) -> Result<Vec<Key>, String> {
    // Parse the keys one by one, so that a key of an unknown kind does not invalidate the others.
    #[derive(serde::Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set = serde_json::from_slice(json)
        .map_err(|error| format!("is not a set of JSON Web Keys, {{\"keys\": […]}}: {error}"))?;
    let known = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
    let keys: Vec<Key> =
        JwkSet { keys: known.collect() }.keys.iter().filter_map(from_jwk).collect();
    match keys.is_empty() {
        true => Err("contains no key for RS256, ES256 or EdDSA".into()),
        false => Ok(keys),
    }
}

fn from_jwk(jwk: &Jwk) -> Option<Key> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            Algorithm::EdDSA
        }
        _ => return None,
    };
    // The set may restrict a key to one algorithm (RFC 7517 section 4.4).
    let named = jwk.common.key_algorithm.as_ref().map(ToString::to_string);
    // A key for encryption must not be used to verify tokens (section 4.2).
    let is_for_signatures = !matches!(
        jwk.common.public_key_use,
        Some(PublicKeyUse::Encryption | PublicKeyUse::Other(_))
    );
    let is_for_it = named.is_none_or(|name| name == format!("{algorithm:?}"));
    if !is_for_signatures || !is_for_it {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    Some(Key { id: jwk.common.key_id.clone(), algorithm, key })
}

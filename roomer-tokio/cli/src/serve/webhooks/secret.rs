//! The request signature: HMAC-SHA256 over the time and the body.

use std::path::Path;
use std::sync::{PoisonError, RwLock};

use data_encoding::HEXLOWER;
use ring::hmac;

/// The minimum length of the secret in bytes, equal to the hash's.
const MIN_SECRET: usize = 32;

/// The secret shared with a webhook.
pub(super) struct Secret(RwLock<hmac::Key>);

impl Secret {
    pub(super) fn read(path: &Path) -> Result<Secret, String> {
        Ok(Secret(RwLock::new(read(path)?)))
    }

    /// Replaces the secret.
    pub(super) fn adopt(&self, new: &Secret) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = new.key();
    }

    fn key(&self) -> hmac::Key {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the signature of a body at a Unix time. The time prevents a recorded request from being
    /// replayed later.
    pub(super) fn sign(&self, second: u64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.key());
        // The dot separates the time from a body that begins with a digit.
        context.update(format!("{second}.").as_bytes());
        context.update(body);
        format!("v1={}", HEXLOWER.encode(context.sign().as_ref()))
    }
}

fn read(path: &Path) -> Result<hmac::Key, String> {
    let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let secret = text.trim_ascii();
    match secret.len() < MIN_SECRET {
        true => Err(format!(
            "{} has {} bytes: write {MIN_SECRET} or more, as from `openssl rand -hex 32`",
            path.display(),
            secret.len()
        )),
        false => Ok(hmac::Key::new(hmac::HMAC_SHA256, secret)),
    }
}

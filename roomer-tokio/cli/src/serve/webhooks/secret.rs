//! The signature of a request: HMAC-SHA256 over the time and the body.

use std::path::Path;

use data_encoding::HEXLOWER;
use ring::hmac;

use crate::serve::replaceable::{Replaceable, Replacement};

/// The minimum length of the secret, in bytes: that of the hash.
const MIN_SECRET: usize = 32;

/// The secret that the server shares with the webhooks' services.
pub(super) struct Secret(Replaceable<hmac::Key>);

impl Secret {
    pub(super) fn read(path: &Path) -> Result<Secret, String> {
        Ok(Secret(Replaceable::new(read(path)?)))
    }

    /// Prepares to replace the secret with another one.
    pub(super) fn adopt(&self, new: &Secret) -> Replacement<'_> {
        self.0.prepare(new.key())
    }

    fn key(&self) -> hmac::Key {
        self.0.read().clone()
    }

    /// Returns the signature of a body, at a Unix time. Since it includes the time, a recorded
    /// request cannot be sent again later.
    pub(super) fn sign(&self, second: u64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.key());
        // The dot separates the time from the body, which may begin with a digit.
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
            "{} has {} bytes: write {MIN_SECRET} or more, for example from `openssl rand -hex 32`",
            path.display(),
            secret.len()
        )),
        false => Ok(hmac::Key::new(hmac::HMAC_SHA256, secret)),
    }
}

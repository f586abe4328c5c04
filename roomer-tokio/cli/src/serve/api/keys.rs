//! The keys for the API, and their rights.

use std::sync::Arc;

use axum::http::{HeaderMap, header};
use data_encoding::HEXLOWER_PERMISSIVE;
use ring::rand::SystemRandom;
use ring::{digest, hmac};

use super::error::Error;
use crate::serve::config::Config;
use crate::serve::config::rooms::{ApiKey, ApiRight};
use crate::serve::config::values::Problem;
use crate::serve::rights::Pattern;

/// The minimum length of a key that is read from a file, in characters.
const MIN_KEY: usize = 20;

/// All keys for the API. They are compared by their MACs under a secret of this process, so that
/// the time of a comparison reveals nothing about a key.
pub(super) struct Keys {
    secret: hmac::Key,
    keys: Vec<(hmac::Tag, Arc<Key>)>,
}

/// Without keys, every request is rejected.
impl Default for Keys {
    fn default() -> Self {
        Keys { secret: hmac::Key::new(hmac::HMAC_SHA256, &[]), keys: Vec::new() }
    }
}

/// A key's name and rights.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: String,
    rights: Vec<ApiRight>,
    /// The patterns of the rooms for which the key is valid; `None` if it is valid for all.
    rooms: Option<Vec<Pattern>>,
}

impl Keys {
    pub(super) fn read(config: &Config) -> Result<Keys, Problem> {
        let problem = |key: &str, text: String| config.problem(key, text);
        // If the system had no source of random numbers, TLS would not work either.
        let secret = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let secret = secret
            .map_err(|_| problem("api_key", "the system provides no random numbers".into()))?;
        let mut keys: Vec<(hmac::Tag, Arc<Key>)> = Vec::new();
        for placed in &config.lists.api_keys {
            let ApiKey { name, rights, rooms, .. } = &placed.value;
            let fail =
                |text: String| Problem { place: placed.place.clone(), key: "api_key".into(), text };
            let hash = hash(&placed.value).map_err(fail)?;
            // The names must differ, since answers to idempotent requests are stored under them.
            if keys.iter().any(|(_, key)| key.name == *name) {
                return Err(fail(format!("the name {name:?} is used twice; choose another")));
            }
            let patterns = |rooms: &Vec<String>| rooms.iter().map(|it| Pattern::new(it)).collect();
            let rooms = rooms.as_ref().map(patterns);
            let key = Key { name: name.clone(), rights: rights.clone(), rooms };
            keys.push((hmac::sign(&secret, &hash), Arc::new(key)));
        }
        match config.lists.api_keys.first() {
            Some(placed) if config.options.operator_listen.is_none() => Err(Problem {
                place: placed.place.clone(),
                key: "api_key".into(),
                text: "is for the API, which is on the operators' listener: write operator.listen as well, \
                       for example 127.0.0.1:9090"
                    .into(),
            }),
            _ => Ok(Keys { secret, keys }),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the key that a request's headers contain.
    pub(super) fn find(&self, headers: &HeaderMap) -> Option<Arc<Key>> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, given) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let given = digest::digest(&digest::SHA256, given.trim().as_bytes());
        // Compare with all keys, even after a match, so that the time does not depend on the
        // position of the key.
        let is_it =
            |tag: &hmac::Tag| hmac::verify(&self.secret, given.as_ref(), tag.as_ref()).is_ok();
        let found = self.keys.iter().filter(|(tag, _)| is_it(tag));
        found.fold(None, |_, (_, key)| Some(key.clone()))
    }
}

/// Returns the SHA-256 of a key.
fn hash(key: &ApiKey) -> Result<Vec<u8>, String> {
    match (&key.file, &key.sha256) {
        (Some(path), None) => {
            let text =
                std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let text = text.trim_ascii();
            match text.len() < MIN_KEY {
                true => Err(format!(
                    "{} has {} characters: write a key of {MIN_KEY} or more, for example from \
                     `openssl rand -hex 32`",
                    path.display(),
                    text.len()
                )),
                false => Ok(digest::digest(&digest::SHA256, text).as_ref().to_vec()),
            }
        }
        (None, Some(hash)) => match HEXLOWER_PERMISSIVE.decode(hash.as_bytes()) {
            Ok(hash) if hash.len() == digest::SHA256_OUTPUT_LEN => Ok(hash),
            _ => {
                Err("sha256 is 64 hexadecimal digits, for example from `printf %s KEY | sha256sum`"
                    .into())
            }
        },
        _ => Err("write either file, a file with the key, or sha256, the hash of the key".into()),
    }
}

impl Key {
    /// Returns an error unless the key has this right, whichever rooms it is valid for.
    pub(super) fn require(&self, right: ApiRight) -> Result<(), Error> {
        match self.rights.contains(&right) {
            true => Ok(()),
            false => Err(Error::forbidden(format!("the key lacks the right {:?}", right.name()))),
        }
    }

    /// Returns an error unless the key has this right for this room.
    pub(super) fn require_in(&self, right: ApiRight, room: &str) -> Result<(), Error> {
        self.require(right)?;
        match self.permits_room(room) {
            true => Ok(()),
            false => Err(Error::forbidden(format!("the key is not for the room {room:?}"))),
        }
    }

    /// Returns an error unless the key has this right for all rooms.
    pub(super) fn require_everywhere(&self, right: ApiRight) -> Result<(), Error> {
        self.require(right)?;
        match self.rooms {
            None => Ok(()),
            Some(_) => Err(Error::forbidden("the key is for some rooms only")),
        }
    }

    pub(super) fn permits_room(&self, room: &str) -> bool {
        let is_match = |rooms: &Vec<Pattern>| rooms.iter().any(|pattern| pattern.matches(room));
        self.rooms.as_ref().is_none_or(is_match)
    }
}

//! Logins with JSON Web Tokens: the keys, and the conversion of claims to users, info and rights.
//!
//! | file | contents |
//! |---|---|
//! | `claims` | the conversion of a login to claims |
//! | `keys` | the reader of keys in files and in sets |
//! | `crypto` | the verification of signatures with ring |
//! | `jwks` | the fetching of a set of keys from a URL |

pub(crate) mod claims;
mod crypto;
mod jwks;
mod keys;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, Validation, decode, decode_header, get_current_timestamp};
use roomer_tokio::http::StatusCode;
use roomer_tokio::{AuthResult, Builder, Claims, Rejection};
use serde_json::{Map, Value};

use self::claims::{LoginFields, Reader, until};
pub(crate) use self::jwks::Refresher;
use self::keys::Key;
use crate::serve::config::Config;
use crate::serve::config::options::Options;
use crate::serve::config::values::Problem;
use crate::serve::replaceable::{Replaceable, Replacement};
use crate::serve::rights::Rules;

/// The maximum length of a token, in bytes. A longer token is not parsed.
const MAX_TOKEN: usize = 8 << 10;

/// Checks the tokens that clients present.
pub(crate) struct Login {
    /// The keys from the configured files.
    own: Replaceable<Arc<[Key]>>,
    /// The keys from the configured URL. `None` until they have been fetched for the first time.
    fetched: RwLock<Option<Arc<[Key]>>>,
    /// Fetches the keys from the URL, if one is configured.
    refresher: Option<Refresher>,
    issuer: Option<String>,
    audience: Option<String>,
    leeway: Duration,
    user_claim: String,
    info_claim: String,
    rooms_claim: String,
    is_anonymous: bool,
    reader: Reader,
}

/// Returns true if clients log in with tokens in this configuration.
pub(crate) fn is_configured(options: &Options) -> bool {
    options.jwt_secret.is_some() || !options.jwt_keys.is_empty() || options.jwt_jwks.is_some()
}

impl Login {
    /// Reads the keys from files. [`Login::refresh`] fetches the keys from a URL.
    pub(crate) fn new(config: &Config, rules: Rules) -> Result<Login, Problem> {
        crypto::install();
        let options = &config.options;
        let refresher = match &options.jwt_jwks {
            Some(place) if place.contains("://") => {
                let refresher = Refresher::new(place, options.jwt_refresh);
                Some(refresher.map_err(|text| config.problem("jwt.jwks", text))?)
            }
            _ => None,
        };
        Ok(Login {
            own: Replaceable::new(read_files(config)?.into()),
            fetched: RwLock::new(None),
            refresher,
            issuer: options.jwt_issuer.clone(),
            audience: options.jwt_audience.clone(),
            leeway: options.jwt_leeway,
            user_claim: options.jwt_user_claim.clone(),
            info_claim: options.jwt_info_claim.clone(),
            rooms_claim: options.jwt_rooms_claim.clone(),
            is_anonymous: options.anonymous == Some(true),
            reader: Reader::new(config, rules),
        })
    }

    /// Returns true if [`adopt`](Self::adopt) can apply a configuration: it must have a login, and
    /// fetch keys from the same URL as this login or, like this login, from none.
    pub(crate) fn can_become(&self, config: &Config) -> bool {
        let jwks = config.options.jwt_jwks.as_deref();
        let address = jwks.filter(|place| place.contains("://"));
        let is_same = match (address, &self.refresher) {
            (Some(address), Some(refresher)) => refresher.is_at(address),
            (address, refresher) => address.is_none() && refresher.is_none(),
        };
        is_same && is_configured(&config.options)
    }

    /// Prepares to replace the keys from files with those of another login.
    pub(crate) fn adopt(&self, new: &Login) -> Replacement<'_> {
        self.own.prepare(new.own())
    }

    fn own(&self) -> Arc<[Key]> {
        self.own.read().clone()
    }

    /// Configures a server to check the tokens of clients that connect or renew their logins. If
    /// the configuration permits it, clients without a token are accepted too.
    pub(crate) fn add(self: &Arc<Self>, builder: Builder) -> Builder {
        let (login, renewing) = (self.clone(), self.clone());
        let renew = async move |token: &str| renewing.check_again(token).await;
        let renew = Arc::new(renew);
        builder
            .authorize_async(move |request| {
                let login = login.clone();
                async move {
                    match request.token() {
                        Some(token) => login.check_again(&token).await,
                        None if login.is_anonymous => Ok(login.reader.empty()),
                        None => Err(Rejection::unauthorized("a token is required")),
                    }
                }
            })
            .renew_login_async(move |_, token| {
                let renew = renew.clone();
                async move { renew(&token).await }
            })
    }

    /// Fetches the keys from the URL periodically. It does so as long as the future is polled.
    pub(crate) async fn refresh(&self) {
        let Some(refresher) = &self.refresher else { return };
        let put = |keys: Vec<Key>| {
            *self.fetched.write().unwrap_or_else(PoisonError::into_inner) = Some(keys.into());
        };
        refresher.run(put).await;
    }

    /// Checks a token. If the token's key is unknown, fetches the keys, and checks the token again.
    async fn check_again(&self, token: &str) -> AuthResult {
        match (self.check(token), &self.refresher) {
            (Err(TokenError::UnknownKey), Some(refresher)) => {
                let is_current = refresher.read_again().await;
                match self.check(token) {
                    Err(TokenError::UnknownKey) if !is_current => Err(TokenError::NoKeys),
                    checked => checked,
                }
                .map_err(TokenError::into_rejection)
            }
            (checked, _) => checked.map_err(TokenError::into_rejection),
        }
    }

    fn check(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::Invalid("the token is too long"));
        }
        let header = decode_header(token).map_err(|error| TokenError::of(&error))?;
        if has_critical(token) {
            return Err(TokenError::Invalid(
                "the token has extensions that the server does not know (crit)",
            ));
        }
        // Clone the lists, so that no lock is held while signatures are verified.
        let fetched = self.fetched.read().unwrap_or_else(PoisonError::into_inner).clone();
        let own = self.own();
        if self.refresher.is_some() && fetched.is_none() && own.is_empty() {
            return Err(TokenError::NoKeys);
        }
        let keys = own.iter().chain(fetched.iter().flat_map(|keys| keys.iter()));
        let is_candidate = |key: &&Key| {
            // A key from a file has no id, and is tried for every token.
            let is_named = |id: &String| header.kid.as_ref().is_none_or(|kid| kid == id);
            key.algorithm == header.alg && key.id.as_ref().is_none_or(is_named)
        };
        let mut last_error = TokenError::UnknownKey;
        let mut has_named = false;
        for key in keys.filter(is_candidate) {
            has_named |= key.id.is_some();
            match decode::<Map<String, Value>>(token, &key.key, &self.validation(header.alg)) {
                Ok(token) => return self.read(&token.claims),
                // The token may be signed with another key, so try the next one.
                Err(error) if *error.kind() == ErrorKind::InvalidSignature => {
                    // If the token names another key than those without an id, the URL may have it. If
                    // the token names none, its key may be among those not yet fetched.
                    let is_elsewhere = header.kid.is_some() || fetched.is_none();
                    if has_named || !is_elsewhere || self.refresher.is_none() {
                        last_error = TokenError::Invalid("the signature of the token is wrong");
                    }
                }
                // The signature is valid, so no other key can change the result.
                Err(error) => return Err(TokenError::of(&error)),
            }
        }
        Err(last_error)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        // A token that does not expire could never be revoked, so require `exp`.
        let mut required = vec!["exp"];
        validation.leeway = self.leeway.as_secs();
        // By default, `nbf` is not checked.
        validation.validate_nbf = true;
        // By default, `aud` is checked, and every token that has an audience would be rejected.
        validation.validate_aud = self.audience.is_some();
        if let Some(audience) = &self.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        validation
    }

    fn read(&self, token: &Map<String, Value>) -> Result<Claims, TokenError> {
        // The claim is present, since `decode` requires it.
        let expires = token.get("exp").and_then(Value::as_f64).unwrap_or_default();
        // As in `decode`, the login ends when the leeway after `exp` has passed.
        let now = get_current_timestamp() as f64 - self.leeway.as_secs_f64();
        let fields = LoginFields {
            user: token.get(&self.user_claim),
            info: token.get(&self.info_claim),
            rooms: token.get(&self.rooms_claim),
            rest: Some(until(expires, now).map_err(TokenError::Invalid)?),
        };
        self.reader.read(&fields).map_err(TokenError::Invalid)
    }
}

/// Returns true if a token's header names extensions that a verifier must support (RFC 7515 section
/// 4.1.11). This server supports none.
fn has_critical(token: &str) -> bool {
    let header = token.split('.').next().unwrap_or_default();
    let header = BASE64URL_NOPAD.decode(header.as_bytes()).unwrap_or_default();
    let header: Map<String, Value> = serde_json::from_slice(&header).unwrap_or_default();
    header.contains_key("crit")
}

/// Reads the keys from all files.
fn read_files(config: &Config) -> Result<Vec<Key>, Problem> {
    let options = &config.options;
    let mut own = Vec::new();
    if let Some(path) = &options.jwt_secret {
        own.push(keys::secret(path).map_err(|text| config.problem("jwt.secret", text))?);
    }
    for path in &options.jwt_keys {
        own.push(keys::public(path).map_err(|text| config.problem("jwt.keys", text))?);
    }
    if let Some(path) = options.jwt_jwks.as_ref().filter(|place| !place.contains("://")) {
        let set = std::fs::read(path).map_err(|error| format!("{path}: {error}"));
        let set = set.and_then(|set| keys::set(&set).map_err(|text| format!("{path} {text}")));
        own.extend(set.map_err(|text| config.problem("jwt.jwks", text))?);
    }
    Ok(own)
}

/// The reason why a token is rejected. The text is sent to the client, so it contains no part
/// of the token.
enum TokenError {
    Invalid(&'static str),
    Expired,
    UnknownKey,
    NoKeys,
}

impl TokenError {
    fn of(error: &Error) -> TokenError {
        match error.kind() {
            ErrorKind::ExpiredSignature => TokenError::Expired,
            ErrorKind::ImmatureSignature => TokenError::Invalid("the token is not valid yet"),
            ErrorKind::InvalidIssuer => TokenError::Invalid("the token is from another issuer"),
            ErrorKind::InvalidAudience => TokenError::Invalid("the token is for another audience"),
            ErrorKind::MissingRequiredClaim(name) if name == "exp" => {
                TokenError::Invalid("the token has no time at which it expires")
            }
            ErrorKind::MissingRequiredClaim(_) => {
                TokenError::Invalid("the token lacks its issuer or its audience")
            }
            ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => {
                TokenError::Invalid("the algorithm of the token is not accepted")
            }
            _ => TokenError::Invalid("the token is not a JSON Web Token"),
        }
    }

    fn into_rejection(self) -> Rejection {
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        match self {
            TokenError::Invalid(text) => Rejection::unauthorized(text),
            TokenError::Expired => Rejection::unauthorized("the token has expired"),
            TokenError::UnknownKey => Rejection::unauthorized("the key of the token is unknown"),
            // Do not respond with 401: the token may be valid, but clients treat this status as
            // final.
            TokenError::NoKeys => {
                Rejection::new(unavailable, "the key of the token cannot be read now")
            }
        }
    }
}

//! Converts the login in a token or in a webhook's answer to claims.
//!
//! They consist of the user, info, rooms and validity.

use std::time::Duration;

use roomer_tokio::{Claims, Info};
use serde_json::Value;

use crate::serve::config::Config;
use crate::serve::rights::{Grants, Rules};

/// The maximum length of a user's name, in bytes.
const MAX_USER: usize = 256;

/// A login must expire before this Unix time, which is far after the year 9999, whose end some
/// issuers use for "never". A later time is in milliseconds by mistake: in milliseconds, this value
/// is in the year 2001.
const FAR_FUTURE: f64 = 1e12;

/// Converts logins to claims.
pub(crate) struct Reader {
    max_info: usize,
    rules: Rules,
}

/// The fields of a login. If the value of a field is `null`, the field counts as absent.
#[derive(Default)]
pub(crate) struct LoginFields<'a> {
    pub(crate) user: Option<&'a Value>,
    pub(crate) info: Option<&'a Value>,
    pub(crate) rooms: Option<&'a Value>,
    /// The time for which the login is still valid.
    pub(crate) rest: Option<Duration>,
}

impl Reader {
    pub(crate) fn new(config: &Config, rules: Rules) -> Reader {
        Reader { max_info: config.options.max_info.0, rules }
    }

    /// Returns the claims that every client has: the state of its rate limits.
    pub(crate) fn empty(&self) -> Claims {
        match self.rules.buckets() {
            Some(buckets) => Claims::new().with(buckets),
            None => Claims::new(),
        }
    }

    /// Converts all fields of a login. An error does not contain their values.
    pub(crate) fn read(&self, fields: &LoginFields<'_>) -> Result<Claims, &'static str> {
        let mut claims = self.empty();
        if let Some(rest) = fields.rest {
            claims = claims.valid_for(rest);
        }
        match fields.user {
            Some(Value::String(user)) if !user.is_empty() && user.len() <= MAX_USER => {
                claims = claims.user(user);
            }
            // Many services identify their users by numbers.
            Some(Value::Number(user)) => claims = claims.user(user.to_string()),
            None | Some(Value::Null) => {}
            // Without a user, the client would not be subject to the limits per user, so reject the
            // login.
            Some(_) => return Err("the user of the login is not a short text"),
        }
        match fields.info {
            None | Some(Value::Null) => {}
            Some(info) => match Info::new(&info.to_string()) {
                Ok(info) if info.as_str().len() <= self.max_info => claims = claims.info(info),
                _ => return Err("the info of the login is too long or too deep"),
            },
        }
        if let Some(rooms) = fields.rooms.filter(|rooms| !rooms.is_null()) {
            let grants = Grants::read(rooms).ok_or(
                "the rooms of the login are neither a list nor an object with lists of rights",
            )?;
            claims = claims.with(grants);
        }
        Ok(claims)
    }
}

/// Returns the time from `now` until a Unix time in seconds, which may have a fraction.
pub(crate) fn until(second: f64, now: f64) -> Result<Duration, &'static str> {
    match second < FAR_FUTURE {
        true => {
            Duration::try_from_secs_f64((second - now).max(0.0)).map_err(|_| "exp is not a time")
        }
        // Such a login would never expire.
        false => Err("exp is not in seconds since 1970: divide milliseconds by 1000"),
    }
}

//! Options that take effect only together with others.
//!
//! A protection that is configured but cannot work is rejected: otherwise a server would be less
//! protected than its configuration suggests.

use crate::serve::config::Config;
use crate::serve::config::options::{Options, TABLE};
use crate::serve::config::rooms::ApiRight;
use crate::serve::config::setting::Raw;
use crate::serve::config::values::{Place, Problem};
use crate::serve::login;

/// Reports the first option that would have no effect.
pub(crate) fn check(config: &Config) -> Result<(), Problem> {
    let options = &config.options;
    if !has_login(options) && options.anonymous != Some(true) {
        check_empty(config)?;
    }
    for entry in TABLE {
        if let Some(text) = missing(entry.key, options)
            && config.values.is_changed(entry)
        {
            return Err(config.problem(entry.key, text));
        }
    }
    check_history(config)
}

fn has_login(options: &Options) -> bool {
    login::is_configured(options) || options.webhooks_authorize.is_some()
}

fn is_extended(options: &Options) -> bool {
    // `compat` disables the extended protocol.
    options.extended && !options.compat
}

/// Reports a login whose value is empty, for example because a variable was never filled in.
fn check_empty(config: &Config) -> Result<(), Problem> {
    let is_empty = |key: &&&str| match config.values.raw(key) {
        Some((Raw::Text(text), place)) => text.is_empty() && *place != Place::Default,
        _ => false,
    };
    let keys = ["jwt.secret", "jwt.keys", "jwt.jwks", "webhooks.authorize"];
    match keys.iter().find(is_empty) {
        Some(key) => Err(config.problem(
            key,
            "is empty, so all clients could connect: write a value, or anonymous = true if they may",
        )),
        None => Ok(()),
    }
}

/// Returns what an option lacks in order to take effect.
fn missing(key: &str, options: &Options) -> Option<&'static str> {
    let hears = options.webhooks_may_join.is_some() || options.webhooks_events.is_some();
    let (has_effect, text) = match key {
        _ if key.starts_with("jwt.") => (
            login::is_configured(options),
            "checks no token without a key: write jwt.secret, jwt.keys or jwt.jwks as well",
        ),
        "limits.max_connections_per_user" => (
            has_login(options),
            "no client has a user without a login: write the keys of tokens in [jwt], or \
             webhooks.authorize",
        ),
        "webhooks.headers" => (
            options.webhooks_authorize.is_some(),
            "goes only to webhooks.authorize: write that as well",
        ),
        "webhooks.rooms" => {
            (hears, "selects for webhooks.may_join and webhooks.events: write one of them as well")
        }
        "webhooks.kinds" | "webhooks.message_events" => {
            (options.webhooks_events.is_some(), "selects for webhooks.events: write that as well")
        }
        "cluster.name" | "cluster.node" => (
            options.cluster_url.is_some(),
            "this server is in no cluster: write the broker in cluster.url as well",
        ),
        "client_info" | "limits.resume_buffer" => (
            is_extended(options),
            "is of the extended protocol, which `extended` or `compat` disables: remove one of the two",
        ),
        _ => return None,
    };
    (!has_effect).then_some(text)
}

/// Reports a history that neither clients nor API users can read.
fn check_history(config: &Config) -> Result<(), Problem> {
    let has_reader =
        config.lists.api_keys.iter().any(|key| key.value.rights.contains(&ApiRight::Read));
    if is_extended(&config.options) || has_reader {
        return Ok(());
    }
    match config.lists.rooms.iter().find(|room| room.value.history.is_some_and(|most| most > 0)) {
        Some(room) => Err(Problem {
            place: room.place.clone(),
            key: "room".into(),
            text: "no client could get the history, which is of the extended protocol: remove history, \
                   or what disables that protocol, `extended` or `compat`"
                .into(),
        }),
        None => Ok(()),
    }
}

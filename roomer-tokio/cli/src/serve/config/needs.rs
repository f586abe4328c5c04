//! Rejects options that have no effect unless other options are set.
//!
//! A protection that is configured but cannot work is rejected: otherwise the server would be less
//! protected than its configuration says.

use roomer_proto::ROOT;

use crate::serve::config::Config;
use crate::serve::config::file::Placed;
use crate::serve::config::options::{EventKind, Options, TABLE};
use crate::serve::config::rooms::{ApiRight, Room};
use crate::serve::config::setting::Raw;
use crate::serve::config::values::{Place, Problem};
use crate::serve::login;
use crate::serve::rights::Pattern;

/// The problem with an option that concerns info, if no client can receive info.
const HIDDEN_INFO: &str = "info is shown only by the extended protocol, which `extended` or `compat` disables, and \
                           to an [[api_key]] with the right \"read\": remove one of them, or write a key";

/// Reports the first option that would have no effect.
pub(crate) fn check(config: &Config) -> Result<(), Problem> {
    let options = &config.options;
    if !has_login(options) && options.anonymous != Some(true) {
        check_empty(config)?;
    }
    check_origins(config)?;
    check_listeners(config)?;
    check_rights(config)?;
    check_root(&config.lists.rooms)?;
    for entry in TABLE {
        if let Some(text) = missing(entry.key, config)
            && config.values.is_changed(entry)
        {
            return Err(config.problem(entry.key, text));
        }
    }
    check_order(&config.lists.rooms)?;
    check_history(config)
}

fn has_login(options: &Options) -> bool {
    login::is_configured(options) || options.webhooks_authorize.is_some()
}

fn is_extended(options: &Options) -> bool {
    // `compat` disables the extended protocol, even if `extended` is set.
    options.extended && !options.compat
}

/// Reports a login whose value is empty, for example because a variable was not set.
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

/// Reports origins that have no effect, since all others may connect too.
fn check_origins(config: &Config) -> Result<(), Problem> {
    let origins = &config.options.origins;
    match origins.len() > 1 && origins.iter().any(|origin| origin == "any") {
        true => Err(config.problem(
            "origins",
            "with \"any\", pages from all origins may connect, and not only from the others named: write \
             \"any\" alone, or remove it",
        )),
        false => Ok(()),
    }
}

/// Reports two listeners at the same address, the second of which could not be opened.
fn check_listeners(config: &Config) -> Result<(), Problem> {
    let (clients, Some(operators)) = (config.options.listen, config.options.operator_listen) else {
        return Ok(());
    };
    // With port 0, the system chooses two different ports. An unspecified address stands for
    // all of the machine's addresses.
    let is_same_port = clients.port() == operators.port() && clients.port() != 0;
    let is_any = clients.ip().is_unspecified() || operators.ip().is_unspecified();
    let is_same_family = clients.is_ipv4() == operators.is_ipv4();
    match is_same_port && (clients.ip() == operators.ip() || (is_any && is_same_family)) {
        true => {
            Err(config.problem("operator.listen", "is the address in `listen`: write another port"))
        }
        false => Ok(()),
    }
}

/// Reports a key for the API that permits nothing.
fn check_rights(config: &Config) -> Result<(), Problem> {
    for key in &config.lists.api_keys {
        let text = if key.value.rights.is_empty() {
            "rights is empty, so the key permits nothing: write \"publish\", \"read\" or \"manage\", \
             remove rights to grant all three, or remove the key"
        } else if key.value.rooms.as_ref().is_some_and(Vec::is_empty) {
            "rooms is empty, so the key permits no room: write patterns, such as \"news*\", remove rooms to \
             permit all, or remove the key"
        } else {
            continue;
        };
        return Err(Problem { place: key.place.clone(), key: "api_key".into(), text: text.into() });
    }
    Ok(())
}

/// Reports a rule for joins of `root`, which every client is in from the start.
fn check_root(rooms: &[Placed<Room>]) -> Result<(), Problem> {
    let mut of_root = rooms.iter().filter(|room| room.value.pattern == ROOT);
    match of_root.find(|room| room.value.join.is_some() || room.value.join_rate.is_some()) {
        Some(room) => Err(Problem {
            place: room.place.clone(),
            key: "room".into(),
            text: "join and join_rate have no effect in root, which every client is in from the start: remove \
                   them; publish = \"none\" and whisper = \"none\" keep clients from sending there"
                .into(),
        }),
        None => Ok(()),
    }
}

/// Returns what an option needs in order to have an effect, if that is missing.
fn missing(key: &str, config: &Config) -> Option<&'static str> {
    let options = &config.options;
    let has_decision = options.webhooks_authorize.is_some() || options.webhooks_may_join.is_some();
    let has_events = options.webhooks_events.is_some();
    let has_kind = |kinds: &[EventKind]| {
        has_events && kinds.iter().any(|kind| options.webhooks_kinds.contains(kind))
    };
    let is_extended = is_extended(options);
    let shows_infos = is_extended || has_reader(config);
    let (has_effect, text) = match key {
        "jwt.refresh" if login::is_configured(options) => (
            options.jwt_jwks.as_ref().is_some_and(|place| place.contains("://")),
            "only a set of keys at an address is read again: write https:// in jwt.jwks, or remove this",
        ),
        "jwt.info_claim" if login::is_configured(options) => (shows_infos, HIDDEN_INFO),
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
            "applies only to webhooks.authorize: write that as well",
        ),
        "webhooks.plain_http" | "webhooks.timeout" => (
            has_decision || has_events,
            "applies to requests to webhooks: write webhooks.authorize, webhooks.may_join or \
             webhooks.events as well",
        ),
        // Events are sent in one request at a time, so the limit would have no effect.
        "webhooks.concurrency" => (
            has_decision,
            "applies to webhooks.authorize and webhooks.may_join: write one of them as well",
        ),
        "webhooks.rooms" => (
            options.webhooks_may_join.is_some()
                || has_kind(&[EventKind::Joined, EventKind::Left, EventKind::Message]),
            "selects rooms for webhooks.may_join and webhooks.events: write one of them as well, and for \
             events, \"joined\", \"left\" or \"message\" in webhooks.kinds",
        ),
        "webhooks.kinds" if has_events => (
            !options.webhooks_kinds.is_empty(),
            "is empty, so webhooks.events would get nothing: write kinds, or remove webhooks.events",
        ),
        "webhooks.kinds" => (false, "selects events for webhooks.events: write that as well"),
        // Other events have a fixed size, and `webhooks.queue` limits their number.
        "webhooks.message_events" | "webhooks.queue_bytes" => (
            has_kind(&[EventKind::Message]),
            "applies to messages: write \"message\" in webhooks.kinds, and webhooks.events, as well",
        ),
        "webhooks.queue" | "webhooks.batch" | "webhooks.retries" => {
            (has_events, "applies to webhooks.events: write that as well")
        }
        "webhooks.retry_after" => (
            has_events && options.webhooks_retries > 0,
            "applies to repeated requests to webhooks.events: write that as well, and set \
             webhooks.retries to 1 or more",
        ),
        "cluster.name" | "cluster.node" => (
            options.cluster_url.is_some(),
            "this server is not part of a cluster: write the broker in cluster.url as well",
        ),
        "limits.max_history" => (
            remembering(config).is_some(),
            "no room remembers messages: write history = 100 in a [[room]] as well",
        ),
        "limits.max_info" if has_login(options) => (shows_infos, HIDDEN_INFO),
        "limits.max_info" => {
            (options.client_info, "no member has info: write client_info = true or a login as well")
        }
        "rates.infos" => (
            options.client_info,
            "clients may not change their info: write client_info = true as well",
        ),
        "limits.max_detached" | "limits.resume_buffer"
            if is_extended && options.resume_window.is_zero() =>
        {
            (false, "timeouts.resume = 0 keeps no session: remove one of the two")
        }
        "client_info"
        | "limits.max_requests"
        | "limits.max_detached"
        | "limits.resume_buffer"
        | "timeouts.resume"
        | "timeouts.retry" => (
            is_extended,
            "belongs to the extended protocol, which `extended` or `compat` disables: remove one of the two",
        ),
        _ => return None,
    };
    (!has_effect).then_some(text)
}

fn has_reader(config: &Config) -> bool {
    config.lists.api_keys.iter().any(|key| key.value.rights.contains(&ApiRight::Read))
}

/// Returns the first table `[[room]]` that configures a history.
fn remembering(config: &Config) -> Option<&Placed<Room>> {
    config.lists.rooms.iter().find(|room| room.value.history.is_some_and(|most| most > 0))
}

/// Reports a rule that never applies because an earlier table has it for the same rooms.
fn check_order(rooms: &[Placed<Room>]) -> Result<(), Problem> {
    for (index, room) in rooms.iter().enumerate() {
        let pattern = Pattern::new(&room.value.pattern);
        for earlier in &rooms[..index] {
            let hides = Pattern::new(&earlier.value.pattern).covers(&pattern);
            let Some(text) = hides.then(|| hidden(room, earlier)).flatten() else { continue };
            return Err(Problem { place: room.place.clone(), key: "room".into(), text });
        }
    }
    Ok(())
}

/// Returns what is wrong with a table if an earlier one matches all of its rooms.
fn hidden(room: &Placed<Room>, earlier: &Placed<Room>) -> Option<String> {
    let (pattern, other, place) = (&room.value.pattern, &earlier.value.pattern, &earlier.place);
    if pattern == other {
        return Some(format!(
            "{place} has this pattern already: write all rules of {pattern:?} there"
        ));
    }
    let key = room.value.rules().find(|key| earlier.value.rules().any(|other| other == *key))?;
    Some(format!(
        "{key} of {pattern:?} never applies, since {other:?} at {place} comes first and sets it: write \
         this table above that one, or remove {key} here"
    ))
}

/// Reports a history that neither clients nor users of the API can read, and a rule for a history
/// that does not exist.
fn check_history(config: &Config) -> Result<(), Problem> {
    let problem = |room: &Placed<Room>, text: &str| Problem {
        place: room.place.clone(),
        key: "room".into(),
        text: text.into(),
    };
    let is_extended = is_extended(&config.options);
    match remembering(config) {
        Some(room) if !is_extended && !has_reader(config) => Err(problem(
            room,
            "no client could get the history, which needs the extended protocol: remove history, \
             or what disables that protocol, `extended` or `compat`",
        )),
        Some(_) if is_extended => Ok(()),
        // Each rule is taken from the first pattern that sets it, so another table may set the
        // history.
        _ => match config.lists.rooms.iter().find(|room| room.value.history_for.is_some()) {
            Some(room) => Err(problem(
                room,
                "history_for applies to clients that get a history, but none does: write history = 100 \
                 as well, and remove `extended = false` and `compat`, or remove history_for",
            )),
            None => Ok(()),
        },
    }
}

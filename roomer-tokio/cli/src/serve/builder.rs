//! Builds the server and the rules for its rooms from the configuration.

use std::sync::Arc;

use roomer_proto::ROOT;
use roomer_tokio::{BuildError, Builder, Claims, Cluster, History, Presence, Server};

use crate::serve::config::Config;
use crate::serve::config::options::Options;
use crate::serve::config::rooms::{self, Room};
use crate::serve::config::setting::Threshold;
use crate::serve::config::values::Problem;
use crate::serve::login::{self, Login};
use crate::serve::rights::Rules;
use crate::serve::webhooks::Webhooks;

/// More than the number of cores of any machine. A larger number is a mistake, and starting that
/// many threads would take seconds.
const MAX_THREADS: usize = 1024;

pub(crate) fn server(
    config: &Config,
    login: Option<&Arc<Login>>,
    webhooks: &Webhooks,
    rules: &Rules,
) -> Result<Server, Problem> {
    let options = &config.options;
    if options.threads == 0 {
        return Err(config.problem("threads", "at least one thread is needed: write 1 or more"));
    }
    if options.threads > MAX_THREADS {
        let why = format!("more than any machine can use: write at most {MAX_THREADS}");
        return Err(config.problem("threads", why));
    }
    if options.path.contains(char::is_whitespace) {
        // The log prints the path as part of a URL.
        return Err(config.problem("path", "contains a space: write %20 instead"));
    }
    admit_anonymous(config)?;
    let mut builder = limits(Server::builder(), options);
    builder = timeouts(builder, options);
    for origin in &options.origins {
        builder = builder.allow_origin(origin);
    }
    for proxy in &options.trust_proxy {
        if proxy == "unix" {
            let why = "this server does not listen on Unix sockets: write the proxy's address";
            return Err(config.problem("trust_proxy", why));
        }
        builder = builder.trust_proxy(proxy);
    }
    if options.proxy_protocol {
        builder = builder.proxy_protocol();
    }
    if options.shared_room_only {
        builder = builder.shared_room_only();
    }
    if options.client_info {
        builder = builder.may_set_info(|_, _| true);
    }
    // Every client is in `root`, so a wide pattern such as `*` must not show all clients to each other
    // there. The first matching pattern applies, so add this before the others.
    let is_root = |room: &Room| room.pattern == ROOT && room.presence.is_some();
    if !options.compat && !config.rooms().any(is_root) {
        builder = builder.presence(ROOT, Presence::Off);
    }
    for room in &config.lists.rooms {
        check(&room.value).map_err(|text| Problem {
            place: room.place.clone(),
            key: "room".into(),
            text: text.into(),
        })?;
        builder = set_room_options(builder, &room.value);
    }
    if options.compat {
        builder = builder.compat();
    }
    let has_login = login.is_some() || webhooks.authorize.is_some();
    builder = rules.add(builder, has_login, webhooks);
    if let Some(events) = &webhooks.events {
        builder = events.add(builder);
    }
    if let Some(login) = login {
        builder = login.add(builder);
    } else if let Some(authorize) = &webhooks.authorize {
        builder = authorize.add(builder);
    } else if let Some(buckets) = rules.buckets() {
        // Accept all clients. Each gets the state of its rate limits.
        builder = builder.authorize(move |_| Ok(Claims::new().with(buckets.empty())));
    }
    if options.cluster_url.is_some() {
        let cluster = Cluster::named(&options.cluster_name);
        builder = builder.cluster(match &options.cluster_node {
            Some(node) => cluster.node(node),
            None => cluster,
        });
    }
    builder = builder
        .path(&options.path)
        // `compat` disables the extended protocol. This call must not enable it again.
        .extended(options.extended && !options.compat)
        .health("/live", "/ready")
        .drain(options.drain, options.drain_rate);
    builder.build().map_err(|error| problem(config, &error))
}

/// Reports a server that accepts every client and that other machines can reach, which is usually a
/// mistake.
fn admit_anonymous(config: &Config) -> Result<(), Problem> {
    let options = &config.options;
    match options.anonymous {
        // If there are tokens, the option concerns only clients without a token.
        _ if login::is_configured(options) => Ok(()),
        Some(true) if options.webhooks_authorize.is_some() => Err(config.problem(
            "anonymous",
            "webhooks.authorize already decides for all clients: remove one of the two",
        )),
        _ if options.webhooks_authorize.is_some() => Ok(()),
        None if !options.listen.ip().is_loopback() => Err(config.problem(
            "listen",
            format!(
                "other machines reach {}, and no login is configured: write the keys of tokens in \
                 [jwt], webhooks.authorize, or anonymous = true if all clients may connect",
                options.listen
            ),
        )),
        Some(false) => Err(config.problem(
            "anonymous",
            "no client could connect, since no login is configured: write the keys of tokens in [jwt], \
             or true",
        )),
        _ => Ok(()),
    }
}

fn limits(mut builder: Builder, options: &Options) -> Builder {
    builder = builder
        .max_message(options.max_message.0)
        .max_name(options.max_name.0)
        .max_rooms(options.max_rooms)
        .max_info(options.max_info.0)
        .max_backlog(options.max_backlog.0)
        .max_connections(options.max_connections)
        .max_handshakes(options.max_handshakes)
        .max_requests(options.max_requests)
        .max_detached_sessions(options.max_detached)
        .resume_buffer(options.resume_buffer.0)
        .info_rate(options.info_rate.per_second, options.info_rate.burst)
        .violation_rate(options.violation_rate.per_second, options.violation_rate.burst);
    if let Some(bytes) = options.memory_budget {
        builder = builder.memory_budget(bytes.0);
    }
    if let Some(bytes) = options.max_history {
        builder = builder.max_history(bytes.0);
    }
    if let Some(connections) = options.max_connections_per_address {
        builder = builder.max_connections_per_address(connections);
    }
    if let Some(connections) = options.max_connections_per_user {
        builder = builder.max_connections_per_user(connections);
    }
    if let Some(handshakes) = options.max_handshakes_per_address {
        builder = builder.max_handshakes_per_address(handshakes);
    }
    if let Some(rate) = options.message_rate {
        builder = builder.message_rate(rate.per_second, rate.burst);
    }
    if let Some(rate) = options.byte_rate {
        builder = builder.byte_rate(rate.per_second, rate.burst);
    }
    if let Some(rate) = options.join_rate {
        builder = builder.join_rate(rate.per_second, rate.burst);
    }
    builder
}

fn timeouts(builder: Builder, options: &Options) -> Builder {
    let builder = builder
        .handshake_timeout(options.handshake_timeout)
        .pong_timeout(options.pong_timeout)
        .write_timeout(options.write_timeout)
        .message_timeout(options.message_timeout)
        .close_timeout(options.close_timeout)
        .resume_window(options.resume_window)
        .retry_window(options.retry_window);
    match options.ping_interval {
        Some(interval) => builder.ping_interval(interval),
        None => builder,
    }
}

/// Reports rules for rooms that would have no effect.
fn check(room: &Room) -> Result<(), &'static str> {
    let has_bound = room.history_age.is_some() || room.history_bytes.is_some();
    match has_bound && room.history.is_none() {
        true => Err("history_age and history_bytes bound a history: write history = 100 as well"),
        false => Ok(()),
    }
}

/// Sets the options of a `[[room]]` table that the hub applies: presence, compression and history.
fn set_room_options(mut builder: Builder, room: &Room) -> Builder {
    if let Some(presence) = room.presence {
        let presence = match presence {
            rooms::Presence::Full => Presence::Full,
            rooms::Presence::Count => Presence::Count,
            rooms::Presence::Off => Presence::Off,
        };
        builder = builder.presence(&room.pattern, presence);
    }
    if let Some(threshold) = room.deflate {
        builder = builder.deflate(
            &room.pattern,
            match threshold {
                Threshold::From(size) => size.0,
                Threshold::Never => usize::MAX,
            },
        );
    }
    if let Some(messages) = room.history {
        let mut history = History::last(messages);
        if let Some(age) = room.history_age {
            history = history.max_age(age);
        }
        if let Some(bytes) = room.history_bytes {
            history = history.max_bytes(bytes.0);
        }
        builder = builder.history(&room.pattern, history);
    }
    builder
}

/// Converts an error of the builder to a problem with the option that has caused it.
fn problem(config: &Config, error: &BuildError) -> Problem {
    let key = match error {
        BuildError::PingInterval { .. } => "timeouts.ping",
        BuildError::MemoryBudget { .. } => "limits.memory_budget",
        BuildError::ByteBurst { .. } => "rates.bytes",
        BuildError::Origin(_) => "origins",
        BuildError::Proxy(_) => "trust_proxy",
        BuildError::ProxyProtocol => "proxy_protocol",
        BuildError::DuplicatePath(_) | BuildError::Path(_) | BuildError::PathPattern(_) => "path",
        BuildError::MaxMessage { .. } => "limits.max_message",
        BuildError::Cluster(_) => "cluster.name",
        BuildError::PerAddress { option: "max_handshakes", .. } => {
            "limits.max_handshakes_per_address"
        }
        BuildError::PerAddress { .. } => "limits.max_connections_per_address",
        // The builder's option has two values. Find the one that is 0.
        BuildError::Zero { option: "drain" } if config.options.drain_rate == 0 => "drain_rate",
        BuildError::Zero { option } => key_of(option),
        _ => "",
    };
    // The texts of these errors contain names of the builder's methods, not keys of the file.
    let text = match error {
        BuildError::PingInterval { interval, timeout } => {
            format!("must be shorter than timeouts.silence: {interval:?} is not below {timeout:?}")
        }
        BuildError::ProxyProtocol => "needs trust_proxy: write the proxy's address there".into(),
        BuildError::Zero { .. } => "must not be 0".into(),
        BuildError::PerAddress { per_address, total, .. } => {
            format!("{per_address} for one address is more than all, {total}: write less")
        }
        error => error.to_string(),
    };
    config.problem(key, text)
}

/// Returns the key in the configuration for an option of the builder that must not be zero.
fn key_of(option: &str) -> &'static str {
    match option {
        "max_message" => "limits.max_message",
        "max_backlog" => "limits.max_backlog",
        "max_rooms" => "limits.max_rooms",
        "max_name" => "limits.max_name",
        "max_handshakes" => "limits.max_handshakes",
        "max_handshakes_per_address" => "limits.max_handshakes_per_address",
        "max_connections" => "limits.max_connections",
        "max_connections_per_address" => "limits.max_connections_per_address",
        "max_connections_per_user" => "limits.max_connections_per_user",
        "drain" => "drain",
        "ping_interval" => "timeouts.ping",
        "pong_timeout" => "timeouts.silence",
        "write_timeout" => "timeouts.write",
        "message_timeout" => "timeouts.message",
        "handshake_timeout" => "timeouts.handshake",
        "close_timeout" => "timeouts.close",
        _ => "",
    }
}

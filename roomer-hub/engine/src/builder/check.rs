//! Validation of all options together.

use std::collections::BTreeSet;

use roomer_hub::{Config, Rate};

use crate::builder::{BuildError, Builder};
use crate::cluster::Cluster;
use crate::lifecycle::admission::AdmissionLimits;
use crate::options::Options;

/// Returns an error for the first contradiction between the options.
pub(super) fn check(options: &Options, config: &Config) -> Result<(), BuildError> {
    not_zero(options, config)?;
    max_message(options)?;
    memory_budget(options)?;
    ping_interval(options)?;
    per_address(options.handshake.admission)?;
    paths(options)?;
    byte_burst(options, config)?;
    proxy_protocol(options)
}

/// Rejects room patterns with a `*` before their end, where it would be compared literally.
pub(super) fn room_patterns<E>(builder: &Builder<E>) -> Result<(), BuildError> {
    let Builder { options, presences, away_rooms, histories, .. } = builder;
    let presences = presences.iter().map(|(pattern, _)| ("presence", pattern));
    let histories = histories.iter().map(|(pattern, _)| ("history", pattern));
    let away_rooms = away_rooms.iter().map(|pattern| ("announce_away", pattern));
    let compression = options.handshake.compression.iter().map(|(pattern, _)| ("deflate", pattern));
    let orders = options.cluster.iter().flat_map(Cluster::order_patterns);
    let orders = orders.map(|pattern| ("order", pattern));
    let mut patterns =
        presences.chain(histories).chain(away_rooms).chain(compression).chain(orders);
    let invalid =
        |(_, pattern): &(_, &String)| pattern.strip_suffix('*').unwrap_or(pattern).contains('*');
    match patterns.find(invalid) {
        Some((option, pattern)) => {
            Err(BuildError::RoomPattern { option, pattern: pattern.clone() })
        }
        None => Ok(()),
    }
}

/// Rejects limits and timeouts of zero, because the server would then reject every client.
fn not_zero(options: &Options, config: &Config) -> Result<(), BuildError> {
    let AdmissionLimits { handshakes, connections } = options.handshake.admission;
    let drain = options.drain_policy();
    for (option, is_zero) in [
        ("max_message", options.limits.max_message == 0),
        ("max_fragments", options.limits.max_fragments == 0),
        ("max_backlog", options.max_backlog == 0),
        ("max_rooms", config.max_rooms == 0),
        ("max_name", config.max_name == 0),
        ("max_handshakes", handshakes.total == 0),
        ("max_handshakes_per_address", handshakes.per_address == 0),
        ("max_connections", connections.total == 0),
        ("max_connections_per_address", connections.per_address == 0),
        ("max_connections_per_user", options.max_connections_per_user == 0),
        ("drain", drain.deadline.is_zero() || drain.per_second == 0),
        // Check `pong_timeout` first, since the default of `ping_interval` depends on it.
        ("pong_timeout", options.pong_timeout.is_zero()),
        ("ping_interval", options.ping_interval.is_zero()),
        ("write_timeout", options.write_timeout.is_zero()),
        ("message_timeout", options.message_timeout.is_zero()),
        ("handshake_timeout", options.handshake_timeout.is_zero()),
        ("close_timeout", options.close_timeout.is_zero()),
    ] {
        if is_zero {
            return Err(BuildError::Zero { option });
        }
    }
    Ok(())
}

/// The least permitted value of `max_message`, in bytes. It is enough for a request to join a room
/// with a short name.
const LEAST_MESSAGE: usize = 64;

/// Checks that a message can contain a packet with short names.
fn max_message(options: &Options) -> Result<(), BuildError> {
    let bytes = options.limits.max_message;
    match bytes < LEAST_MESSAGE {
        true => Err(BuildError::MaxMessage { bytes, least: LEAST_MESSAGE }),
        false => Ok(()),
    }
}

/// Checks that the memory budget is enough for one connection and the room histories.
fn memory_budget(options: &Options) -> Result<(), BuildError> {
    let least = options.water_marks().max.saturating_add(options.history_budget);
    let budget = options.memory_budget;
    match budget < least {
        true => Err(BuildError::MemoryBudget { budget, least }),
        false => Ok(()),
    }
}

/// Checks that a silent client is pinged before its pong times out.
fn ping_interval(options: &Options) -> Result<(), BuildError> {
    let (interval, timeout) = (options.ping_interval, options.pong_timeout);
    match interval >= timeout {
        true => Err(BuildError::PingInterval { interval, timeout }),
        false => Ok(()),
    }
}

/// Rejects a limit per address above the total, which would never apply.
fn per_address(admission: AdmissionLimits) -> Result<(), BuildError> {
    let AdmissionLimits { handshakes, connections } = admission;
    for (option, limit) in [("max_handshakes", handshakes), ("max_connections", connections)] {
        let (per_address, total) = (limit.per_address, limit.total);
        if per_address > total {
            return Err(BuildError::PerAddress { option, per_address, total });
        }
    }
    Ok(())
}

/// Checks that the WebSocket, the pages and the health checks have different paths.
fn paths(options: &Options) -> Result<(), BuildError> {
    let health = options.handshake.health.iter().flat_map(|health| [&health.live, &health.ready]);
    let mut seen = BTreeSet::new();
    for path in options.handshake.pages.keys().chain([&options.handshake.path]).chain(health) {
        // A request's path begins with `/` and ends before `?` or `#`, so no request could have
        // this path.
        if !path.starts_with('/') || path.contains(['?', '#']) {
            return Err(BuildError::Path(path.clone()));
        }
        // Paths are stored as browsers request them, with `{` encoded.
        let is_pattern = |part: &str| part.starts_with([':', '*']) || part.starts_with("%7B");
        if path.split('/').any(is_pattern) {
            return Err(BuildError::PathPattern(path.clone()));
        }
        if !seen.insert(path) {
            return Err(BuildError::DuplicatePath(path.clone()));
        }
    }
    Ok(())
}

/// Checks that the burst of `byte_rate` admits a maximum-length message, which could otherwise
/// never be sent.
fn byte_burst(options: &Options, config: &Config) -> Result<(), BuildError> {
    let max_message = options.limits.max_message;
    match config.byte_rate.map(Rate::burst) {
        Some(burst) if (burst as usize) < max_message => {
            Err(BuildError::ByteBurst { burst, max_message })
        }
        _ => Ok(()),
    }
}

/// Checks that a proxy is trusted if PROXY protocol headers are expected.
fn proxy_protocol(options: &Options) -> Result<(), BuildError> {
    match options.handshake.proxy_protocol && options.handshake.proxies.is_empty() {
        true => Err(BuildError::ProxyProtocol),
        false => Ok(()),
    }
}

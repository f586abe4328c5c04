//! Routes that return the state of the server: rooms, members, connections, counts.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::routing::{MethodRouter, get};
use roomer_tokio::Conn;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::Error;
use super::keys::Key;
use super::{Answer, Api, Shared};
use crate::output::put_payload;
use crate::serve::config::rooms::ApiRight;

/// The default number of entries in an answer.
const DEFAULT_LIMIT: usize = 1_000;
const MAX_LIMIT: usize = 10_000;

/// The default number of slow connections in an answer.
const DEFAULT_SLOWEST: usize = 10;

/// The maximum number of messages in an answer.
const MAX_MESSAGES: usize = 100;

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<Arc<Api>>)> {
    vec![
        ("/v1/rooms", get(rooms)),
        ("/v1/rooms/{room}", get(room)),
        ("/v1/rooms/{room}/members", get(members)),
        ("/v1/rooms/{room}/messages", get(history)),
        ("/v1/slowest", get(slowest)),
        ("/v1/stats", get(stats)),
    ]
}

/// Returns the route for one connection. `manage` adds another method to it.
pub(super) fn connection_route() -> MethodRouter<Arc<Api>> {
    get(connection)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    /// Only rooms whose names begin with this text are returned.
    #[serde(default)]
    prefix: String,
    /// The last entry of the previous answer. Only entries after it are returned.
    #[serde(default)]
    after: String,
    limit: Option<usize>,
}

/// The order of the rooms in an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Order {
    #[default]
    Name,
    /// By the number of members, largest first.
    Members,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rooms {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    after: String,
    limit: Option<usize>,
    #[serde(default)]
    order: Order,
}

impl Part {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT)
    }
}

async fn rooms(
    State(api): Shared,
    Extension(key): Extension<Arc<Key>>,
    query: Result<Query<Rooms>, QueryRejection>,
) -> Answer {
    let Query(Rooms { prefix, after, limit, order }) = query?;
    key.require(ApiRight::Read)?;
    let mut rooms = api.server.rooms();
    rooms.retain(|(name, _)| *name > after && name.starts_with(&prefix) && key.permits_room(name));
    if order == Order::Members {
        if !after.is_empty() {
            return Err(Error::invalid("after: needs order=name; the order of members changes"));
        }
        // The sort is stable, so rooms with the same number of members stay in the order of their
        // names.
        rooms.sort_by_key(|(_, members)| std::cmp::Reverse(*members));
    }
    let limit = limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
    // Say explicitly whether there are more: an answer with the maximum number of entries may be
    // the last one.
    let has_more = rooms.len() > limit;
    let list: Vec<Value> = rooms
        .into_iter()
        .take(limit)
        .map(|(name, members)| json!({ "room": name, "members": members }))
        .collect();
    Ok(Json(json!({ "rooms": list, "more": has_more })))
}

type Name = Result<Path<String>, PathRejection>;

async fn room(State(api): Shared, Extension(key): Extension<Arc<Key>>, room: Name) -> Answer {
    let Path(room) = room?;
    key.require_in(ApiRight::Read, &room)?;
    Ok(Json(json!({ "room": room, "members": api.server.member_count(&room) })))
}

/// Returns the room whose name is empty. The other routes accept an empty name inside their path, but
/// none at its end.
pub(super) async fn unnamed_room(state: Shared, key: Extension<Arc<Key>>) -> Answer {
    room(state, key, Ok(Path(String::new()))).await
}

/// Returns the members of a room. For connections on this node, includes the user and the info.
async fn members(
    State(api): Shared,
    Extension(key): Extension<Arc<Key>>,
    room: Name,
    query: Result<Query<Part>, QueryRejection>,
) -> Answer {
    let (Path(room), Query(part)) = (room?, query?);
    key.require_in(ApiRight::Read, &room)?;
    let mut ids = api.server.members(&room);
    // Sort the ids, so that the next answer can continue after the last of them.
    ids.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    let ids = ids.iter().map(|id| id.as_str());
    let mut ids = ids.filter(|id| *id > &*part.after && id.starts_with(&part.prefix)).peekable();
    let list: Vec<Value> = ids
        .by_ref()
        .take(part.limit())
        .map(|id| match api.server.conn(id) {
            Some(conn) => describe(&conn),
            // Either the connection is on another node, or it has ended in the meantime.
            None => json!({ "id": id }),
        })
        .collect();
    Ok(Json(json!({ "members": list, "more": ids.peek().is_some() })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    /// The maximum number of messages to return.
    last: Option<usize>,
}

/// Returns the last messages in the history of a room. Their number is small, because they are
/// copied while the server is locked.
async fn history(
    State(api): Shared,
    Extension(key): Extension<Arc<Key>>,
    room: Name,
    query: Result<Query<Last>, QueryRejection>,
) -> Answer {
    let (Path(room), Query(Last { last })) = (room?, query?);
    key.require_in(ApiRight::Read, &room)?;
    let messages = api.server.history(&room, last.unwrap_or(MAX_MESSAGES).min(MAX_MESSAGES));
    let messages = messages.into_iter().map(|message| {
        let from = message.src.map(|src| src.to_string());
        let mut value = json!({ "number": message.number, "event": &*message.event, "from": from });
        put_payload(&mut value, &message.payload);
        value
    });
    Ok(Json(json!({ "messages": messages.collect::<Vec<_>>() })))
}

async fn connection(State(api): Shared, Extension(key): Extension<Arc<Key>>, id: Name) -> Answer {
    let Path(id) = id?;
    // A connection may be in rooms for which the key is not valid, so require the right for all
    // rooms.
    key.require_everywhere(ApiRight::Read)?;
    api.check_id(&id)?;
    let conn = api.server.conn(&id);
    let conn = conn.ok_or_else(|| Error::not_found("there is no such connection on this node"))?;
    let mut value = describe(&conn);
    let mut rooms = conn.rooms();
    rooms.sort_unstable();
    value["rooms"] = rooms.into();
    value["address"] = conn.peer().map(|peer| peer.to_string()).into();
    Ok(Json(value))
}

fn describe(conn: &Conn) -> Value {
    let mut value = json!({ "id": conn.id().as_str() });
    if let Some(user) = conn.user() {
        value["user"] = user.into();
    }
    // Omit the info if it is nested more deeply than serde_json permits.
    if let Some(Ok(info)) = conn.info().map(|info| serde_json::from_str::<Value>(info.as_str())) {
        value["info"] = info;
    }
    value
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Most {
    limit: Option<usize>,
}

/// Returns the connections with the most queued bytes, whose clients read too slowly.
async fn slowest(
    State(api): Shared,
    Extension(key): Extension<Arc<Key>>,
    query: Result<Query<Most>, QueryRejection>,
) -> Answer {
    let Query(Most { limit }) = query?;
    key.require_everywhere(ApiRight::Read)?;
    let slowest = api.server.slowest(limit.unwrap_or(DEFAULT_SLOWEST).min(MAX_LIMIT));
    let slowest = slowest.into_iter().map(|backlog| {
        let mut value = match api.server.conn(backlog.id) {
            Some(conn) => describe(&conn),
            // The connection has ended in the meantime.
            None => json!({ "id": backlog.id.as_str() }),
        };
        value["waiting_bytes"] = backlog.bytes.into();
        value
    });
    Ok(Json(json!({ "connections": slowest.collect::<Vec<_>>() })))
}

async fn stats(State(api): Shared, Extension(key): Extension<Arc<Key>>) -> Answer {
    key.require_everywhere(ApiRight::Read)?;
    let stats = serde_json::to_value(api.server.stats());
    stats.map(Json).map_err(|_| Error::new(500, "internal", "the counts cannot be written"))
}

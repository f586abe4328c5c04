//! Routes that send messages to rooms, connections and users.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::HeaderMap;
use axum::routing::{MethodRouter, post};
use roomer_proto::PacketRef;
use serde::Deserialize;
use serde_json::json;

use super::error::Error;
use super::input::Body;
use super::keys::Key;
use super::{Answer, Api, Shared, limited};
use crate::serve::config::rooms::ApiRight;

/// The maximum number of rooms to which one request sends.
pub(super) const MAX_ROOMS: usize = 100;

/// The room in which messages to individual connections are sent.
const ROOT: &str = "root";

/// Returns the routes. `longest` limits bodies that are published as they are, and `longest_json`
/// those that contain the payload as JSON.
pub(super) fn routes(
    longest: usize,
    longest_json: usize,
) -> Vec<(&'static str, MethodRouter<Arc<Api>>)> {
    vec![
        ("/v1/rooms/{room}/messages/{event}", limited(post(publish), longest)),
        ("/v1/broadcast", limited(post(broadcast), longest_json)),
        ("/v1/connections/{id}/messages/{event}", limited(post(to_connection), longest)),
        ("/v1/users/{user}/messages/{event}", limited(post(to_user), longest)),
    ]
}

type Names = Result<Path<(String, String)>, PathRejection>;
type Payload = Result<Bytes, BytesRejection>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Except {
    /// The id of a member that does not receive the message.
    except: Option<String>,
}

/// Sends the body of the request to a room.
async fn publish(
    State(api): Shared,
    Extension(key): Extension<Arc<Key>>,
    names: Names,
    query: Result<Query<Except>, QueryRejection>,
    headers: HeaderMap,
    body: Payload,
) -> Answer {
    let (Path((room, event)), Query(Except { except })) = (names?, query?);
    // Check the right first: other errors must not reveal anything to a key without the right.
    key.require_in(ApiRight::Publish, &room)?;
    api.check_room(&room)?;
    api.check_event(&event)?;
    let payload = api.payload(body?)?;
    api.check_message(&to_room(&room, &event, &payload))?;
    let but = except.as_deref().unwrap_or_default();
    // Include the route, so that using the same `Idempotency-Key` on another route is an error.
    let parts = [b"publish", room.as_bytes(), event.as_bytes(), but.as_bytes(), &payload[..]];
    api.answers.once(&key.name, &headers, &parts, || {
        Ok(Json(
            json!({ "members": api.send_to_room(&room, &event, &payload, except.as_deref())? }),
        ))
    })
}

/// Sends the same message to several rooms.
async fn broadcast(
    State(api): Shared,
    Extension(key): Extension<Arc<Key>>,
    headers: HeaderMap,
    body: Payload,
) -> Answer {
    let whole = body?;
    let (body, payload) = Body::read(&api, &whole)?;
    if body.rooms.is_empty() || body.rooms.len() > MAX_ROOMS {
        return Err(Error::invalid(format!("write 1 to {MAX_ROOMS} rooms")));
    }
    api.check_event(&body.event)?;
    // Check all rooms before the first message is sent.
    for room in &body.rooms {
        key.require_in(ApiRight::Publish, room)?;
        api.check_room(room)?;
        api.check_message(&to_room(room, &body.event, &payload))?;
    }
    api.answers.once(&key.name, &headers, &[b"broadcast", &whole], || {
        let mut members = serde_json::Map::new();
        for room in &body.rooms {
            // A room that is listed twice receives the message only once.
            if members.contains_key(room) {
                continue;
            }
            // Since `except` is the same for all rooms, this fails at the first room or not at all.
            let count = api.send_to_room(room, &body.event, &payload, body.except.as_deref())?;
            members.insert(room.clone(), count.into());
        }
        Ok(Json(json!({ "members": members })))
    })
}

/// Sends the body of the request to a connection.
async fn to_connection(
    State(api): Shared,
    Extension(key): Extension<Arc<Key>>,
    names: Names,
    headers: HeaderMap,
    body: Payload,
) -> Answer {
    let Path((id, event)) = names?;
    key.require_everywhere(ApiRight::Publish)?;
    api.check_id(&id)?;
    api.check_event(&event)?;
    let payload = api.payload(body?)?;
    api.check_message(&PacketRef { dst: &id, ..to_room(ROOT, &event, &payload) })?;
    let parts = [b"connection", id.as_bytes(), event.as_bytes(), &payload[..]];
    api.answers.once(&key.name, &headers, &parts, || match api.server.send(&id, &event, &payload) {
        true => Ok(Json(json!({ "connections": 1 }))),
        false => Err(Error::not_found("there is no such connection")),
    })
}

/// Sends the body of the request to all connections of a user.
async fn to_user(
    State(api): Shared,
    Extension(key): Extension<Arc<Key>>,
    names: Names,
    headers: HeaderMap,
    body: Payload,
) -> Answer {
    let Path((user, event)) = names?;
    key.require_everywhere(ApiRight::Publish)?;
    api.check_event(&event)?;
    let payload = api.payload(body?)?;
    api.check_message(&to_room(ROOT, &event, &payload))?;
    let parts = [b"user", user.as_bytes(), event.as_bytes(), &payload[..]];
    api.answers.once(&key.name, &headers, &parts, || {
        Ok(Json(json!({ "connections": api.server.user(&user).send(&event, &payload) })))
    })
}

fn to_room<'a>(room: &'a str, event: &'a str, payload: &'a [u8]) -> PacketRef<'a> {
    PacketRef { room, event, dst: "", src: "", payload }
}

impl Api {
    /// Sends a message to a room. Returns the number of the room's members.
    fn send_to_room(
        &self,
        room: &str,
        event: &str,
        payload: &[u8],
        except: Option<&str>,
    ) -> Result<usize, Error> {
        match except {
            Some(id) => {
                self.check_id(id)?;
                self.server.broadcast_except(id, room, event, payload);
            }
            None => self.server.broadcast(room, event, payload),
        }
        Ok(self.server.member_count(room))
    }
}

//! Routes that remove connections from rooms and close connections.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::HeaderMap;
use axum::routing::{MethodRouter, delete};
use serde::Deserialize;
use serde_json::json;

use super::error::Error;
use super::keys::Key;
use super::read;
use super::{Answer, Api, Shared};
use crate::serve::config::rooms::ApiRight;

/// The default code for closing connections. It is in the range for applications, after which
/// clients do not reconnect.
const DISCONNECTED: u16 = 4000;

/// The maximum length in bytes of the reason in a close frame.
const MAX_REASON: usize = 123;

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<Arc<Api>>)> {
    vec![
        ("/v1/rooms/{room}/members/{id}", delete(kick)),
        ("/v1/rooms/{room}/users/{user}", delete(kick_user)),
        ("/v1/connections/{id}", read::connection_route().delete(disconnect)),
        ("/v1/users/{user}", delete(disconnect_user)),
    ]
}

type Names = Result<Path<(String, String)>, PathRejection>;

/// Removes one connection from a room.
async fn kick(
    State(api): Shared,
    Extension(key): Extension<Arc<Key>>,
    names: Names,
    headers: HeaderMap,
) -> Answer {
    let Path((room, id)) = names?;
    key.require_in(ApiRight::Manage, &room)?;
    api.check_id(&id)?;
    api.answers.once(&key.name, &headers, &[&b"kick"[..], room.as_bytes(), id.as_bytes()], || {
        // `kick` also returns true if the connection is not in the room. For a connection on another
        // node, this node knows only its memberships in rooms with full presence.
        let is_elsewhere = api.server.conn(&id).is_none();
        let is_concerned = api.server.is_member(&id, &room) || api.server.is_joining(&id, &room);
        let may_be_member = is_elsewhere || is_concerned;
        match may_be_member && api.server.kick(&id, &room) {
            true => Ok(Json(json!({ "connections": 1 }))),
            false => Err(Error::not_found("the connection is not a member of the room")),
        }
    })
}

/// Removes all of a user's connections from a room.
async fn kick_user(
    State(api): Shared,
    Extension(key): Extension<Arc<Key>>,
    names: Names,
    headers: HeaderMap,
) -> Answer {
    let Path((room, user)) = names?;
    key.require_in(ApiRight::Manage, &room)?;
    let parts = [&b"kick_user"[..], room.as_bytes(), user.as_bytes()];
    api.answers.once(&key.name, &headers, &parts, || {
        Ok(Json(json!({ "connections": api.server.user(&user).kick(&room) })))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Close {
    code: Option<u16>,
    #[serde(default)]
    reason: String,
}

impl Close {
    fn read(query: Result<Query<Close>, QueryRejection>) -> Result<(u16, String), Error> {
        let Query(Close { code, reason }) = query?;
        let code = code.unwrap_or(DISCONNECTED);
        // All other codes are reserved for the protocol (RFC 6455 section 7.4.2).
        if code != 1000 && !(3000..5000).contains(&code) {
            return Err(Error::invalid("the code must be 1000, or from 3000 to 4999"));
        }
        match reason.len() > MAX_REASON {
            true => Err(Error::invalid(format!("the reason has at most {MAX_REASON} bytes"))),
            false => Ok((code, reason)),
        }
    }
}

/// Closes one connection.
async fn disconnect(
    State(api): Shared,
    Extension(key): Extension<Arc<Key>>,
    id: Result<Path<String>, PathRejection>,
    query: Result<Query<Close>, QueryRejection>,
    headers: HeaderMap,
) -> Answer {
    let (Path(id), (code, reason)) = (id?, Close::read(query)?);
    key.require_everywhere(ApiRight::Manage)?;
    api.check_id(&id)?;
    let parts = [&b"disconnect"[..], id.as_bytes(), &code.to_be_bytes(), reason.as_bytes()];
    api.answers.once(&key.name, &headers, &parts, || {
        match api.server.disconnect(&id, code, &reason) {
            true => Ok(Json(json!({ "connections": 1 }))),
            false => Err(Error::not_found("there is no such connection")),
        }
    })
}

/// Closes all of a user's connections.
async fn disconnect_user(
    State(api): Shared,
    Extension(key): Extension<Arc<Key>>,
    user: Result<Path<String>, PathRejection>,
    query: Result<Query<Close>, QueryRejection>,
    headers: HeaderMap,
) -> Answer {
    let (Path(user), (code, reason)) = (user?, Close::read(query)?);
    key.require_everywhere(ApiRight::Manage)?;
    let parts = [&b"disconnect_user"[..], user.as_bytes(), &code.to_be_bytes(), reason.as_bytes()];
    api.answers.once(&key.name, &headers, &parts, || {
        Ok(Json(json!({ "connections": api.server.user(&user).disconnect(code, &reason) })))
    })
}

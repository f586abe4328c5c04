//! A page for room administrators.
//!
//! Run `ADMIN_TOKEN=secret cargo run -p roomer-tokio-examples --example admin`, then open the URL
//! that it prints. Clients connect to `ws://127.0.0.1:8080/ws`.
//!
//! The page itself is public, but its requests need the token. The token is in the fragment of the
//! URL, which browsers do not send; the page sends it in a header.
#![allow(missing_docs, unreachable_pub, clippy::print_stdout, clippy::print_stderr)]

use std::cmp::Reverse;
use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use roomer_example_support::program::{self, Outcome, Program};
use roomer_tokio::{ConnId, Server, bind, json, mount, shutdown_signal};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::time::timeout;

/// The maximum number of rooms on the page, which shows the largest ones, and of members listed for
/// each.
const MAX_LISTED: usize = 100;

#[tokio::main]
pub async fn main() -> ExitCode {
    program::finish(start().await)
}

async fn start() -> Outcome {
    let about = "Rooms, and a page for administrators, who know the secret in ADMIN_TOKEN.";
    let program = Program { about, listen: "127.0.0.1:8080", files: &[] };
    let Some(args) = program.args()? else { return Ok(()) };
    let token = program::secret("ADMIN_TOKEN")?;
    let listener = bind(&args.listen).await?;
    let stop = shutdown_signal();
    println!("open http://{}/admin#{token}", listener.local_addr()?);
    run(listener, &token, stop).await
}

pub async fn run(
    listener: TcpListener,
    token: &str,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Outcome {
    let rooms = Server::builder().build()?;
    let app = Router::new()
        .route("/admin/state", get(state))
        .route("/admin/kick/{id}", post(kick))
        .route("/admin/disconnect/{id}", post(disconnect))
        .with_state(rooms.clone())
        .layer(from_fn_with_state(Arc::from(token), guard))
        .route("/admin", get(page))
        .route_service("/ws", mount(rooms.clone()));
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    rooms.shutdown();
    let _ = timeout(rooms.drain_timeout(), rooms.drained()).await;
    Ok(())
}

async fn page() -> impl IntoResponse {
    let policy = "default-src 'none'; connect-src 'self'; \
        script-src 'unsafe-inline'; style-src 'unsafe-inline'";
    ([(CONTENT_SECURITY_POLICY, policy)], Html(include_str!("admin.html")))
}

/// Rejects a request that does not contain the token.
async fn guard(State(token): State<Arc<str>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(AUTHORIZATION).and_then(|given| given.to_str().ok());
    if given.and_then(|given| given.strip_prefix("Bearer ")) != Some(&token) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    next.run(request).await
}

#[derive(Serialize)]
struct Overview {
    connections: usize,
    rooms: usize,
    messages_in: u64,
    messages_out: u64,
    queued_bytes: usize,
    largest: Vec<Room>,
    slowest: Vec<Slow>,
}

#[derive(Serialize)]
struct Room {
    name: String,
    count: usize,
    members: Vec<String>,
}

#[derive(Serialize)]
struct Slow {
    id: String,
    bytes: usize,
}

async fn state(State(server): State<Server>) -> Result<impl IntoResponse, StatusCode> {
    let stats = server.stats();
    let mut rooms = server.rooms();
    rooms.sort_by_key(|(_, count)| Reverse(*count));
    let room = |(name, count): (String, usize)| {
        let members = server.members(&name).into_iter().take(MAX_LISTED).map(|id| id.to_string());
        Room { members: members.collect(), name, count }
    };
    let slowest = server.slowest(MAX_LISTED).into_iter();
    let overview = Overview {
        connections: stats.connections,
        rooms: stats.rooms,
        messages_in: stats.messages_in,
        messages_out: stats.messages_out,
        queued_bytes: stats.queued_bytes,
        largest: rooms.into_iter().take(MAX_LISTED).map(room).collect(),
        slowest: slowest.map(|slow| Slow { id: slow.id.to_string(), bytes: slow.bytes }).collect(),
    };
    let body = json(&overview).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(([(CONTENT_TYPE, "application/json")], body))
}

/// Removes a connection from the room that is named in the body. Clients choose the names of rooms,
/// and not every name can be part of a path.
async fn kick(State(server): State<Server>, Path(id): Path<String>, room: String) -> StatusCode {
    done(ConnId::parse(&id).is_some_and(|id| server.kick(id, &room)))
}

async fn disconnect(State(server): State<Server>, Path(id): Path<String>) -> StatusCode {
    done(ConnId::parse(&id).is_some_and(|id| server.disconnect(id, 4000, "by an administrator")))
}

fn done(is_done: bool) -> StatusCode {
    if is_done { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

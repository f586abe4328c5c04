//! Rooms in an axum application, which share its state and its middleware.
//!
//! Run `ADMIN_TOKEN=secret cargo run -p roomer-tokio-examples --example axum`, then connect to
//! `ws://127.0.0.1:8080/ws` with or without a header `X-Name`. `http://127.0.0.1:8080/stats` shows
//! statistics. To remove a client from a room, run `curl -X POST -H 'Authorization: Bearer secret'
//! http://127.0.0.1:8080/rooms/lobby/kick/ID`.
#![allow(missing_docs, unreachable_pub, clippy::print_stdout, clippy::print_stderr)]

use std::future::Future;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post};
use roomer_example_support::program::{self, Outcome, Program};
use roomer_tokio::{Claims, ConnId, Server, bind, mount, shutdown_signal};
use tokio::net::TcpListener;
use tokio::time::timeout;

#[tokio::main]
pub async fn main() -> ExitCode {
    program::finish(start().await)
}

async fn start() -> Outcome {
    let about =
        "Rooms as part of an axum application; ADMIN_TOKEN is the secret that permits kicks.";
    let program = Program { about, listen: "127.0.0.1:8080", files: &[] };
    let Some(args) = program.args()? else { return Ok(()) };
    let token = program::secret("ADMIN_TOKEN")?;
    let listener = bind(&args.listen).await?;
    let stop = shutdown_signal();
    println!("listening on http://{}", listener.local_addr()?);
    run(listener, &token, stop).await
}

/// The state that all routes share. It contains the rooms.
#[derive(Clone)]
struct App {
    rooms: Server,
    admin: Arc<str>,
}

pub async fn run(
    listener: TcpListener,
    token: &str,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Outcome {
    let rooms = Server::builder()
        .on("whoami", |conn, message| {
            let name = conn.claims().and_then(|claims| claims.get("name"));
            let name = name.unwrap_or("nobody");
            conn.send_to_client(message.src, "you", name.as_bytes());
            Ok(())
        })
        .build()?;
    let app = Router::new()
        .route("/stats", get(stats))
        .route("/rooms/{room}/kick/{id}", post(kick))
        .route_service("/ws", mount(rooms.clone()))
        .layer(from_fn(introduce))
        .with_state(App { rooms: rooms.clone(), admin: token.into() })
        .into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    // axum does not close connections that were upgraded, so the room server must.
    rooms.shutdown();
    let _ = timeout(rooms.drain_timeout(), rooms.drained()).await;
    Ok(())
}

async fn stats(State(app): State<App>) -> String {
    let stats = app.rooms.stats();
    format!("{} connections in {} rooms\n", stats.connections, stats.rooms)
}

/// Removes a connection from a room. Only administrators may call this.
async fn kick(
    State(app): State<App>,
    Path((room, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> StatusCode {
    let given = headers.get(AUTHORIZATION).and_then(|given| given.to_str().ok());
    if given.and_then(|given| given.strip_prefix("Bearer ")) != Some(&app.admin) {
        return StatusCode::UNAUTHORIZED;
    }
    match ConnId::parse(&id) {
        Some(id) if app.rooms.kick(id, &room) => StatusCode::NO_CONTENT,
        _ => StatusCode::NOT_FOUND,
    }
}

/// Adds the claims of the user to a request. `mount` finds the address of the client itself.
async fn introduce(mut request: Request, next: Next) -> Response {
    // A real application would read a session cookie instead.
    let name = request.headers().get("x-name").and_then(|name| name.to_str().ok());
    let claims: Claims = name.map(|name| ("name".into(), name.into())).into_iter().collect();
    request.extensions_mut().insert(claims);
    next.run(request).await
}

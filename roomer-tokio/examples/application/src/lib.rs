//! The example application: rooms in an axum application. The command line is in `main.rs`.
#![allow(missing_docs, unreachable_pub, clippy::print_stdout, clippy::print_stderr)]

mod login;
mod permissions;
mod tls;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};
use axum::serve::IncomingStream;
use axum::{Extension, Router};
use login::{Account, Logins};
use roomer_example_support::program::Outcome;
use roomer_tokio::{Server, mount};

pub use login::issue;
pub use permissions::Permissions;
pub use tls::TlsListener;

/// The state that all routes share.
#[derive(Clone)]
struct App {
    rooms: Server,
    permissions: Permissions,
}

pub async fn run(
    listener: TlsListener,
    secret: &[u8],
    permissions: Permissions,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Outcome {
    let rooms = rooms(permissions.clone())?;
    let logins = Arc::new(Logins::new(secret));
    let app = Router::new()
        // The routes from here on require a login.
        .route("/rooms/{room}/allow/{user}", put(allow))
        .route("/rooms/{room}/kick/{user}", post(kick))
        .route_service("/ws", mount(rooms.clone()).peer_from(Peer::of))
        .layer(from_fn_with_state(logins, login::check))
        .route("/metrics", get(metrics))
        .with_state(App { rooms: rooms.clone(), permissions })
        .into_make_service_with_connect_info::<Peer>();
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    // axum does not close connections that were upgraded. The room server closes them, at a limited
    // rate.
    let report = rooms.drain().await;
    tracing::info!(closed = report.closed, aborted = report.aborted, "the rooms are closed");
    Ok(())
}

fn rooms(permissions: Permissions) -> Outcome<Server> {
    let server = Server::builder()
        .max_connections_per_user(5)
        .message_rate(50, 200)
        .drain(Duration::from_secs(20), 500)
        .may_join_async(async move |conn, room| {
            let Some(account) = conn.extension::<Account>() else { return false };
            account.is_admin || permissions.has(&room, &account.name).await
        })
        .on("whoami", |conn, message| {
            let account = conn.extension::<Account>().ok_or("not logged in")?;
            conn.reply(message, "you", &account.name);
            Ok(())
        })
        .on_error(|conn, message, error| {
            tracing::warn!(user = conn.user(), event = message.event, %error, "a handler failed");
        })
        .on_disconnect(|conn, reason| tracing::info!(user = conn.user(), %reason, "gone"))
        .build()?;
    Ok(server)
}

async fn metrics(State(app): State<App>) -> String {
    app.rooms.stats().to_prometheus()
}

/// Permits a user to join a room. Only administrators may call this.
async fn allow(
    State(app): State<App>,
    Extension(account): Extension<Account>,
    Path((room, user)): Path<(String, String)>,
) -> StatusCode {
    if !account.is_admin {
        return StatusCode::FORBIDDEN;
    }
    match app.permissions.allow(&room, &user).await {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(error) => failed(&error),
    }
}

/// Removes all connections of a user from a room, and denies further joins. Only administrators may
/// call this.
async fn kick(
    State(app): State<App>,
    Extension(account): Extension<Account>,
    Path((room, user)): Path<(String, String)>,
) -> StatusCode {
    if !account.is_admin {
        return StatusCode::FORBIDDEN;
    }
    // Remove the permission first, so that the user cannot join again in between. The kick also
    // cancels a join whose rule has already read the permission.
    if let Err(error) = app.permissions.forbid(&room, &user).await {
        return failed(&error);
    }
    match app.rooms.user(&user).kick(&room) {
        0 => StatusCode::NOT_FOUND,
        _ => StatusCode::NO_CONTENT,
    }
}

fn failed(error: &permissions::Error) -> StatusCode {
    tracing::error!(%error, "the permissions cannot be changed");
    StatusCode::INTERNAL_SERVER_ERROR
}

/// The address of the client's end of a connection.
#[derive(Clone, Copy)]
struct Peer(SocketAddr);

impl Peer {
    fn of(extensions: &axum::http::Extensions) -> Option<SocketAddr> {
        extensions.get().map(|ConnectInfo(Peer(address))| *address)
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        Peer(*stream.remote_addr())
    }
}

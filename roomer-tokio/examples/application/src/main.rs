//! Rooms in a whole application on axum: logins by JSON Web Tokens in middleware, permissions in
//! SQLite, routes for administrators, figures for Prometheus, a log, TLS, and an orderly end.
//!
//! `JWT_SECRET=secret cargo run -p roomer-application -- cert.pem key.pem`. It prints a token
//! for an administrator, `root`. Then, with `-k` where the certificate is not a known one:
//!
//! - `curl -H "Authorization: Bearer $TOKEN" -X PUT https://127.0.0.1:8443/rooms/staff/allow/ann`
//!   lets ann into the room `staff`, from now on and after a restart;
//! - `curl -H … -X POST https://127.0.0.1:8443/rooms/staff/kick/ann` takes her out and forbids it;
//! - clients connect to `wss://127.0.0.1:8443/ws`, with the header or with `?token=…`;
//! - `https://127.0.0.1:8443/metrics` is for Prometheus.
#![allow(missing_docs, unreachable_pub, clippy::print_stdout, clippy::print_stderr)]

#[path = "../../support/certificate.rs"]
mod certificate;
#[path = "../../support/hs256.rs"]
mod hs256;
mod login;
mod permissions;
#[path = "../../support/program.rs"]
mod program;
mod tls;

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path as FilePath;
use std::process::ExitCode;
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
use permissions::Permissions;
use program::{Outcome, Program};
use roomer_tokio::rustls::ServerConfig;
use roomer_tokio::rustls::pki_types::pem::PemObject;
use roomer_tokio::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use roomer_tokio::{Server, mount, shutdown_signal};
use tokio::net::TcpListener;

pub use login::issue;
pub use tls::TlsListener;

#[allow(dead_code, reason = "the tests call run")]
#[tokio::main]
pub async fn main() -> ExitCode {
    program::finish(start().await)
}

async fn start() -> Outcome {
    let about = "Rooms in an application on axum; the logins' secret is in JWT_SECRET.";
    let program = Program { about, listen: "127.0.0.1:8443", files: &["CERT", "KEY"] };
    let Some(args) = program.args()? else { return Ok(()) };
    let secret = program::secret("JWT_SECRET")?;
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let config = certificate::config(&args.files[0], &args.files[1])?;
    let listener = program::bound(&args.listen, TcpListener::bind(&args.listen).await)?;
    let stop = shutdown_signal();
    println!("listening on https://{}", listener.local_addr()?);
    println!("TOKEN={}", issue(secret.as_bytes(), "root", true, Duration::from_secs(3600))?);
    let database = FilePath::new("permissions.sqlite");
    run(TlsListener::new(listener, config), secret.as_bytes(), database, stop).await
}

/// What every route can ask.
#[derive(Clone)]
struct App {
    rooms: Server,
    permissions: Permissions,
}

pub async fn run(
    listener: TlsListener,
    secret: &[u8],
    database: &FilePath,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Outcome {
    let permissions = Permissions::open(database)?;
    let rooms = rooms(permissions.clone())?;
    let logins = Arc::new(Logins::new(secret));
    let app = Router::new()
        // Everything below here is for those who are logged in.
        .route("/rooms/{room}/allow/{user}", put(allow))
        .route("/rooms/{room}/kick/{user}", post(kick))
        .route_service("/ws", mount(rooms.clone()).peer_from(Peer::of))
        .layer(from_fn_with_state(logins, login::check))
        .route("/metrics", get(metrics))
        .with_state(App { rooms: rooms.clone(), permissions })
        .into_make_service_with_connect_info::<Peer>();
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    // axum lets go of upgraded connections; the rooms close them, so many a second.
    let report = rooms.drain().await;
    tracing::info!(closed = report.closed, cut = report.cut, "the rooms are closed");
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

/// Lets a user into a room, if an administrator says so.
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

/// Takes all of a user's connections out of a room, and keeps them out.
async fn kick(
    State(app): State<App>,
    Extension(account): Extension<Account>,
    Path((room, user)): Path<(String, String)>,
) -> StatusCode {
    if !account.is_admin {
        return StatusCode::FORBIDDEN;
    }
    // First the permission: nobody comes back in between.
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

/// The address at the other end of a connection.
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

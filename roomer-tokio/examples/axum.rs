//! Rooms as a part of an axum application, which shares its state and its middleware with them:
//! `cargo run -p roomer-tokio --features tower --example axum`, then connect to
//! `ws://127.0.0.1:8080/ws`, with a header `X-Name` or without, and look at
//! `http://127.0.0.1:8080/stats`.
#![allow(missing_docs, unreachable_pub, clippy::print_stdout)]

use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use roomer_tokio::{Claims, Server, mount};
use tokio::net::TcpListener;
use tokio::time::timeout;

#[allow(dead_code, reason = "the tests call run")]
#[tokio::main]
pub async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    println!("listening on http://{}", listener.local_addr()?);
    run(listener, async { drop(tokio::signal::ctrl_c().await) }).await
}

/// What every route can ask, the rooms among it.
#[derive(Clone)]
struct App {
    rooms: Server,
}

pub async fn run(
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Box<dyn Error>> {
    let rooms = Server::builder()
        .on("whoami", |conn, message| {
            let name = conn.claims().and_then(|claims| claims.get("name"));
            let name = name.map_or("nobody", String::as_str);
            conn.send_to_client(message.src, "you", name.as_bytes());
            Ok(())
        })
        .build()?;
    let app = Router::new()
        .route("/stats", get(stats))
        .route_service("/ws", mount(rooms.clone()))
        .layer(from_fn(introduce))
        .with_state(App { rooms: rooms.clone() })
        .into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    // axum has let go of the connections; the rooms close them.
    rooms.shutdown();
    let _ = timeout(rooms.drain_limit(), rooms.drained()).await;
    Ok(())
}

async fn stats(State(app): State<App>) -> String {
    let stats = app.rooms.stats();
    format!("{} connections in {} rooms\n", stats.connections, stats.rooms)
}

/// Tells the rooms what axum knows of a request: who it is, and where it comes from.
async fn introduce(
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    // A session cookie in earnest.
    let name = request.headers().get("x-name").and_then(|name| name.to_str().ok());
    let claims: Claims = name.map(|name| ("name".into(), name.into())).into_iter().collect();
    request.extensions_mut().insert(claims);
    request.extensions_mut().insert(address);
    next.run(request).await
}

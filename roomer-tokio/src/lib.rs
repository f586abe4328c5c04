//! Room servers on [tokio].
//!
//! This crate knows tokio: how to accept, read, write and sleep there. What a room is, who may
//! join and when a slow client is closed it must not know; that lives in [`roomer_hub`], and is
//! the same on every runtime.
//!
//! # A server
//!
//! ```no_run
//! use roomer_tokio::Server;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let server = Server::builder()
//!         .on("chat", |conn, message| {
//!             conn.send_to_room(message.room, "chat", message.payload);
//!             Ok(())
//!         })
//!         .build()?;
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//!     Ok(roomer_tokio::serve(listener, server).await?)
//! }
//! ```
//!
//! Clients connect to `ws://127.0.0.1:8080/ws` and are in the room `root` at once. Events without
//! a handler are broadcast to the room they were sent to, so a server without any handler is a
//! working chat already.
//!
//! # Who may come in
//!
//! [`Builder::authorize`] sees the HTTP request before the upgrade and answers with claims, which
//! handlers find at [`Conn::claims`], or with a refusal:
//!
//! ```
//! use roomer_tokio::{Claims, Refusal, Server};
//!
//! let server = Server::builder()
//!     .authorize(|request| match request.query("token").as_deref() {
//!         Some("secret") => Ok(Claims::from([("role".into(), "admin".into())])),
//!         _ => Err(Refusal::unauthorized("a token, please")),
//!     })
//!     .on("shout", |conn, message| {
//!         let role = conn.claims().and_then(|claims| claims.get("role"));
//!         if role.is_some_and(|role| role == "admin") {
//!             conn.send_to_room("root", "shout", message.payload);
//!         }
//!         Ok(())
//!     })
//!     .build()?;
//! # Ok::<(), roomer_tokio::BuildError>(())
//! ```
//!
//! # Ending it
//!
//! [`serve_until`] takes a future that says when to stop: a signal, a channel, here one that is
//! ready at once. Everybody is then closed with 1001, after what they are still owed.
//!
//! ```
//! use roomer_tokio::Server;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder().build()?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! roomer_tokio::serve_until(listener, server.clone(), async {}).await?;
//! assert_eq!(server.stats().connections, 0);
//! # Ok(())
//! # }
//! ```
//!
//! Every option is a method of [`Builder`], with its default and the reason for it.

mod transport;

use std::future::{Future, pending};
use std::io;
use std::time::Duration;

pub use roomer_hub::server::{
    BuildError, Builder, Claims, Conn, HandlerError, HandlerResult, Message, Refusal, Request,
    Server, Stats, Verdict,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long accepting rests after the system refused to (out of file descriptors, say). The
/// connections that are there go on meanwhile.
const REST: Duration = Duration::from_millis(100);

/// Serves until the task is dropped.
///
/// # Errors
///
/// None today: a failure to accept is waited out. The type leaves room.
pub async fn serve(listener: TcpListener, server: Server) -> io::Result<()> {
    serve_until(listener, server, pending::<()>()).await
}

/// Serves until `stop` is ready, then takes no more connections, closes all with 1001 and waits,
/// for a bounded time, until they have gone.
///
/// # Errors
///
/// As [`serve`].
pub async fn serve_until(
    listener: TcpListener,
    server: Server,
    stop: impl Future,
) -> io::Result<()> {
    let mut staff = JoinSet::new();
    let keeper = server.clone();
    staff.spawn(async move { keeper.keep_time(sleep).await });
    let workers = Handle::current().metrics().num_workers();
    for _ in (0..workers).filter(|_| workers > 1) {
        let helper = server.clone();
        staff.spawn(async move { helper.help().await });
    }
    tokio::select! {
        _ = stop => {}
        () = accept(&listener, &server) => {}
    }
    drop(listener);
    server.shutdown();
    let _ = timeout(server.drain_limit(), server.drained()).await;
    Ok(())
}

async fn accept(listener: &TcpListener, server: &Server) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => connect(stream, server),
            Err(_) => sleep(REST).await,
        }
    }
}

fn connect(stream: TcpStream, server: &Server) {
    let peer = stream.peer_addr().ok();
    let (reader, writer) = transport::split(stream);
    tokio::spawn(server.connect(reader, writer, peer));
}

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

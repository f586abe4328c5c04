//! Room servers on [tokio].
//!
//! This crate knows tokio: how to accept, read, write and sleep there. What a room is, who may
//! join and when a slow client is closed it must not know; that lives in [`roomer_engine`], and is
//! the same on every runtime.
//!
//! # A server
//!
//! ```no_run
//! use roomer_tokio::{Server, serve_until, shutdown_signal};
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
//!     Ok(serve_until(listener, server, shutdown_signal()).await?)
//! }
//! ```
//!
//! Clients connect to `ws://127.0.0.1:8080/ws` and are in the room `root` at once. Events without
//! a handler are broadcast to the room they were sent to, so a server without any handler is a
//! working chat already.
//!
//! # Who may come in
//!
//! [`Builder::authorize`] sees the HTTP request before the upgrade and answers with [`Claims`], or
//! with a refusal. Claims name the user, say how long the login is good, and carry values of your
//! own types, which handlers, rules and hooks find at [`Conn::extension`]:
//!
//! ```
//! use std::time::Duration;
//! use roomer_tokio::{Claims, Rejection, Server};
//!
//! #[derive(Clone)]
//! struct Role(&'static str);
//!
//! let server = Server::builder()
//!     .authorize(|request| match request.token().as_deref() {
//!         Some("secret") => {
//!             let hour = Duration::from_secs(3600);
//!             Ok(Claims::new().user("ann").good_for(hour).with(Role("admin")))
//!         }
//!         _ => Err(Rejection::unauthorized("a token, please")),
//!     })
//!     .max_connections_per_user(3)
//!     .on("shout", |conn, message| {
//!         if conn.extension::<Role>().is_some_and(|role| role.0 == "admin") {
//!             conn.send_to_room("root", "shout", message.payload);
//!         }
//!     })
//!     .build()?;
//!
//! // All of ann's connections, from any task or thread:
//! server.user("ann").send("mail", "from bob");
//! # Ok::<(), roomer_tokio::BuildError>(())
//! ```
//!
//! # Rules, hooks, and the server from anywhere
//!
//! Rules decide what clients may do, hooks hear of what has happened, handlers that wait for
//! something hold up only their own connection. A [`Server`] is a handle that any task or thread
//! can use:
//!
//! ```
//! use roomer_tokio::{Presence, Server};
//!
//! # async fn store(_text: &str) -> std::io::Result<()> { Ok(()) }
//! let server = Server::builder()
//!     .presence("root", Presence::Off) // who comes and goes there is nobody's business
//!     .may_join(|conn, room| room != "staff" || conn.claims().is_some())
//!     .may_publish(|_, message| message.payload.len() <= 4096)
//!     .on_async("save", |conn, message| async move {
//!         store(message.text()?).await?;
//!         conn.send_to_room(&message.room, "saved", &message.payload);
//!         Ok(())
//!     })
//!     .on_disconnect(|conn, reason| println!("{} has gone: {reason}", conn.id()))
//!     .build()?;
//!
//! // An admin's action, from wherever you like:
//! for (room, members) in server.rooms() {
//!     println!("{room}: {members}");
//! }
//! server.broadcast("lobby", "news", b"lunch is ready");
//! for id in server.members("noisy") {
//!     server.kick(id, "noisy");
//! }
//! # Ok::<(), roomer_tokio::BuildError>(())
//! ```
//!
//! # Ending it
//!
//! [`serve_until`] takes a future that says when to stop: [`shutdown_signal`], a channel, here one
//! that is ready at once. Everybody is then closed with 1001, after what they are still owed; all at once,
//! or at the pace of [`Builder::drain`].
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
//! # Inside axum, or anything tower
//!
//! With the feature `axum`, or `tower` for other frameworks, `mount` makes a server a service beside
//! other routes; it answers the handshake and takes the connection over. Middleware may put [`Claims`] into the request's
//! extensions. There is nothing to start: the server's time is kept for as long as there are
//! connections.
//!
//! The client's address, which limits per address and [`Builder::trust_proxy`] need, comes from a
//! `SocketAddr` among the extensions or, with the feature `axum`, from axum's `ConnectInfo`, which
//! is there when the application is served as below. A limit that was asked for and cannot hold,
//! as no address is found, is answered 500, with a body that says what to do.
#![cfg_attr(feature = "tower", doc = "```no_run")]
#![cfg_attr(not(feature = "tower"), doc = "```ignore")]
//! use std::net::SocketAddr;
//!
//! use axum::{Router, routing::get};
//! use roomer_tokio::{Server, mount, shutdown_signal};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let rooms = Server::builder().max_connections_per_address(100).build()?;
//! let stats = rooms.clone();
//! let app = Router::new()
//!     .route("/stats", get(async move || format!("{:?}", stats.stats())))
//!     .route_service("/ws", mount(rooms.clone()))
//!     .into_make_service_with_connect_info::<SocketAddr>();
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! axum::serve(listener, app).with_graceful_shutdown(shutdown_signal()).await?;
//! // axum lets go of upgraded connections; the rooms close them with 1001.
//! rooms.drain().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Payloads as JSON
//!
//! The feature `json` reads and writes them by serde; what is no such JSON is an error that says
//! why, for [`Builder::on_error`].
#![cfg_attr(feature = "json", doc = "```")]
#![cfg_attr(not(feature = "json"), doc = "```ignore")]
//! use roomer_tokio::{Server, json};
//!
//! let server = Server::builder()
//!     .on("add", |conn, message| {
//!         let (a, b): (i64, i64) = message.json()?;
//!         conn.send_to_client(message.src, "sum", &json(&(a + b))?);
//!         Ok(())
//!     })
//!     .build()?;
//! # Ok::<(), roomer_tokio::BuildError>(())
//! ```
//!
//! # Seeing what happens
//!
//! [`Server::stats`] counts everything; with the feature `prometheus` it is
//! `server.stats().to_prometheus()` that a scrape is answered with. With the feature `tracing`, a
//! subscriber hears, under the target `roomer`: at `WARN` of failing handlers, of a listener that
//! fails, of a spent memory budget, and of what the operator should look at, such as a page whose
//! origin is refused; at `INFO` of laggards, drains and shutdowns; at `DEBUG` of each connection's
//! begin and end, and of refused handshakes. Never of payloads, rooms or tokens. Without
//! `tracing`, [`Builder::on_warning`] hears what the operator should look at.
//! Handlers and rules run in their connection's span, `connection`, with its id and address.
//!
//! # TLS, and other streams
//!
//! [`serve`] takes a TCP listener, a Unix one, or, with the feature `tls`, TLS over TCP by
//! [rustls](https://docs.rs/rustls). The TLS handshake is a part of the connection's, under the same
//! time limit.
#![cfg_attr(feature = "tls", doc = "```no_run")]
#![cfg_attr(not(feature = "tls"), doc = "```ignore")]
//! use roomer_tokio::rustls::ServerConfig;
//! use roomer_tokio::rustls::pki_types::pem::PemObject;
//! use roomer_tokio::rustls::pki_types::{CertificateDer, PrivateKeyDer};
//! use roomer_tokio::{Server, serve, tls};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let chain = CertificateDer::pem_file_iter("cert.pem")?.collect::<Result<_, _>>()?;
//! let key = PrivateKeyDer::from_pem_file("key.pem")?;
//! let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8443").await?;
//! serve(tls(listener, config), Server::builder().build()?).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`connect`] takes any other stream: a pipe, what is left after an upgrade, TLS of one's own.
//!
//! # Behind a proxy
//!
//! [`Builder::trust_proxy`] says whose `X-Forwarded-For` to believe, so that [`Request::peer`] is the
//! client's address.
//!
//! # Tests
//!
//! The feature `testkit` runs your handlers, rules and hooks in the real server, with scripted
//! clients and no socket: in virtual time, in an order that a seed decides, with tokio's paused
//! clock where they need tokio. See the module `testkit`.
//!
//! # More
//!
//! Every option is a method of [`Builder`], with its default and the reason for it. And there are
//! pages: what is promised ([`guide::contract`]), what is not there and what to do
//! instead ([`guide::scope`]), how to set it up for many connections and behind
//! proxies ([`guide::tuning`]), how to move from the Go original ([`guide::migration`]).
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod guide;
mod listener;
#[cfg(feature = "tower")]
mod mount;
mod signals;
#[cfg(feature = "testkit")]
pub mod testkit;
mod transport;

use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

pub use listener::Listener;
#[cfg(feature = "tower")]
pub use mount::{Mount, mount};
#[cfg(feature = "tls")]
pub use roomer_engine::tls::{TlsListener, rustls, tls};
pub use roomer_engine::{
    AuthResult, Backlog, BuildError, Builder, ByteString, Bytes, Claims, Conn, DisconnectReason,
    DrainReport, HandlerError, HandlerPanic, HandlerResult, IntoHandlerResult, Message,
    OwnedMessage, PacketRef, Rejection, Request, Server, Stats, Upgrade, User, Warning,
    WarningCause, close, code, http, socket,
};
pub use roomer_engine::{ConnId, ParseConnIdError, Presence, RegisterError, RejectedPackets};
use roomer_engine::{Connection, Reader};
#[cfg(feature = "json")]
pub use roomer_engine::{JsonError, json};
pub use signals::shutdown_signal;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How long accepting rests after the system refused to (out of file descriptors, say). The
/// connections that are there go on meanwhile.
const REST: Duration = Duration::from_millis(100);

/// Serves until the task is dropped.
///
/// Raises the process's soft limit of open descriptors to what the server may need
/// ([`max_connections`](Builder::max_connections) and
/// [`max_handshakes`](Builder::max_handshakes)) or to the hard limit, and
/// [warns](Builder::on_warning) when that is too low for `max_connections`.
///
/// # Errors
///
/// `InvalidInput` when an option was chosen that needs clients' addresses and the listener has
/// none (a Unix socket), unless [`trust_proxy("unix")`](Builder::trust_proxy) was called. A failure
/// to accept is waited out.
pub async fn serve(listener: impl Listener, server: Server) -> io::Result<()> {
    serve_until(listener, server, pending::<()>()).await
}

/// Serves until `stop` is ready, then [drains](Server::drain) the server: newcomers are answered
/// 503, all connections are closed with 1001, and it waits, for a bounded time, until they have
/// gone. [`Builder::drain`] sets the pace; [`Server::drain`] tells afterwards what became of them.
///
/// # Errors
///
/// As [`serve`].
pub async fn serve_until(
    listener: impl Listener,
    server: Server,
    stop: impl Future,
) -> io::Result<()> {
    server.start_listening(listener.has_addresses(), listener.is_tls())?;
    let mut staff = helpers(&server);
    let keeper = server.clone();
    staff.spawn(async move { keeper.run_timers(sleep).await });
    tokio::select! {
        _ = stop => {}
        () = accept(&listener, &server, || true) => {}
    }
    tokio::select! {
        _ = server.drain() => {}
        () = accept(&listener, &server, || server.is_live()) => {}
    }
    Ok(())
}

/// Takes connections for as long as they are wanted; never ends.
async fn accept(listener: &impl Listener, server: &Server, is_wanted: impl Fn() -> bool) {
    while is_wanted() {
        match listener.accept(server).await {
            Ok(connection) => drop(tokio::spawn(connection)),
            Err(error) => {
                server.record_accept_error(&error);
                sleep(REST).await;
            }
        }
    }
    pending().await
}

/// Takes in one connection over any stream: TLS, a pipe, whatever an upgrade has left. The HTTP
/// request comes first. `peer` is the address at the other end, if it has one.
///
/// Spawn the future that this returns: it ends when the connection does, and dropping it ends the
/// connection. A task of the runtime keeps the server's time for as long as there are connections.
/// To end them, await [`Server::drain`].
///
/// For TCP [`serve`] is better: a stream has to be locked, a socket has not, and `serve` bounds what
/// the system buffers for a slow reader. To do so here, call [`socket::prepare`] first.
///
/// # Panics
///
/// The future, when it is polled outside a tokio runtime.
pub fn connect<S>(
    stream: S,
    server: &Server,
    peer: Option<SocketAddr>,
) -> impl Future<Output = ()> + Send + 'static + use<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (reader, writer) = transport::share(transport::Futures(stream));
    attended(server.clone(), server.connect(reader, writer, peer))
}

/// Takes in one connection whose request somebody else has read and answered: any framework that
/// gives its stream away after an upgrade. `behind` is what came behind the request, usually
/// nothing. For axum, hyper and tower there is `mount`, of the feature `tower`.
///
/// [`Server::upgrade`] decides about the request. Spawn what this returns, as with [`connect`].
///
/// # Panics
///
/// The future, when it is polled outside a tokio runtime.
pub fn connect_upgraded<S>(
    upgrade: Upgrade,
    stream: S,
    behind: &[u8],
) -> impl Future<Output = ()> + Send + 'static + use<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let server = upgrade.server().clone();
    let (reader, writer) = transport::share(transport::Futures(stream));
    attended(server, upgrade.connect(reader, writer, behind))
}

/// A connection that no [`serve`] keeps time for: its first turn sees to it that somebody does.
fn attended<R: Reader>(server: Server, mut connection: Connection<R>) -> impl Future<Output = ()> {
    let mut newcomer = Some(server);
    poll_fn(move |cx| {
        let time =
            newcomer.take().and_then(|server| Some((server.run_timers_on_demand(sleep)?, server)));
        if let Some((time, server)) = time {
            tokio::spawn(async move {
                let _staff = helpers(&server);
                time.await;
            });
        }
        Pin::new(&mut connection).poll(cx)
    })
}

/// One helper per thread, where there are several.
fn helpers(server: &Server) -> JoinSet<()> {
    let workers = Handle::current().metrics().num_workers();
    let helpers = (0..workers).filter(|_| workers > 1).map(|_| server.clone());
    helpers.map(|server| async move { server.run_flush_worker().await }).collect()
}

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

//! Room servers on [tokio].
//!
//! This crate is the adapter between [`roomer_engine`] and tokio: it accepts, reads, writes and
//! sleeps. The engine implements rooms and rules, and handles slow clients, independently of the
//! runtime.
//!
//! # A server
//!
//! ```no_run
//! use roomer_tokio::{Server, bind, serve_until, shutdown_signal};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let server = Server::builder()
//!         .on("chat", |conn, message| {
//!             conn.send_to_room(message.room, "chat", message.payload);
//!             Ok(())
//!         })
//!         .build()?;
//!     let listener = bind("127.0.0.1:8080").await?;
//!     Ok(serve_until(listener, server, shutdown_signal()).await?)
//! }
//! ```
//!
//! Clients connect to `ws://127.0.0.1:8080/ws` and are immediately members of the room `root`. An
//! event without a handler is broadcast to the room to which it was sent, so a server without any
//! handlers is a working chat.
//!
//! # Authentication
//!
//! [`Builder::authorize`] receives the HTTP request before the upgrade and returns [`Claims`] or a
//! [`Rejection`]. Claims contain the user, the validity of the login, and values of your own types,
//! which handlers, rules and hooks read with [`Conn::extension`]:
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
//!             Ok(Claims::new().user("ann").valid_for(hour).with(Role("admin")))
//!         }
//!         _ => Err(Rejection::unauthorized("token required")),
//!     })
//!     .max_connections_per_user(3)
//!     .on("shout", |conn, message| {
//!         if conn.extension::<Role>().is_some_and(|role| role.0 == "admin") {
//!             conn.send_to_room("root", "shout", message.payload);
//!         }
//!     })
//!     .build()?;
//!
//! // Send to all of ann's connections, from any task or thread:
//! server.user("ann").send("mail", "from bob");
//! # Ok::<(), roomer_tokio::BuildError>(())
//! ```
//!
//! # Members with info
//!
//! Clients of the extended protocol receive not only the id of each member of their rooms, but also
//! the member's user and one JSON value, such as a display name. [`Claims::info`] sets this info
//! for a new connection, [`Conn::set_info`] changes it, and a client may change its own info if
//! [`Builder::may_set_info`] permits it. Changes are delivered in order with the room's messages.
//! Plain clients receive only the ids.
//!
//! ```
//! use roomer_tokio::{Claims, Info, Server};
//!
//! let server = Server::builder()
//!     .authorize(|request| {
//!         let name = request.query("name").unwrap_or_default();
//!         Ok(Claims::new().user(&name).info(Info::string(&name)))
//!     })
//!     .on("status", |conn, message| {
//!         let status = Info::string(message.text()?);
//!         let name = Info::string(conn.user().unwrap_or_default());
//!         conn.set_info(Info::new(&format!(r#"{{"name":{name},"status":{status}}}"#))?)?;
//!         Ok(())
//!     })
//!     .build()?;
//! # Ok::<(), roomer_tokio::BuildError>(())
//! ```
//!
//! # Rules, hooks and the server handle
//!
//! Rules decide what clients may do, and hooks are called for events. An asynchronous handler delays
//! only its own connection. A [`Server`] is a handle that can be used from any task or thread:
//!
//! ```
//! use roomer_tokio::{Presence, Server};
//!
//! # async fn store(_text: &str) -> std::io::Result<()> { Ok(()) }
//! let server = Server::builder()
//!     .presence("root", Presence::Off) // no notices about its members
//!     .may_join(|conn, room| room != "staff" || conn.claims().is_some())
//!     .may_publish(|_, message| message.payload.len() <= 4096)
//!     .on_async("save", |conn, message| async move {
//!         store(message.text()?).await?;
//!         conn.send_to_room(&message.room, "saved", &message.payload);
//!         Ok(())
//!     })
//!     .on_disconnect(|conn, reason| println!("{} disconnected: {reason}", conn.id()))
//!     .build()?;
//!
//! // From any task or thread, for example a handler of an HTTP route:
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
//! # Requests
//!
//! Clients of the extended protocol send requests, which a handler answers with its return value.
//! The server sends requests to clients with [`Conn::request`]. If a handler returns a
//! [`ReplyError`], its text is sent to the client. The texts of other errors are not sent:
//!
//! ```
//! use std::time::Duration;
//!
//! use roomer_tokio::{ReplyError, Server};
//!
//! let server = Server::builder()
//!     .on_request("double", |_, message| {
//!         let number: i32 = message.text()?.parse()?;
//!         let double = number.checked_mul(2).ok_or_else(|| ReplyError::invalid("too large"))?;
//!         Ok(double.to_string())
//!     })
//!     .on_request_async("delete", async |conn, message| {
//!         let limit = Duration::from_secs(30);
//!         let answer = conn.request("confirm", &message.payload, limit).await?;
//!         Ok(if answer.text()? == "yes" { "deleted" } else { "kept" })
//!     })
//!     .build()?;
//! # Ok::<(), roomer_tokio::BuildError>(())
//! ```
//!
//! # Shutdown
//!
//! [`serve_until`] stops when a future completes: [`shutdown_signal`], a channel or, as here, a future
//! that is immediately ready. Each connection then receives its queued messages and is closed with
//! 1001: all connections at the same time, or at the rate set by [`Builder::drain`].
//!
//! ```
//! use roomer_tokio::Server;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder().build()?;
//! let listener = roomer_tokio::bind("127.0.0.1:0").await?;
//! roomer_tokio::serve_until(listener, server.clone(), async {}).await?;
//! assert_eq!(server.stats().connections, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Inside axum or any tower service
//!
//! With the `axum` feature, or `tower` for other frameworks, `mount` turns a server into a service
//! that can be combined with other routes. The service answers the handshake and then owns the
//! connection. Middleware may add [`Claims`] to the request's extensions. You need not start a
//! task: the server's timers run while there are connections.
//!
//! Limits per address and [`Builder::trust_proxy`] need the client's address. The server takes it
//! from a `SocketAddr` in the extensions or, with the `axum` feature, from axum's `ConnectInfo`,
//! which is present if the application is served as below. If one of these options is set and a
//! request has no address, the response is 500, and its body describes the remedy.
#![cfg_attr(feature = "tower", doc = "```no_run")]
#![cfg_attr(not(feature = "tower"), doc = "```ignore")]
//! use std::net::SocketAddr;
//!
//! use axum::{Router, routing::get};
//! use roomer_tokio::{Server, bind, mount, shutdown_signal};
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
//! let listener = bind("127.0.0.1:8080").await?;
//! axum::serve(listener, app).with_graceful_shutdown(shutdown_signal()).await?;
//! // axum does not close upgraded connections; the server closes them with 1001.
//! rooms.drain().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Payloads as JSON
//!
//! With the `json` feature, serde serializes and deserializes payloads. A payload that cannot be
//! deserialized causes an error with the reason, which is reported to [`Builder::on_error`].
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
//! # Clients
//!
//! The `client` feature provides clients that connect to room servers, and that reconnect and rejoin
//! their rooms automatically; see the module `client`.
//!
//! # Metrics and logs
//!
//! [`Server::stats`] returns all counters. With the `prometheus` feature,
//! `server.stats().to_prometheus()` is the response to a scrape. With the `tracing` feature, the server
//! emits events with the target `roomer`, which never contain payloads, room names or tokens:
//!
//! | level | events |
//! |---|---|
//! | `WARN` | failing handlers, a failing listener, an exhausted memory budget, and problems that need an operator's attention, such as a rejected origin |
//! | `INFO` | slow clients, drains, shutdowns |
//! | `DEBUG` | the start and the end of each connection, rejected handshakes |
//!
//! Handlers and rules run in their connection's span, `connection`, which contains the connection's
//! id and address. Without `tracing`, [`Builder::on_warning`] receives the problems that need an
//! operator's attention.
//!
//! # Several machines
//!
//! Servers with the same cluster name at one broker share their rooms ([`Builder::cluster`]). The
//! broker is NATS with the `nats` feature, and Redis or Valkey with `redis`. The
//! [`guide::cluster`] page describes the guarantees and the metrics to monitor.
#![cfg_attr(feature = "nats", doc = "```no_run")]
#![cfg_attr(not(feature = "nats"), doc = "```ignore")]
//! use roomer_tokio::{Cluster, Server, cluster};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder().cluster(Cluster::named("chat")).build()?;
//! tokio::spawn(cluster(server.clone(), "nats://127.0.0.1:4222".parse()?));
//! # Ok(())
//! # }
//! ```
//!
//! # TLS and other streams
//!
//! [`serve`](fn@serve) accepts connections from a TCP listener, a Unix listener or, with the `tls`
//! feature, TLS over TCP using [rustls](https://docs.rs/rustls). One timeout covers the TLS handshake
//! and the HTTP handshake.
#![cfg_attr(feature = "tls", doc = "```no_run")]
#![cfg_attr(not(feature = "tls"), doc = "```ignore")]
//! use roomer_tokio::{Server, bind, serve_until, shutdown_signal, tls, tls_config};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = tls_config("cert.pem", "key.pem")?;
//! let listener = bind("127.0.0.1:8443").await?;
//! let server = Server::builder().build()?;
//! serve_until(tls(listener, config), server, shutdown_signal()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`connect`] serves any other stream: a pipe, another TLS implementation, or an upgraded
//! connection's stream.
//!
//! # Behind a proxy
//!
//! [`Builder::trust_proxy`] sets the proxies whose `X-Forwarded-For` is trusted, so that
//! [`HandshakeRequest::peer`] returns the client's address.
//!
//! # Tests
//!
//! With the `testkit` feature, your handlers, rules and hooks run in the real server with scripted
//! clients and without sockets, in virtual time and in an order that depends only on a seed. If
//! they need tokio, they run with tokio's paused clock. See the `testkit` module.
//!
//! # Further reading
//!
//! Every option is a method of [`Builder`], documented with its default and the reason for it. The
//! guide has five pages: the guarantees ([`guide::contract`]), what roomer does not do and what to use
//! instead ([`guide::scope`]), rooms on several machines ([`guide::cluster`]), many connections and
//! proxies ([`guide::tuning`]), and migration from the Go original ([`guide::migration`]).
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bind;
#[cfg(feature = "client")]
pub mod client;
#[cfg(any(feature = "nats", feature = "redis"))]
mod cluster;
#[cfg(any(feature = "client", feature = "nats", feature = "redis"))]
mod dial;
pub mod guide;
mod listener;
#[cfg(feature = "tower")]
mod mount;
mod serve;
mod signals;
#[cfg(feature = "testkit")]
pub mod testkit;
mod transport;

pub use bind::bind;
#[cfg(any(feature = "nats", feature = "redis"))]
pub use cluster::{broker_carrier, cluster};
pub use listener::Listener;
#[cfg(feature = "tower")]
pub use mount::{Mount, mount};
#[cfg(any(feature = "nats", feature = "redis"))]
pub use roomer_engine::cluster::{BrokerAddress, ParseBrokerAddressError};
pub use roomer_engine::cluster::{
    Carrier, CarrierEvent, Gap, GoneReason, Loss, NodeId, ParsePrefixError, PeerEvent, PeerInfo,
    PeerState, Subject, Subjects,
};
#[cfg(feature = "tls")]
pub use roomer_engine::tls::{TlsFileError, TlsListener, rustls, tls, tls_config};
pub use roomer_engine::{
    AuthResult, Backlog, BindError, BuildError, Builder, ByteString, Bytes, Claims, ClaimsIter,
    Cluster, ClusterInfo, ClusterStats, Conn, ConnId, DisconnectReason, DrainReport, ErrorCode,
    HandlerError, HandlerPanic, HandlerResult, HandshakeRequest, History, HistoryStats, Info,
    InfoTooLong, IntoHandlerResult, IntoReply, InvalidInfo, Message, Order, OwnedMessage,
    PacketRef, ParseConnIdError, PastMessage, Presence, RefusedSessions, RegisterError,
    RejectedPackets, Rejection, ReleasedSessions, ReplyError, RequestError, RequestFuture, Server,
    SessionStats, Stats, Upgrade, User, Warning, WarningReason, close, code, http, socket,
};
#[cfg(feature = "json")]
pub use roomer_engine::{Json, JsonError, json};
pub use serve::{connect, connect_upgraded, serve, serve_until};
pub use signals::shutdown_signal;

#[cfg(all(doctest, feature = "client", feature = "testkit"))]
#[doc = include_str!("../README.md")]
struct Readme;

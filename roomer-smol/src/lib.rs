//! Room servers on [smol].
//!
//! This crate is the adapter between [`roomer_engine`] and smol: it accepts, reads, writes and
//! sleeps. The engine implements rooms and rules, and handles slow clients, independently of the
//! runtime.
//!
//! # A server
//!
//! ```no_run
//! use roomer_smol::{Server, bind, serve_until, shutdown_signal};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     smol::block_on(async {
//!         let server = Server::builder()
//!             .on("chat", |conn, message| {
//!                 conn.send_to_room(message.room, "chat", message.payload);
//!                 Ok(())
//!             })
//!             .build()?;
//!         let listener = bind("127.0.0.1:8080").await?;
//!         Ok(serve_until(listener, server, shutdown_signal()).await?)
//!     })
//! }
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
//! use roomer_smol::{ReplyError, Server};
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
//! # Ok::<(), roomer_smol::BuildError>(())
//! ```
//!
//! # Shutdown
//!
//! [`serve_until`] stops when a future completes: [`shutdown_signal`], a channel or, as here, a future
//! that is immediately ready. Each connection then receives its queued messages and is closed with
//! 1001: all connections at the same time, or at the rate set by [`Builder::drain`].
//!
//! ```
//! use roomer_smol::Server;
//!
//! smol::block_on(async {
//!     let server = Server::builder().build()?;
//!     let listener = roomer_smol::bind("127.0.0.1:0").await?;
//!     roomer_smol::serve_until(listener, server.clone(), async {}).await?;
//!     assert_eq!(server.stats().connections, 0);
//! #   Ok::<(), Box<dyn std::error::Error>>(())
//! })
//! # .unwrap();
//! ```
//!
//! # Threads
//!
//! [`serve`](fn@serve) spawns tasks on smol's global executor, which has one thread unless the
//! environment variable `SMOL_THREADS` sets another number. [`serve_on`] uses your own executor; each
//! thread that runs it serves connections.
//!
//! # Payloads as JSON
//!
//! With the `json` feature, serde serializes and deserializes payloads. A payload that cannot be
//! deserialized causes an error with the reason, which is reported to [`Builder::on_error`].
#![cfg_attr(feature = "json", doc = "```")]
#![cfg_attr(not(feature = "json"), doc = "```ignore")]
//! use roomer_smol::{Server, json};
//!
//! let server = Server::builder()
//!     .on("add", |conn, message| {
//!         let (a, b): (i64, i64) = message.json()?;
//!         conn.send_to_client(message.src, "sum", &json(&(a + b))?);
//!         Ok(())
//!     })
//!     .build()?;
//! # Ok::<(), roomer_smol::BuildError>(())
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
//! [guide](https://docs.rs/roomer-tokio/latest/roomer_tokio/guide/cluster/) describes what clusters
//! guarantee and which metrics to monitor.
#![cfg_attr(feature = "nats", doc = "```no_run")]
#![cfg_attr(not(feature = "nats"), doc = "```ignore")]
//! use roomer_smol::{Cluster, Server, cluster};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder().cluster(Cluster::named("chat")).build()?;
//! smol::spawn(cluster(server.clone(), "nats://127.0.0.1:4222".parse()?)).detach();
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
//! use roomer_smol::{Server, bind, serve_until, shutdown_signal, tls, tls_config};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # smol::block_on(async {
//! let config = tls_config("cert.pem", "key.pem")?;
//! let listener = bind("127.0.0.1:8443").await?;
//! let server = Server::builder().build()?;
//! serve_until(tls(listener, config), server, shutdown_signal()).await?;
//! # Ok(())
//! # })
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
//! clients and without sockets, in virtual time and in an order that depends only on a seed. smol's
//! timers, sockets and `unblock` use separate threads, which a seed cannot order. A handler that
//! waits for one of them therefore fails the test, and the message names the handler. Test such
//! handlers over a real socket.
//!
//! # Further reading
//!
//! Every option is a method of [`Builder`], documented with its default and the reason for it.
//! [`contract`](roomer_engine::contract) describes the guarantees, and
//! [`scope`](roomer_engine::scope) what roomer does not do and what to use instead. The
//! [guide](https://docs.rs/roomer-tokio/latest/roomer_tokio/guide/) in `roomer-tokio` has pages
//! about rooms on several machines, many connections, proxies, and migration from the Go original.
//! They apply here too, except for the parts about tokio.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bind;
#[cfg(feature = "client")]
pub mod client;
#[cfg(any(feature = "nats", feature = "redis"))]
mod cluster;
#[cfg(any(feature = "client", feature = "nats", feature = "redis"))]
mod dial;
mod listener;
mod serve;
mod signals;
mod transport;

pub use bind::bind;
#[cfg(any(feature = "nats", feature = "redis"))]
pub use cluster::{broker_carrier, cluster};
pub use listener::Listener;
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
#[cfg(feature = "testkit")]
pub use roomer_testkit as testkit;
pub use serve::{connect, connect_upgraded, serve, serve_on, serve_until};
pub use signals::shutdown_signal;

#[cfg(all(doctest, feature = "client", feature = "testkit"))]
#[doc = include_str!("../README.md")]
struct Readme;

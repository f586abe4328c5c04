//! Room servers on [smol].
//!
//! This crate knows smol: how to accept, read, write and sleep there. What a room is, who may
//! join and when a slow client is closed it must not know; that lives in [`roomer_engine`], and is
//! the same on every runtime.
//!
//! # A server
//!
//! ```no_run
//! use roomer_smol::{Server, serve_until, shutdown_signal};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     smol::block_on(async {
//!         let server = Server::builder()
//!             .on("chat", |conn, message| {
//!                 conn.send_to_room(message.room, "chat", message.payload);
//!                 Ok(())
//!             })
//!             .build()?;
//!         let listener = smol::net::TcpListener::bind("127.0.0.1:8080").await?;
//!         Ok(serve_until(listener, server, shutdown_signal()).await?)
//!     })
//! }
//! ```
//!
//! # Ending it
//!
//! [`serve_until`] takes a future that says when to stop: [`shutdown_signal`], a channel, here one
//! that is ready at once. Everybody is then closed with 1001, after what they are still owed; all at once,
//! or at the pace of [`Builder::drain`].
//!
//! ```
//! use roomer_smol::Server;
//!
//! smol::block_on(async {
//!     let server = Server::builder().build()?;
//!     let listener = smol::net::TcpListener::bind("127.0.0.1:0").await?;
//!     roomer_smol::serve_until(listener, server.clone(), async {}).await?;
//!     assert_eq!(server.stats().connections, 0);
//! #   Ok::<(), Box<dyn std::error::Error>>(())
//! })
//! # .unwrap();
//! ```
//!
//! # Threads
//!
//! [`serve`] spawns on smol's global executor, which has one thread unless the environment
//! variable `SMOL_THREADS` says otherwise; [`serve_on`] takes an executor of your own, with as many
//! threads as you run it on.
//!
//! # Payloads as JSON
//!
//! The feature `json` reads and writes them by serde; what is no such JSON is an error that says
//! why, for [`Builder::on_error`].
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
//! use roomer_smol::rustls::ServerConfig;
//! use roomer_smol::rustls::pki_types::pem::PemObject;
//! use roomer_smol::rustls::pki_types::{CertificateDer, PrivateKeyDer};
//! use roomer_smol::{Server, serve, tls};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # smol::block_on(async {
//! let chain = CertificateDer::pem_file_iter("cert.pem")?.collect::<Result<_, _>>()?;
//! let key = PrivateKeyDer::from_pem_file("key.pem")?;
//! let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
//! let listener = smol::net::TcpListener::bind("127.0.0.1:8443").await?;
//! serve(tls(listener, config), Server::builder().build()?).await?;
//! # Ok(())
//! # })
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
//! clients and no socket: in virtual time, in an order that a seed decides. smol's timers, its
//! sockets and `unblock` have threads of their own, which no seed decides about: a handler that
//! waits for one fails the test by name. Test such handlers over a real socket.
//!
//! # More
//!
//! Every option is a method of [`Builder`], with its default and the reason for it. What is
//! promised stands in [`contract`](roomer_engine::contract), what is not there, and what to do instead, in
//! [`scope`](roomer_engine::scope). How to set it up for many connections and
//! behind proxies, and how to move from the Go original, is told in `roomer-tokio`'s
//! [guide](https://docs.rs/roomer-tokio/latest/roomer_tokio/guide/): all but its tokio is true here
//! too.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod listener;
mod signals;
mod transport;
#[cfg(feature = "testkit")]
pub use roomer_testkit as testkit;

use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

pub use listener::Listener;
#[cfg(feature = "tls")]
pub use roomer_engine::tls::{TlsListener, rustls, tls};
pub use roomer_engine::{
    AuthResult, Backlog, BuildError, Builder, ByteString, Bytes, Claims, Conn, DisconnectReason,
    DrainReport, HandlerError, HandlerPanic, HandlerResult, IntoHandlerResult, Message,
    OwnedMessage, PacketRef, Rejection, Request, Server, Stats, Upgrade, User, Warning,
    WarningCause, close, code, http, socket,
};
pub use roomer_engine::{ConnId, ParseConnIdError, Presence, RegisterError, RejectedPackets};
use roomer_engine::{Connection, Reader, stream};
#[cfg(feature = "json")]
pub use roomer_engine::{JsonError, json};
pub use signals::shutdown_signal;
use smol::io::{AsyncRead, AsyncWrite};
use smol::{Executor, Task, Timer};

/// How long accepting rests after the system refused to (out of file descriptors, say). The
/// connections that are there go on meanwhile.
const REST: Duration = Duration::from_millis(100);

/// Serves on smol's global executor, for as long as the future is polled.
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

/// Serves on smol's global executor until `stop` is ready, then [drains](Server::drain) the
/// server: newcomers are answered 503, all connections are closed with 1001, and it waits, for a
/// bounded time, until they have gone. [`Builder::drain`] sets the pace; [`Server::drain`] tells
/// afterwards what became of them.
///
/// # Errors
///
/// As [`serve`].
pub async fn serve_until(
    listener: impl Listener,
    server: Server,
    stop: impl Future,
) -> io::Result<()> {
    run(listener, server, stop, Global).await
}

/// As [`serve_until`], on an executor of your own: a `&'static Executor<'static>` or an
/// `Arc<Executor<'static>>`. Somebody has to run it; each thread that does serves connections.
///
/// # Errors
///
/// As [`serve`].
pub async fn serve_on(
    executor: impl Deref<Target = Executor<'static>> + Clone + Send + Sync + 'static,
    listener: impl Listener,
    server: Server,
    stop: impl Future,
) -> io::Result<()> {
    run(listener, server, stop, executor).await
}

/// Takes in one connection over any stream: TLS, a pipe, whatever an upgrade has left. The HTTP
/// request comes first. `peer` is the address at the other end, if it has one.
///
/// Spawn the future that this returns: it ends when the connection does, and dropping it ends the
/// connection. A task of smol's global executor keeps the server's time for as long as there are
/// connections. To end them, await [`Server::drain`].
///
/// For TCP [`serve`] is better: a stream has to be locked, a socket has not, and `serve` bounds what
/// the system buffers for a slow reader. To do so here, call [`socket::prepare`] first.
pub fn connect<S>(
    stream: S,
    server: &Server,
    peer: Option<SocketAddr>,
) -> impl Future<Output = ()> + Send + 'static + use<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (reader, writer) = stream::split(stream);
    attended(server.clone(), server.connect(reader, writer, peer))
}

/// Takes in one connection whose request somebody else has read and answered: any framework that
/// gives its stream away after an upgrade. `behind` is what came behind the request, usually
/// nothing.
///
/// [`Server::upgrade`] decides about the request. Spawn what this returns, as with [`connect`].
pub fn connect_upgraded<S>(
    upgrade: Upgrade,
    stream: S,
    behind: &[u8],
) -> impl Future<Output = ()> + Send + 'static + use<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let server = upgrade.server().clone();
    let (reader, writer) = stream::split(stream);
    attended(server, upgrade.connect(reader, writer, behind))
}

/// A connection that no [`serve`] keeps time for: its first turn sees to it that somebody does.
fn attended<R: Reader>(server: Server, mut connection: Connection<R>) -> impl Future<Output = ()> {
    let mut newcomer = Some(server);
    poll_fn(move |cx| {
        let server = newcomer.take();
        if let Some(time) = server.and_then(|server| server.run_timers_on_demand(Timer::after)) {
            smol::spawn(time).detach();
        }
        Pin::new(&mut connection).poll(cx)
    })
}

async fn run(
    listener: impl Listener,
    server: Server,
    stop: impl Future,
    executor: impl Spawn,
) -> io::Result<()> {
    server.start_listening(listener.has_addresses(), listener.is_tls())?;
    // Each a task of its own: an executor with much to do comes back to the future that it was
    // given to run only after 200 turns of its tasks, and neither newcomers nor the clock can wait
    // for that.
    let keep = server.clone();
    let time = executor.spawn(async move { keep.run_timers(Timer::after).await });
    let helpers: Vec<Task<()>> = (0..available_parallelism().map_or(1, NonZero::get))
        .map(|_| server.clone())
        .map(|server| executor.spawn(async move { server.run_flush_worker().await }))
        .collect();
    let is_stopping = Arc::new(AtomicBool::new(false));
    let accepting = accept(listener, server.clone(), executor.clone(), is_stopping.clone());
    let accepting = executor.spawn(accepting);
    stop.await;
    is_stopping.store(true, Ordering::Relaxed);
    executor.spawn(async move { _ = server.drain().await }).await;
    accepting.cancel().await;
    time.cancel().await;
    drop(helpers);
    Ok(())
}

/// Takes connections, also during a drain, so that they hear of it; never ends.
async fn accept(
    listener: impl Listener,
    server: Server,
    executor: impl Spawn,
    is_stopping: Arc<AtomicBool>,
) {
    while !is_stopping.load(Ordering::Relaxed) || server.is_live() {
        match listener.accept(&server).await {
            Ok(connection) => executor.spawn(connection).detach(),
            Err(error) => {
                server.record_accept_error(&error);
                Timer::after(REST).await;
            }
        }
    }
    pending().await
}

/// Where connections run.
trait Spawn: Clone + Send + Sync + 'static {
    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> Task<()>;
}

/// smol's global executor.
#[derive(Clone)]
struct Global;

impl Spawn for Global {
    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> Task<()> {
        smol::spawn(future)
    }
}

impl<E> Spawn for E
where
    E: Deref<Target = Executor<'static>> + Clone + Send + Sync + 'static,
{
    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> Task<()> {
        Executor::spawn(self, future)
    }
}

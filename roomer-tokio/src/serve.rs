//! Serves listeners and individual streams on tokio.

use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use roomer_engine::Connection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::sleep;

#[cfg(doc)]
use crate::{Builder, socket};
use crate::{Listener, Server, Upgrade, transport};

/// The time to wait after the system failed to accept a connection, for example because no file
/// descriptors are left. Open connections are served in the meantime.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Serves until the future is dropped. The connections then stay open, and their timers, such as
/// pings and timeouts, continue for as long as the runtime runs. [`Server::drain`] closes them.
///
/// Raises the process's soft limit on open descriptors to the number that the server may need
/// ([`max_connections`](Builder::max_connections) plus
/// [`max_handshakes`](Builder::max_handshakes)), or to the hard limit if that is lower.
/// [Warns](Builder::on_warning) if the resulting limit is too low for `max_connections`.
///
/// # Errors
///
/// Returns `InvalidInput` if an option needs client addresses and the listener has none (a Unix
/// socket), unless [`trust_proxy("unix")`](Builder::trust_proxy) was called. A failure to accept a
/// connection is not returned: the server retries after a delay.
pub async fn serve(listener: impl Listener, server: Server) -> io::Result<()> {
    serve_until(listener, server, pending::<()>()).await
}

/// Serves until `stop` completes, then [drains](Server::drain) the server: answers new clients with
/// 503, closes all connections with 1001, and waits for them for a limited time. [`Builder::drain`]
/// sets the rate at which they are closed. Afterwards, [`Server::drain`] returns the report.
///
/// # Errors
///
/// Returns the same errors as [`serve`].
pub async fn serve_until(
    listener: impl Listener,
    server: Server,
    stop: impl Future,
) -> io::Result<()> {
    server.start_listening(listener.has_addresses(), listener.is_tls())?;
    // The set aborts its tasks when it is dropped together with this future.
    let mut background = spawn_flush_workers(&server);
    let timers = server.clone();
    background.spawn(async move { timers.run_timers(sleep).await });
    let runtime = Handle::current();
    let timers_guard = server.guard_timers(sleep, move |server, timers| {
        // The future of this function may be dropped outside the runtime.
        let _runtime = runtime.enter();
        spawn_timers(server, timers);
    });
    // Dropping `accept` loses no connection: tokio's `accept` is cancel safe, and the code after it
    // does not await.
    tokio::select! {
        _ = stop => {}
        () = accept(&listener, &server, || true) => {}
    }
    // Continue to accept during the drain, since new clients must still be rejected with 503.
    tokio::select! {
        _ = server.drain() => {}
        () = accept(&listener, &server, || server.is_live()) => {}
    }
    timers_guard.finish();
    Ok(())
}

/// Accepts connections while `is_accepting` returns true. Never returns.
async fn accept(listener: &impl Listener, server: &Server, is_accepting: impl Fn() -> bool) {
    while is_accepting() {
        match listener.accept(server).await {
            // Detach the connection's task, since connections outlive this loop and are ended by
            // the drain.
            Ok(connection) => drop(tokio::spawn(connection)),
            Err(error) => {
                server.record_accept_error(&error);
                sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
    // Do not return, since that would cancel the concurrent drain.
    pending().await
}

/// Serves one connection over any stream, such as TLS or a pipe, starting with the HTTP request.
/// `peer` is the client's address, if known.
///
/// Spawn the returned future: it completes when the connection ends, and dropping it ends the
/// connection. While there are connections, the runtime also runs a task for the server's timers.
/// To close all connections, await [`Server::drain`].
///
/// Prefer [`serve`] for TCP: it needs no lock around the socket, and limits the bytes that the
/// system buffers for a slow reader. To set the same limit for a stream served by this function,
/// call [`socket::prepare`] first.
///
/// # Panics
///
/// The future panics if it is polled outside a tokio runtime.
pub fn connect<S>(
    stream: S,
    server: &Server,
    peer: Option<SocketAddr>,
) -> impl Future<Output = ()> + Send + 'static + use<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let transport = transport::share(transport::Futures(stream));
    with_timer(server.connect(transport, peer))
}

/// Serves one connection whose HTTP request was read and answered by a framework. `leftover`
/// contains any bytes that the framework has read after the request, usually none. For axum, hyper
/// and tower use `mount` (feature `tower`).
///
/// [`Server::upgrade`] accepts or rejects the request. Spawn the returned future, as with
/// [`connect`].
///
/// # Panics
///
/// The future panics if it is polled outside a tokio runtime.
pub fn connect_upgraded<S>(
    upgrade: Upgrade,
    stream: S,
    leftover: &[u8],
) -> impl Future<Output = ()> + Send + 'static + use<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let transport = transport::share(transport::Futures(stream));
    with_timer(upgrade.connect(transport, leftover))
}

/// Wraps a connection that was not accepted by [`serve`]: its first poll spawns the timer task if
/// none is running.
pub(crate) fn with_timer(connection: Connection) -> impl Future<Output = ()> {
    connection.with_timer(sleep, spawn_timers)
}

fn spawn_timers(server: Server, timers: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(async move {
        // Flush workers never complete. They are dropped with this task, which ends when the server
        // has no connections.
        let _workers = spawn_flush_workers(&server);
        timers.await;
    });
}

/// Spawns one flush worker per thread of a multi-threaded runtime.
fn spawn_flush_workers(server: &Server) -> JoinSet<()> {
    let threads = Handle::current().metrics().num_workers();
    // A single thread cannot share a large flush with others.
    let workers = (0..threads).filter(|_| threads > 1).map(|_| server.clone());
    workers.map(|server| async move { server.run_flush_worker().await }).collect()
}

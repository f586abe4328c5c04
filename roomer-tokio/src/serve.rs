//! Serving a listener, and serving single streams.

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

/// The pause after the system failed to accept, for example because no file descriptor is left.
/// Open connections are served meanwhile.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Serves until the future is dropped.
///
/// Raises the process's soft limit of open descriptors to what the server may need
/// ([`max_connections`](Builder::max_connections) and
/// [`max_handshakes`](Builder::max_handshakes)) or to the hard limit, and
/// [warns](Builder::on_warning) if that is too low for `max_connections`.
///
/// # Errors
///
/// Returns `InvalidInput` if a configured option needs the addresses of clients and the listener has
/// none (a Unix socket), unless [`trust_proxy("unix")`](Builder::trust_proxy) was called. A failure to
/// accept is not returned: the server accepts again after a pause.
pub async fn serve(listener: impl Listener, server: Server) -> io::Result<()> {
    serve_until(listener, server, pending::<()>()).await
}

/// Serves until `stop` completes, then [drains](Server::drain) the server: answers new clients with
/// 503, closes all connections with 1001, and waits for them for a bounded time.
/// [`Builder::drain`] sets the rate; [`Server::drain`] returns the report afterwards.
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
    // The set ends its tasks when it is dropped, with this future.
    let mut background = spawn_flush_workers(&server);
    let timers = server.clone();
    background.spawn(async move { timers.run_timers(sleep).await });
    // Ending `accept` loses no connection: tokio's is cancel safe, and what follows it does not
    // wait.
    tokio::select! {
        _ = stop => {}
        () = accept(&listener, &server, || true) => {}
    }
    // During a drain new clients still have to be rejected with 503.
    tokio::select! {
        _ = server.drain() => {}
        () = accept(&listener, &server, || server.is_live()) => {}
    }
    Ok(())
}

/// Accepts connections as long as `is_accepting` returns true; never returns.
async fn accept(listener: &impl Listener, server: &Server, is_accepting: impl Fn() -> bool) {
    while is_accepting() {
        match listener.accept(server).await {
            // Detached: a drain ends it, not the end of this loop.
            Ok(connection) => drop(tokio::spawn(connection)),
            Err(error) => {
                server.record_accept_error(&error);
                sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
    // A future that ended here would end the drain beside it.
    pending().await
}

/// Serves one connection over any stream, for example TLS or a pipe, from the HTTP request on.
/// `peer` is the address of the client, if there is one.
///
/// Spawn the returned future: it completes when the connection ends, and dropping it ends the
/// connection. The runtime runs a task for the server's timers as long as there are connections. To
/// close all of them, await [`Server::drain`].
///
/// Prefer [`serve`] for TCP: it needs no lock around the socket, and it bounds what the system buffers
/// for a slow reader. To have that bound here, call [`socket::prepare`] first.
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

/// Serves one connection whose HTTP request a framework has read and answered. `leftover` is what the
/// framework has read after the request, usually nothing. For axum, hyper and tower use `mount`, of
/// the feature `tower`.
///
/// [`Server::upgrade`] decides about the request. Spawn the returned future, as with [`connect`].
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

/// Wraps a connection outside [`serve`]: its first poll spawns the timer task if none is running.
pub(crate) fn with_timer(connection: Connection) -> impl Future<Output = ()> {
    connection.with_timer(sleep, |server, timers| {
        tokio::spawn(async move {
            // Dropped with this task, once the server has no connection: a worker never ends by
            // itself.
            let _workers = spawn_flush_workers(&server);
            timers.await;
        });
    })
}

/// Spawns one flush worker per thread, if the runtime has several.
fn spawn_flush_workers(server: &Server) -> JoinSet<()> {
    let threads = Handle::current().metrics().num_workers();
    // A single thread has no other to share a large flush with.
    let workers = (0..threads).filter(|_| threads > 1).map(|_| server.clone());
    workers.map(|server| async move { server.run_flush_worker().await }).collect()
}

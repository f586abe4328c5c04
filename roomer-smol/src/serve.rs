//! Serves listeners and individual streams on smol.

use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use roomer_engine::{Connection, stream};
use smol::io::{AsyncRead, AsyncWrite};
use smol::{Executor, Task, Timer};

#[cfg(doc)]
use crate::{Builder, socket};
use crate::{Listener, Server, Upgrade};

/// The time to wait after the system failed to accept a connection, for example because no file
/// descriptors are left. Open connections are served in the meantime.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Serves on smol's global executor until the future is dropped. The connections then stay open, and
/// their timers, such as pings and timeouts, continue. [`Server::drain`] closes them.
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

/// Serves on smol's global executor until `stop` completes, then [drains](Server::drain) the
/// server: answers new clients with 503, closes all connections with 1001, and waits for them for a
/// limited time. [`Builder::drain`] sets the rate at which they are closed. Afterwards,
/// [`Server::drain`] returns the report.
///
/// # Errors
///
/// Returns the same errors as [`serve`].
pub async fn serve_until(
    listener: impl Listener,
    server: Server,
    stop: impl Future,
) -> io::Result<()> {
    run(listener, server, stop, Global).await
}

/// Like [`serve_until`], on your own executor: a `&'static Executor<'static>` or an
/// `Arc<Executor<'static>>`. Your own threads must run the executor, and each of them serves
/// connections.
///
/// # Errors
///
/// Returns the same errors as [`serve`].
pub async fn serve_on(
    executor: impl Deref<Target = Executor<'static>> + Clone + Send + Sync + 'static,
    listener: impl Listener,
    server: Server,
    stop: impl Future,
) -> io::Result<()> {
    run(listener, server, stop, executor).await
}

/// Serves one connection over any stream, such as TLS or a pipe, starting with the HTTP request.
/// `peer` is the client's address, if known.
///
/// Spawn the returned future: it completes when the connection ends, and dropping it ends the
/// connection. While there are connections, smol's global executor also runs a task for the
/// server's timers. To close all connections, await [`Server::drain`].
///
/// Prefer [`serve`] for TCP: it needs no lock around the socket, and limits the bytes that the
/// system buffers for a slow reader. To set the same limit for a stream served by this function,
/// call [`socket::prepare`] first.
pub fn connect<S>(
    stream: S,
    server: &Server,
    peer: Option<SocketAddr>,
) -> impl Future<Output = ()> + Send + 'static + use<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let transport = stream::share(stream);
    with_timer(server.connect(transport, peer))
}

/// Serves one connection whose HTTP request was read and answered by a framework. `leftover`
/// contains any bytes that the framework has read after the request, usually none.
///
/// [`Server::upgrade`] accepts or rejects the request. Spawn the returned future, as with
/// [`connect`].
pub fn connect_upgraded<S>(
    upgrade: Upgrade,
    stream: S,
    leftover: &[u8],
) -> impl Future<Output = ()> + Send + 'static + use<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let transport = stream::share(stream);
    with_timer(upgrade.connect(transport, leftover))
}

/// Wraps a connection that was not accepted by [`serve`]: its first poll spawns the timer task if
/// none is running.
fn with_timer(connection: Connection) -> impl Future<Output = ()> {
    connection.with_timer(Timer::after, |_, timers| smol::spawn(timers).detach())
}

async fn run(
    listener: impl Listener,
    server: Server,
    stop: impl Future,
    executor: impl Spawn,
) -> io::Result<()> {
    server.start_listening(listener.has_addresses(), listener.is_tls())?;
    // Run each part as a separate task. A busy executor polls the future passed to `run` only once
    // in 200 polls of its tasks, which is too late for new clients and timers.
    let timers = server.clone();
    let timers = executor.spawn(async move { timers.run_timers(Timer::after).await });
    let spawner = executor.clone();
    let timers_guard =
        server.guard_timers(Timer::after, move |_, timers| spawner.spawn(timers).detach());
    let state = Arc::new(State::default());
    // This is dropped before the guard, so that the flag is set before the guard starts the timers.
    let _mark = DropMark(state.clone());
    // An executor does not report how many threads run it, so there may be more workers than
    // threads.
    let workers: Vec<Task<()>> = (0..available_parallelism().map_or(1, NonZero::get))
        .map(|_| server.clone())
        .map(|server| executor.spawn(async move { server.run_flush_worker().await }))
        .collect();
    let accepting = accept(listener, server.clone(), executor.clone(), state.clone());
    let accepting = executor.spawn(accepting);
    stop.await;
    // Connections are accepted during the drain too, for as long as the server is live.
    state.is_stopping.store(true, Ordering::Relaxed);
    // Run the drain in a separate task, for the same reason as above.
    executor.spawn(async move { _ = server.drain().await }).await;
    accepting.cancel().await;
    // Cancel the timers after the drain, which needs them while it waits.
    timers.cancel().await;
    timers_guard.finish();
    // A smol task is cancelled when its handle is dropped.
    drop(workers);
    Ok(())
}

/// The state that the future of [`run`] shares with the task that accepts connections.
#[derive(Default)]
struct State {
    is_stopping: AtomicBool,
    /// True once the future has been dropped. Its tasks may then still be in their last poll.
    is_dropped: AtomicBool,
}

/// Sets [`State::is_dropped`] when it is dropped.
struct DropMark(Arc<State>);

impl Drop for DropMark {
    fn drop(&mut self) {
        self.0.is_dropped.store(true, Ordering::SeqCst);
    }
}

/// Accepts connections, and never returns. It continues during a drain, since new clients must still
/// be rejected with 503.
async fn accept(listener: impl Listener, server: Server, executor: impl Spawn, state: Arc<State>) {
    while !state.is_stopping.load(Ordering::Relaxed) || server.is_live() {
        match listener.accept(&server).await {
            // Detach the connection's task, since connections outlive this task and are ended by
            // the drain.
            Ok(connection) => {
                executor.spawn(connection).detach();
                // Another thread may have dropped the future of `run` during this poll. The timers
                // that it spawned may have ended before they could see this connection.
                if state.is_dropped.load(Ordering::SeqCst)
                    && let Some(timers) = server.run_timers_on_demand(Timer::after)
                {
                    executor.spawn(timers).detach();
                }
            }
            Err(error) => {
                server.record_accept_error(&error);
                Timer::after(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
    // Never return: the caller cancels this task after the drain.
    pending().await
}

/// An executor: smol's global one, or the application's own.
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

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::task::{Context, Waker};
    use std::thread;

    use smol::Async;

    use super::*;
    use crate::listener::Accept;

    /// A listener whose first poll accepts a connection only when the test permits it.
    struct Paused(Mutex<Option<Next>>);

    struct Next {
        stream: UnixStream,
        begin: Sender<()>,
        permitted: Receiver<()>,
    }

    impl Accept for Paused {
        async fn accept(
            &self,
            server: &Server,
        ) -> io::Result<impl Future<Output = ()> + Send + 'static> {
            let next = self.0.lock().unwrap().take();
            let Some(Next { stream, begin, permitted }) = next else { return pending().await };
            begin.send(()).unwrap();
            permitted.recv().unwrap();
            Ok(server.connect(stream::share(Async::new(stream)?), None))
        }
    }

    #[test]
    fn connection_accepted_during_drop_keeps_timers() {
        let server = Server::builder().handshake_timeout(Duration::from_millis(100));
        let server = server.build().unwrap();
        let (mut client, stream) = UnixStream::pair().unwrap();
        // If the connection has no timers, the test must fail.
        client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let ((begin, begun), (permit, permitted)) = (channel(), channel());
        let listener = Paused(Mutex::new(Some(Next { stream, begin, permitted })));
        let executor = Arc::new(Executor::new());
        let mut serving = Box::pin(serve_on(executor.clone(), listener, server, pending::<()>()));
        assert!(serving.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let (stop, stopped) = smol::channel::bounded::<()>(1);
        let runner = executor.clone();
        let runner = thread::spawn(move || smol::block_on(runner.run(stopped.recv())));
        begun.recv().unwrap();
        drop(serving);
        // Run the timers that the drop has spawned. They end, since there is no connection yet.
        while executor.try_tick() {}
        permit.send(()).unwrap();
        client.write_all(b"GET /ws HTTP/1.1\r\nHost: ").unwrap();
        let mut answer = [0; 12];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 408");
        drop(stop);
        assert!(runner.join().unwrap().is_err());
    }
}

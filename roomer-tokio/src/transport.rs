//! The engine's transport over tokio's TCP streams and over any other stream.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use roomer_engine::{Transport, socket, stream};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop::unconstrained;

/// A TCP socket. Any task can write to it without a lock.
pub(crate) struct Socket(TcpStream);

impl Socket {
    pub(crate) fn new(stream: TcpStream) -> Socket {
        socket::prepare(&stream);
        Socket(stream)
    }
}

/// True on systems known to report only new readiness (edge-triggered epoll and kqueue). On these,
/// a read that does not fill its buffer has emptied the socket, so the next read would return no
/// bytes. tokio's own reads follow the same rule.
const EMPTIES: bool =
    cfg!(any(target_os = "linux", target_os = "android", target_vendor = "apple"));

/// True on systems where [`socket::write`] is cheaper than tokio's write, since it does not call the
/// C library.
const IS_WRITE_CHEAPER: bool = cfg!(any(target_os = "linux", target_os = "android"));

impl Transport for Socket {
    // This does not use tokio's read methods, which need exclusive access to the stream.
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            let mut partial = None;
            let result = self.0.try_io(Interest::READABLE, || {
                let size = socket::read(&self.0, buf)?;
                if EMPTIES && 0 < size && size < buf.len() {
                    partial = Some(size);
                    // This error makes `try_io` clear tokio's cached readiness.
                    return Err(ErrorKind::WouldBlock.into());
                }
                Ok(size)
            });
            match (partial, result) {
                (Some(size), _) => return Poll::Ready(Ok(size)),
                (None, Err(error)) if error.kind() == ErrorKind::WouldBlock => {}
                (None, result) => return Poll::Ready(result),
            }
        }
    }

    fn yield_now(&self, cx: &mut Context<'_>) {
        yield_now(cx);
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let write = || socket::write(&self.0, &[IoSlice::new(bytes)]);
        match IS_WRITE_CHEAPER {
            true => self.0.try_io(Interest::WRITABLE, write),
            false => self.0.try_write(bytes),
        }
    }

    fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(pieces)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_write_ready(cx)
    }

    fn shutdown(&self) {
        socket::shutdown(&self.0);
    }

    fn prepare_final_write(&self) {
        socket::prepare_final_write(&self.0);
    }

    fn try_final_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        // Bypass tokio's cached readiness: the socket's send limit has just been raised, but tokio
        // still considers the socket full.
        socket::write(&self.0, pieces)
    }
}

/// Yields with tokio's own `yield_now`, after which tokio polls the sockets first. While tasks are
/// runnable, tokio polls sockets only occasionally, and a task that wakes itself is always
/// runnable.
fn yield_now(cx: &mut Context<'_>) {
    let yielded = pin!(tokio::task::yield_now()).poll(cx);
    debug_assert!(yielded.is_pending());
}

/// Creates a transport from any other stream. Polling the stream requires exclusive access, so it
/// is behind a lock.
pub(crate) fn share<S>(stream: S) -> impl Transport
where
    S: futures_io::AsyncRead + futures_io::AsyncWrite + Send + Unpin + 'static,
{
    Shared(stream::share(stream))
}

struct Shared<T>(T);

impl<T: Transport> Transport for Shared<T> {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.poll_read(cx, buf)
    }

    fn yield_now(&self, cx: &mut Context<'_>) {
        yield_now(cx);
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(pieces)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_writable(cx)
    }

    fn shutdown(&self) {
        self.0.shutdown();
    }

    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_closed(cx)
    }
}

/// Implements the stream traits of `futures-io` for a tokio stream.
pub(crate) struct Futures<S>(pub(crate) S);

impl<S: AsyncRead + Unpin> futures_io::AsyncRead for Futures<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        let read = Pin::new(&mut self.0).poll_read(cx, &mut buf);
        read.map_ok(|()| buf.filled().len())
    }
}

impl<S: AsyncWrite + Unpin> futures_io::AsyncWrite for Futures<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        without_budget(cx, |cx| Pin::new(&mut self.0).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        without_budget(cx, |cx| Pin::new(&mut self.0).poll_write_vectored(cx, pieces))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        without_budget(cx, |cx| Pin::new(&mut self.0).poll_flush(cx))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        without_budget(cx, |cx| Pin::new(&mut self.0).poll_shutdown(cx))
    }
}

/// Polls without tokio's cooperative budget.
fn without_budget<T>(
    cx: &mut Context<'_>,
    poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    // A task that flushes a large room would exhaust the budget after about a hundred streams, and
    // all remaining streams would appear full.
    pin!(unconstrained(poll_fn(poll))).poll(cx)
}

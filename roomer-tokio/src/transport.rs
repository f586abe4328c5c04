//! Implements the engine's reader and writer for tokio's TCP streams and for any other stream.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use roomer_engine::{Reader, Writer, socket, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::coop::unconstrained;

/// Splits a TCP socket. Any task can write to it without a lock.
pub(crate) fn split(stream: TcpStream) -> (ReadHalf<SocketHalf>, WriteHalf) {
    socket::prepare(&stream);
    let (reader, writer) = stream.into_split();
    let is_last = AtomicBool::new(false);
    (ReadHalf(SocketHalf(reader)), WriteHalf { stream: writer, is_last })
}

/// Splits any other stream. It can only be polled, so its halves share a lock.
pub(crate) fn share<S>(stream: S) -> (impl Reader, impl Writer)
where
    S: futures_io::AsyncRead + futures_io::AsyncWrite + Send + Unpin + 'static,
{
    let (reader, writer) = stream::split(stream);
    (ReadHalf(reader), writer)
}

pub(crate) struct ReadHalf<R>(R);

impl<R: Reader> Reader for ReadHalf<R> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.poll_read(cx, buf)
    }

    fn yield_now(&mut self, cx: &mut Context<'_>) {
        // tokio's own `yield_now` lets it poll the sockets first: while tasks are runnable it polls
        // them only once in a while, and a task that wakes itself is always runnable.
        let yielded = pin!(tokio::task::yield_now()).poll(cx);
        debug_assert!(yielded.is_pending());
    }
}

pub(crate) struct SocketHalf(OwnedReadHalf);

impl Reader for SocketHalf {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        read(&mut self.0, cx, buf)
    }
}

fn read(
    stream: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    buf: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buf = ReadBuf::new(buf);
    let read = Pin::new(stream).poll_read(cx, &mut buf);
    read.map_ok(|()| buf.filled().len())
}

pub(crate) struct WriteHalf {
    stream: OwnedWriteHalf,
    /// True if the next write bypasses tokio's cached readiness: the send limit of the socket has just
    /// been raised, and tokio still considers it full.
    is_last: AtomicBool,
}

impl WriteHalf {
    fn stream(&self) -> &TcpStream {
        self.stream.as_ref()
    }
}

impl Writer for WriteHalf {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.is_last.swap(false, Ordering::Relaxed) {
            true => socket::write(self.stream(), &[IoSlice::new(bytes)]),
            false => self.stream.try_write(bytes),
        }
    }

    fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.is_last.swap(false, Ordering::Relaxed) {
            true => socket::write(self.stream(), pieces),
            false => self.stream.try_write_vectored(pieces),
        }
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_write_ready(cx)
    }

    fn shutdown(&self) {
        socket::shutdown(self.stream());
    }

    fn prepare_final_write(&self) {
        socket::prepare_final_write(self.stream());
        // Relaxed is enough: the engine locks the writer between this and the next write.
        self.is_last.store(true, Ordering::Relaxed);
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
        read(&mut self.0, cx, buf)
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
    // A task that flushes a large room would exhaust it after about a hundred streams, and all
    // further ones would appear full.
    pin!(unconstrained(poll_fn(poll))).poll(cx)
}

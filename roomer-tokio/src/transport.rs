//! A tokio TCP stream as the engine's two halves.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use roomer_hub::server::{Reader, Writer, socket};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

pub(crate) fn split(stream: TcpStream) -> (ReadHalf, WriteHalf) {
    socket::prepare(&stream);
    let (reader, writer) = stream.into_split();
    let is_last = AtomicBool::new(false);
    (ReadHalf(reader), WriteHalf { stream: writer, is_last })
}

pub(crate) struct ReadHalf(OwnedReadHalf);

impl Reader for ReadHalf {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        let read = Pin::new(&mut self.0).poll_read(cx, &mut buf);
        read.map_ok(|()| buf.filled().len())
    }

    /// tokio looks for ready sockets only every so often while tasks are runnable, and a task that
    /// merely wakes itself always is; its own way to yield makes it look.
    fn yield_now(&mut self, cx: &mut Context<'_>) {
        let yielded = pin!(tokio::task::yield_now()).poll(cx);
        debug_assert!(yielded.is_pending());
    }
}

pub(crate) struct WriteHalf {
    stream: OwnedWriteHalf,
    /// The next write goes past tokio's idea of readiness, which a socket that has just been
    /// given more room has not changed yet.
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

    fn last_words(&self) {
        socket::last_words(self.stream());
        self.is_last.store(true, Ordering::Relaxed);
    }
}

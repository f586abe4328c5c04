//! A tokio TCP stream as the engine's two halves.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use roomer_hub::server::{Reader, Writer, socket};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

pub(crate) fn split(stream: TcpStream) -> (ReadHalf, WriteHalf) {
    socket::prepare(&stream);
    let (reader, writer) = stream.into_split();
    (ReadHalf(reader), WriteHalf(writer))
}

pub(crate) struct ReadHalf(OwnedReadHalf);

impl Reader for ReadHalf {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        let read = Pin::new(&mut self.0).poll_read(cx, &mut buf);
        read.map_ok(|()| buf.filled().len())
    }
}

pub(crate) struct WriteHalf(OwnedWriteHalf);

impl Writer for WriteHalf {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(pieces)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_ref().poll_write_ready(cx)
    }

    fn shutdown(&self) {
        socket::shutdown(self.0.as_ref());
    }

    fn last_words(&self) {
        socket::last_words(self.0.as_ref());
    }
}

//! A smol TCP stream as the engine's two halves.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use roomer_hub::server::{Reader, Writer, socket};
use smol::Async;

type Stream = Arc<Async<TcpStream>>;

pub(crate) fn split(stream: smol::net::TcpStream) -> (ReadHalf, WriteHalf) {
    let stream = Stream::from(stream);
    socket::prepare(stream.get_ref());
    (ReadHalf { stream: stream.clone(), is_ready: true }, WriteHalf(stream))
}

pub(crate) struct ReadHalf {
    stream: Stream,
    /// Something may be there. A read that does not fill its buffer has emptied the socket, so
    /// the next one waits first; smol's reactor tells of whatever comes meanwhile.
    is_ready: bool,
}

impl Reader for ReadHalf {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            if self.is_ready {
                match self.stream.get_ref().read(buf) {
                    Ok(size) => {
                        self.is_ready = size == buf.len();
                        return Poll::Ready(Ok(size));
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
                self.is_ready = false;
            }
            ready!(self.stream.poll_readable(cx))?;
            self.is_ready = true;
        }
    }
}

pub(crate) struct WriteHalf(Stream);

impl Writer for WriteHalf {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_ref().write(bytes)
    }

    fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.get_ref().write_vectored(pieces)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_writable(cx)
    }

    fn shutdown(&self) {
        socket::shutdown(self.0.get_ref());
    }

    fn last_words(&self) {
        socket::last_words(self.0.get_ref());
    }
}

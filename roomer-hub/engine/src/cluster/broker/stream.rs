//! The stream to a broker, plain or with TLS, and the protocol state of the connection over it.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
#[cfg(feature = "tls")]
use futures_rustls::client::TlsStream;

use super::connection::BrokerConnection;

/// The maximum number of buffers in one vectored write.
const MAX_SLICES: usize = 32;

pub(super) enum BrokerStream<S> {
    Plain(S),
    /// Boxed, since it is much larger than a plain stream.
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream<S>>),
}

/// An open stream to a broker, and the protocol state of the connection over it.
pub(super) struct OpenConnection<S> {
    pub(super) stream: BrokerStream<S>,
    pub(super) connection: Box<dyn BrokerConnection>,
    /// True if written bytes may still be in the stream's own buffers.
    needs_flush: bool,
    /// True if the write direction is shut down.
    is_closed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> OpenConnection<S> {
    pub(super) fn new(stream: BrokerStream<S>, connection: Box<dyn BrokerConnection>) -> Self {
        OpenConnection { stream, connection, needs_flush: false, is_closed: false }
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            BrokerStream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            #[cfg(feature = "tls")]
            BrokerStream::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }

    /// Writes the connection's queued bytes. Returns `Poll::Ready` when all of them are written.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.connection.has_output() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let count = self.connection.output(&mut slices);
            let written = match &mut self.stream {
                BrokerStream::Plain(stream) => {
                    Pin::new(stream).poll_write_vectored(cx, &slices[..count])
                }
                #[cfg(feature = "tls")]
                BrokerStream::Tls(stream) => {
                    Pin::new(stream).poll_write_vectored(cx, &slices[..count])
                }
            };
            let size = ready!(written)?;
            if size == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.connection.written(size);
            // Flush the stream, since TLS buffers writes.
            self.needs_flush = true;
        }
        if self.needs_flush {
            ready!(match &mut self.stream {
                BrokerStream::Plain(stream) => Pin::new(stream).poll_flush(cx),
                #[cfg(feature = "tls")]
                BrokerStream::Tls(stream) => Pin::new(stream).poll_flush(cx),
            })?;
            self.needs_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes the queued bytes, shuts down the write direction, and reads until the broker has
    /// closed the stream. If the stream were closed with unread bytes, the system would reset the
    /// connection.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<()> {
        if !self.is_closed {
            // After an error, no further bytes can reach the broker.
            if ready!(self.poll_write(cx)).is_err() {
                return Poll::Ready(());
            }
            let closed = ready!(match &mut self.stream {
                BrokerStream::Plain(stream) => Pin::new(stream).poll_close(cx),
                #[cfg(feature = "tls")]
                BrokerStream::Tls(stream) => Pin::new(stream).poll_close(cx),
            });
            if closed.is_err() {
                return Poll::Ready(());
            }
            self.is_closed = true;
        }
        while let Ok(1..) = ready!(self.poll_read(cx, buffer)) {}
        Poll::Ready(())
    }
}

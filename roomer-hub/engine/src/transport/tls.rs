//! TLS with [rustls], for adapters and for applications with their own listeners.
//!
//! The TLS handshake is part of the connection's handshake: it begins with the first read, and the
//! same [timeout](crate::Builder::handshake_timeout) applies.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
pub use futures_rustls::rustls;
use futures_rustls::{Accept, TlsAcceptor, server};

pub use super::certificate::{TlsFileError, tls_config};

/// Wraps a listener so that an adapter's `serve` uses TLS on each of its connections. A TLS
/// handshake does not delay other connections.
///
/// `config` contains the certificate and the rules for client certificates. rustls needs a cryptography
/// [provider](rustls::crypto); the feature enables `ring`. The only ALPN protocol, if any, must be
/// `http/1.1`.
pub fn tls<L>(listener: L, config: impl Into<Arc<rustls::ServerConfig>>) -> TlsListener<L> {
    TlsListener { listener, config: config.into() }
}

/// A listener whose connections use TLS; see [`tls`].
#[derive(Debug)]
#[must_use]
pub struct TlsListener<L> {
    listener: L,
    config: Arc<rustls::ServerConfig>,
}

impl<L> TlsListener<L> {
    /// Returns the wrapped listener.
    pub fn get_ref(&self) -> &L {
        &self.listener
    }

    /// Starts TLS on a connection accepted by the wrapped listener.
    pub fn wrap<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> TlsStream<S> {
        TlsStream::accept(stream, self.config.clone())
    }
}

/// The server side of TLS over a stream. If the client does not use TLS, the first read returns an
/// error.
pub struct TlsStream<S>(State<S>);

enum State<S> {
    /// Boxed, since the state of a handshake is large and short-lived.
    Accepting(Box<Accept<S>>),
    Open(Box<server::TlsStream<S>>),
    Failed,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Creates the server side of TLS. The handshake starts with the first read.
    pub fn accept(stream: S, config: Arc<rustls::ServerConfig>) -> Self {
        TlsStream(State::Accepting(Box::new(TlsAcceptor::from(config).accept(stream))))
    }

    /// Returns the stream, or an error if the handshake has not completed.
    fn open(&mut self) -> io::Result<Pin<&mut server::TlsStream<S>>> {
        match &mut self.0 {
            State::Open(stream) => Ok(Pin::new(&mut **stream)),
            // Before the handshake completes, the engine writes only to reject a socket, which is
            // then closed.
            State::Accepting(_) | State::Failed => Err(ErrorKind::NotConnected.into()),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if let State::Accepting(accept) = &mut self.0 {
            match ready!(Pin::new(&mut **accept).poll(cx)) {
                Ok(stream) => self.0 = State::Open(Box::new(stream)),
                Err(error) => {
                    // A failed handshake must not be polled again.
                    self.0 = State::Failed;
                    return Poll::Ready(Err(error));
                }
            }
        }
        self.open()?.poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.open()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.open()?.poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open()?.poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open()?.poll_close(cx)
    }
}

impl<S> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").finish_non_exhaustive()
    }
}

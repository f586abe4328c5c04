//! TLS by [rustls], for adapters and for those who bring their own listener.
//!
//! The TLS handshake is a part of the connection's own: it happens with the first bytes that are
//! read, under the same [time limit](crate::Builder::handshake_timeout).

use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
pub use futures_rustls::rustls;
use futures_rustls::{Accept, TlsAcceptor, server};

/// TLS on every connection of a listener, by [rustls]: what to give to an adapter's `serve`. The TLS
/// handshake holds up nobody else.
///
/// `config` says which certificate to show and whom to admit. rustls needs a
/// [provider](rustls::crypto) of cryptography; the feature brings `fire_due`. Offer no protocol by ALPN
/// but `http/1.1`.
pub fn tls<L>(listener: L, config: impl Into<Arc<rustls::ServerConfig>>) -> TlsListener<L> {
    TlsListener { listener, config: config.into() }
}

/// A listener that speaks TLS; see [`tls`].
#[derive(Debug)]
#[must_use]
pub struct TlsListener<L> {
    listener: L,
    config: Arc<rustls::ServerConfig>,
}

impl<L> TlsListener<L> {
    /// The listener below.
    pub fn get_ref(&self) -> &L {
        &self.listener
    }

    /// The server's end of TLS on a connection that the listener below has given.
    pub fn wrap<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Tls<S> {
        Tls::accept(stream, self.config.clone())
    }
}

/// The server's end of TLS over a stream. What is no TLS ends in an error at the first read.
pub struct Tls<S>(Stage<S>);

enum Stage<S> {
    /// Boxed: it is large, and soon over.
    Accepting(Box<Accept<S>>),
    Open(Box<server::TlsStream<S>>),
    Failed,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Tls<S> {
    /// Waits for a client's hello once it is read from.
    pub fn accept(stream: S, config: Arc<rustls::ServerConfig>) -> Self {
        Tls(Stage::Accepting(Box::new(TlsAcceptor::from(config).accept(stream))))
    }

    /// The stream, when the handshake is over.
    fn open(&mut self) -> io::Result<Pin<&mut server::TlsStream<S>>> {
        match &mut self.0 {
            Stage::Open(stream) => Ok(Pin::new(&mut **stream)),
            Stage::Accepting(_) | Stage::Failed => Err(ErrorKind::NotConnected.into()),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Tls<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if let Stage::Accepting(accept) = &mut self.0 {
            match ready!(Pin::new(&mut **accept).poll(cx)) {
                Ok(stream) => self.0 = Stage::Open(Box::new(stream)),
                Err(error) => {
                    self.0 = Stage::Failed;
                    return Poll::Ready(Err(error));
                }
            }
        }
        self.open()?.poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Tls<S> {
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

impl<S> fmt::Debug for Tls<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

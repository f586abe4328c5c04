//! The interface between the engine and a runtime: one connection's byte stream.

pub(crate) mod bind;
#[cfg(feature = "tls")]
mod certificate;
pub(crate) mod peer;
#[cfg(not(target_family = "wasm"))]
pub mod socket;
pub mod stream;
#[cfg(feature = "tls")]
pub mod tls;

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

/// The byte stream of one connection, in both directions. Any task may write to it, so that a message
/// needs no task per receiver; the engine ensures that only one does at a time. A value for both directions
/// takes one allocation less per connection than two halves.
pub trait Transport: Send + Sync + 'static {
    /// Reads available bytes into `buf`, which is never empty, and returns their number; 0 at the
    /// end of the stream. If no bytes are available, arranges for the task to be woken. Only the
    /// connection's own task calls it.
    ///
    /// # Errors
    ///
    /// Returns the stream's error, which ends the connection.
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Arranges for the connection's own task to be polled again after other ready tasks, including
    /// those that the runtime has not yet found to be ready.
    fn yield_now(&self, cx: &mut Context<'_>) {
        cx.waker().wake_by_ref();
    }

    /// Writes as many bytes as fit without waiting, and returns their number.
    ///
    /// # Errors
    ///
    /// Returns [`io::ErrorKind::WouldBlock`] if no byte fits. Any other error ends the connection.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Writes as much of several buffers as fits without waiting, as one write where possible, and
    /// returns the number of bytes.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`try_write`](Self::try_write).
    fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Returns ready if a write can make progress; otherwise arranges for the task to be woken. Only
    /// the connection's own task calls it.
    ///
    /// # Errors
    ///
    /// Returns the stream's error, which ends the connection.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Shuts down the writing direction: the peer reads all written bytes, then the end of the stream.
    fn shutdown(&self);

    /// Returns ready if the connection can be dropped without the loss of written bytes. A transport
    /// with buffers of its own shuts down its writing direction first, and arranges for the task to
    /// be woken when it has made progress. Only the connection's own task calls it.
    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Ready(())
    }

    /// Prepares for the last write: a transport that limits its buffer may lift the limit.
    fn prepare_final_write(&self) {}
}

//! The interface that adapters implement: one connection's byte stream.

pub(crate) mod bind;
#[cfg(feature = "tls")]
mod certificate;
pub(crate) mod dial;
pub(crate) mod peer;
#[cfg(not(target_family = "wasm"))]
pub mod socket;
pub mod stream;
#[cfg(feature = "tls")]
pub mod tls;

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

/// One connection's bidirectional byte stream. Any task may write to it, so sending a message
/// requires no wake-up of the receiver's task. The engine ensures that only one task writes at a
/// time. A single value for both directions needs one allocation fewer per connection than two
/// halves would.
pub trait Transport: Send + Sync + 'static {
    /// Reads available bytes into `buf`, which is never empty, and returns their number, or 0 when
    /// the stream has ended. If no bytes are available, registers the task to be woken. Called only
    /// by the connection's own task.
    ///
    /// # Errors
    ///
    /// Returns the stream's error, which ends the connection.
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Schedules the connection's own task to be polled again after other ready tasks. These
    /// include tasks whose sockets have become ready, but whose readiness the runtime has not
    /// polled yet.
    fn yield_now(&self, cx: &mut Context<'_>) {
        cx.waker().wake_by_ref();
    }

    /// Writes as many bytes as fit without blocking, and returns their number.
    ///
    /// # Errors
    ///
    /// Returns [`io::ErrorKind::WouldBlock`] if no byte fits. Any other error ends the connection.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Writes as many bytes of several buffers as fit without blocking, as a single write where
    /// possible, and returns their number.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`try_write`](Self::try_write).
    fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Returns `Poll::Ready` if a write can make progress; otherwise registers the task to be
    /// woken. Called only by the connection's own task.
    ///
    /// # Errors
    ///
    /// Returns the stream's error, which ends the connection.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Shuts down the write direction: the peer reads all written bytes, and then the end of the
    /// stream.
    fn shutdown(&self);

    /// Returns `Poll::Ready` if the connection can be dropped without losing written bytes. A
    /// transport that buffers writes flushes and shuts down its write direction first, and
    /// registers the task to be woken when it has made progress. Called only by the connection's
    /// own task.
    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Ready(())
    }

    /// Prepares for the last write. A transport that limits its write buffer may lift the limit.
    fn prepare_final_write(&self) {}

    /// Writes like [`try_write_vectored`](Self::try_write_vectored). Called for the first write after
    /// [`prepare_final_write`](Self::prepare_final_write): the write must not rely on a cached
    /// observation that the stream was full. A wrapper that forwards `prepare_final_write` must forward
    /// this method too.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`try_write`](Self::try_write).
    fn try_final_write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_write_vectored(bufs)
    }
}

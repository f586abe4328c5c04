//! What a runtime gives the engine: bytes in, bytes out, and an alarm clock.

pub mod socket;
pub mod stream;
#[cfg(feature = "tls")]
pub mod tls;

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

/// The reading half of a connection. Only the connection's own task uses it.
pub trait Reader: Send + Unpin + 'static {
    /// Reads what is there into `buf`, which is never empty. 0 is the end of the stream. When
    /// nothing is there the task is woken once something is.
    ///
    /// # Errors
    ///
    /// What the stream says; the connection is over then.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Has the task polled again once others have had their turn, those that the runtime has not
    /// yet seen to be ready included.
    fn yield_now(&mut self, cx: &mut Context<'_>) {
        cx.waker().wake_by_ref();
    }
}

/// The writing half of a connection. Any task may write, one at a time; the engine sees to that.
pub trait Writer: Send + Sync + 'static {
    /// Writes what fits without waiting.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when nothing fits; any other error ends the connection.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Writes what fits of several pieces without waiting, as one write where possible.
    ///
    /// # Errors
    ///
    /// As [`try_write`](Self::try_write).
    fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Whether something fits. When not, the task is woken once it does. Only the connection's
    /// own task asks.
    ///
    /// # Errors
    ///
    /// What the stream says; the connection is over then.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the writing direction: the peer reads what was written, then the end.
    fn shutdown(&self);

    /// Whether nothing is lost when the connection is dropped now, everything being written. A
    /// transport with buffers of its own first ends its writing direction, and has the task woken
    /// when it has got further. Only the connection's own task asks.
    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Ready(())
    }

    /// The next write is the last. Whatever keeps the transport from buffering much may give way.
    fn prepare_final_write(&self) {}
}

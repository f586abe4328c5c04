//! An adapter that turns any byte stream, such as TLS, a Unix socket or a pipe, into a transport.
//!
//! Any task may write to a transport, whereas a stream is polled and stores only one waker. The
//! stream is therefore behind a lock, and is always polled with the same waker, which wakes the
//! connection's own task. Whichever task writes, the connection's own task is woken when the stream
//! is writable again.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};

use futures_io::{AsyncRead, AsyncWrite};

use crate::sync::{Mutex, lock};
use crate::transport::Transport;

/// Converts a stream into a transport.
///
/// Several buffers are written with one vectored write. A stream that accepts only the first buffer
/// of a vectored write receives one write per buffer. Each write is followed by a flush.
pub fn share<S>(stream: S) -> impl Transport
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let owner = Arc::new(OwnerWaker::default());
    let waker = Waker::from(owner.clone());
    let pipe = Pipe { stream, pending: Pending::Nothing };
    Shared { pipe: Mutex::new(pipe), owner, waker }
}

struct Shared<S> {
    pipe: Mutex<Pipe<S>>,
    owner: Arc<OwnerWaker>,
    /// `owner` as a waker, with which the stream is polled.
    waker: Waker,
}

struct Pipe<S> {
    stream: S,
    pending: Pending,
}

/// The flush or close that has been started on the stream and is not complete, if any.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pending {
    Nothing,
    Flush,
    Close,
    Closed,
}

/// The state behind the waker that the stream stores. The waker wakes the connection's own task, if
/// the task has already been polled.
#[derive(Default)]
struct OwnerWaker(Mutex<OwnerState>);

#[derive(Default)]
struct OwnerState {
    /// True if the last write was pending and the stream has not called the waker since.
    is_full: bool,
    task: Option<Waker>,
}

impl Wake for OwnerWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Call the task's waker without holding the lock, since it may immediately poll the task.
        let task = {
            let mut state = lock(&self.0);
            state.is_full = false;
            state.task.clone()
        };
        task.into_iter().for_each(Waker::wake);
    }
}

impl OwnerWaker {
    fn set_full(&self, is_full: bool) {
        lock(&self.0).is_full = is_full;
    }

    /// Registers the connection's own task. Returns `Poll::Ready` unless the stream is full.
    fn register(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = lock(&self.0);
        if !state.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            state.task = Some(cx.waker().clone());
        }
        if state.is_full { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pipe<S> {
    /// Continues a pending flush or close.
    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.pending {
            Pending::Nothing | Pending::Closed => {}
            Pending::Flush => {
                ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
                self.pending = Pending::Nothing;
            }
            Pending::Close => {
                ready!(Pin::new(&mut self.stream).poll_close(cx))?;
                self.pending = Pending::Closed;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.pending != Pending::Closed {
            self.pending = Pending::Close;
        }
        self.poll_pending(cx)
    }

    /// Writes until all bytes are accepted or the stream accepts no more. Returns the number of
    /// accepted bytes and the result of the last write.
    fn write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> (usize, Poll<io::Result<()>>) {
        if matches!(self.pending, Pending::Close | Pending::Closed) {
            return (0, Poll::Ready(Err(ErrorKind::BrokenPipe.into())));
        }
        // `offset` bytes of the buffer `next` have already been written.
        let (mut next, mut offset, mut total) = (0, 0, 0);
        while next < bufs.len() {
            let stream = Pin::new(&mut self.stream);
            // Write the rest of a partly written buffer alone, since the caller's slices cannot be
            // advanced.
            let polled = match offset {
                0 => stream.poll_write_vectored(cx, &bufs[next..]),
                _ => stream.poll_write(cx, &bufs[next][offset..]),
            };
            match polled {
                Poll::Ready(Ok(0)) => {
                    return (total, Poll::Ready(Err(ErrorKind::WriteZero.into())));
                }
                Poll::Ready(Ok(size)) => (total, offset) = (total + size, offset + size),
                Poll::Ready(Err(error)) => return (total, Poll::Ready(Err(error))),
                Poll::Pending => return (total, Poll::Pending),
            }
            // The stream may have only buffered the bytes, as a TLS stream does, so they must be
            // flushed.
            self.pending = Pending::Flush;
            while next < bufs.len() && offset >= bufs[next].len() {
                offset -= bufs[next].len();
                next += 1;
            }
        }
        (total, Poll::Ready(Ok(())))
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for Shared<S> {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut pipe = lock(&self.pipe);
        let has_room = self.owner.register(cx).is_ready();
        let mut cx = Context::from_waker(&self.waker);
        // Only the owner continues a pending flush. Do not flush a full stream: the flush may
        // replace the waker that the stream stores for writing, and the next operation is a write
        // anyway.
        if (has_room || pipe.pending != Pending::Flush)
            && let Poll::Ready(Err(error)) = pipe.poll_pending(&mut cx)
        {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut pipe.stream).poll_read(&mut cx, buf)
    }
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write_vectored(&[IoSlice::new(bytes)])
    }

    fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut cx = Context::from_waker(&self.waker);
        let mut pipe = lock(&self.pipe);
        // Set the flag before the attempt so that a wake-up during the attempt is not lost.
        self.owner.set_full(true);
        let (taken, end) = pipe.write(&mut cx, bufs);
        if end.is_ready() {
            self.owner.set_full(false);
            // A flush that stays pending is continued when the owner reads next.
            if let Poll::Ready(Err(error)) = pipe.poll_pending(&mut cx) {
                return Err(error);
            }
        }
        match end {
            Poll::Ready(Err(error)) if error.kind() != ErrorKind::Interrupted => Err(error),
            Poll::Pending if taken == 0 => Err(ErrorKind::WouldBlock.into()),
            // Report the accepted bytes first; the caller receives the error when it writes again.
            _ if taken > 0 => Ok(taken),
            _ => Err(ErrorKind::Interrupted.into()),
        }
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.owner.register(cx).map(Ok)
    }

    fn shutdown(&self) {
        let mut cx = Context::from_waker(&self.waker);
        // If the close stays pending, `poll_closed` continues it.
        let _ = lock(&self.pipe).poll_close(&mut cx);
    }

    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = self.owner.register(cx);
        let mut cx = Context::from_waker(&self.waker);
        // Treat an error as closed, since nothing more can be written.
        lock(&self.pipe).poll_close(&mut cx).map(|_| ())
    }
}

#[cfg(test)]
mod tests;

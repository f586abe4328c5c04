//! Any stream of bytes as the engine's two halves, for adapters: TLS, Unix sockets, pipes.
//!
//! A socket can be written to from any task; a stream is polled, and remembers one task to wake.
//! So both halves share it under a lock and poll it with one waker, which stands for the
//! connection's own task: whoever writes, it is the owner that hears when there is room again.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};

use futures_io::{AsyncRead, AsyncWrite};

use crate::sync::{Mutex, lock};
use crate::transport::{Reader, Writer};

/// The two halves of a stream.
///
/// Where several pieces wait they are offered as one vectored write; a stream that takes only the
/// first at a time gets them one after another. Everything is flushed at once.
pub fn split<S>(stream: S) -> (impl Reader, impl Writer)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(bell.clone());
    let pipe = Pipe { stream, owes: Owes::Nothing };
    let shared = Arc::new(Shared { pipe: Mutex::new(pipe), bell, waker });
    (ReadHalf(shared.clone()), WriteHalf(shared))
}

struct Shared<S> {
    pipe: Mutex<Pipe<S>>,
    bell: Arc<Bell>,
    /// The bell, as the stream sees it.
    waker: Waker,
}

struct Pipe<S> {
    stream: S,
    owes: Owes,
}

/// What the stream is still to do with what it has taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owes {
    Nothing,
    Flush,
    Close,
    Closed,
}

/// What the stream wakes: the connection's own task, which may not have come yet.
#[derive(Default)]
struct Bell(Mutex<Rung>);

#[derive(Default)]
struct Rung {
    /// The stream has had no room, and has said nothing since.
    is_full: bool,
    owner: Option<Waker>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let owner = {
            let mut rung = lock(&self.0);
            rung.is_full = false;
            rung.owner.clone()
        };
        owner.into_iter().for_each(Waker::wake);
    }
}

impl Bell {
    fn set_full(&self, is_full: bool) {
        lock(&self.0).is_full = is_full;
    }

    /// The connection's own task will be woken. Ready unless there is no room.
    fn listen(&self, cx: &Context<'_>) -> Poll<()> {
        let mut rung = lock(&self.0);
        if !rung.owner.as_ref().is_some_and(|owner| owner.will_wake(cx.waker())) {
            rung.owner = Some(cx.waker().clone());
        }
        if rung.is_full { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pipe<S> {
    /// Goes on with what is owed.
    fn settle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.owes {
            Owes::Nothing | Owes::Closed => {}
            Owes::Flush => {
                ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
                self.owes = Owes::Nothing;
            }
            Owes::Close => {
                ready!(Pin::new(&mut self.stream).poll_close(cx))?;
                self.owes = Owes::Closed;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.owes != Owes::Closed {
            self.owes = Owes::Close;
        }
        self.settle(cx)
    }

    /// Writes until all is taken or no more is. How much was, and what came in the way.
    fn write(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> (usize, Poll<io::Result<()>>) {
        if matches!(self.owes, Owes::Close | Owes::Closed) {
            return (0, Poll::Ready(Err(ErrorKind::BrokenPipe.into())));
        }
        let (mut next, mut begun, mut total) = (0, 0, 0);
        while next < pieces.len() {
            let stream = Pin::new(&mut self.stream);
            let polled = match begun {
                0 => stream.poll_write_vectored(cx, &pieces[next..]),
                _ => stream.poll_write(cx, &pieces[next][begun..]),
            };
            match polled {
                Poll::Ready(Ok(0)) => {
                    return (total, Poll::Ready(Err(ErrorKind::WriteZero.into())));
                }
                Poll::Ready(Ok(size)) => (total, begun) = (total + size, begun + size),
                Poll::Ready(Err(error)) => return (total, Poll::Ready(Err(error))),
                Poll::Pending => return (total, Poll::Pending),
            }
            self.owes = Owes::Flush;
            while next < pieces.len() && begun >= pieces[next].len() {
                begun -= pieces[next].len();
                next += 1;
            }
        }
        (total, Poll::Ready(Ok(())))
    }
}

struct ReadHalf<S>(Arc<Shared<S>>);

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Reader for ReadHalf<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut pipe = lock(&self.0.pipe);
        let has_room = self.0.bell.listen(cx).is_ready();
        let mut cx = Context::from_waker(&self.0.waker);
        // Nobody else comes back for what could not be flushed. A full stream is left alone: it
        // may forget whom to wake for writing when a flush comes between, and wants to be written
        // to next anyway.
        if (has_room || pipe.owes != Owes::Flush)
            && let Poll::Ready(Err(error)) = pipe.settle(&mut cx)
        {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut pipe.stream).poll_read(&mut cx, buf)
    }
}

struct WriteHalf<S>(Arc<Shared<S>>);

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Writer for WriteHalf<S> {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write_vectored(&[IoSlice::new(bytes)])
    }

    fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut cx = Context::from_waker(&self.0.waker);
        let mut pipe = lock(&self.0.pipe);
        // Before the attempt, so that a wake-up which follows it counts.
        self.0.bell.set_full(true);
        let (taken, end) = pipe.write(&mut cx, pieces);
        if end.is_ready() {
            self.0.bell.set_full(false);
            // What cannot be flushed now will be when the owner next reads.
            if let Poll::Ready(Err(error)) = pipe.settle(&mut cx) {
                return Err(error);
            }
        }
        match end {
            Poll::Ready(Err(error)) if error.kind() != ErrorKind::Interrupted => Err(error),
            Poll::Pending if taken == 0 => Err(ErrorKind::WouldBlock.into()),
            _ if taken > 0 => Ok(taken),
            _ => Err(ErrorKind::Interrupted.into()),
        }
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.bell.listen(cx).map(Ok)
    }

    fn shutdown(&self) {
        let mut cx = Context::from_waker(&self.0.waker);
        let _ = lock(&self.0.pipe).close(&mut cx);
    }

    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = self.0.bell.listen(cx);
        let mut cx = Context::from_waker(&self.0.waker);
        lock(&self.0.pipe).close(&mut cx).map(|_| ())
    }
}

#[cfg(test)]
mod tests;

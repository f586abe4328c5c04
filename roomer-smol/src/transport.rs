//! A smol TCP stream as the engine's two halves.
//!
//! Neither half may wait by `Async::poll_readable` or `Async::poll_writable` alone. They do not
//! count an event that the reactor's present turn brings, and each call begins anew: while one
//! thread sleeps in the reactor and others are busy, every event is of the present turn, and the
//! task is woken for ever without being told that its socket is ready.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use roomer_engine::{Reader, Writer, socket};
use smol::Async;

type Stream = Arc<Async<TcpStream>>;
type Wait = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

pub(crate) fn split(stream: smol::net::TcpStream) -> (ReadHalf, WriteHalf) {
    let stream = Stream::from(stream);
    socket::prepare(stream.get_ref());
    let writer = WriteHalf { stream: stream.clone(), wait: Mutex::default() };
    (ReadHalf { stream, is_ready: true }, writer)
}

pub(crate) struct ReadHalf {
    stream: Stream,
    /// Something may be there. A read that does not fill its buffer has emptied the socket, so
    /// the next one waits first; whoever is polled again after that has been woken for it, or
    /// finds out by reading.
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
            }
            self.is_ready = true;
            ready!(self.stream.poll_readable(cx))?;
        }
    }
}

pub(crate) struct WriteHalf {
    stream: Stream,
    /// Present while the socket is full.
    wait: Mutex<Option<Wait>>,
}

impl Writer for WriteHalf {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.get_ref().write(bytes)
    }

    fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream.get_ref().write_vectored(pieces)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // One wait until it is over: it knows which turn of the reactor it began in.
        let mut slot = self.wait.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = slot.get_or_insert_with(|| Box::pin(self.stream.clone().writable_owned()));
        let result = wait.as_mut().poll(cx);
        if result.is_ready() {
            *slot = None;
        }
        result
    }

    fn shutdown(&self) {
        socket::shutdown(self.stream.get_ref());
    }

    fn prepare_final_write(&self) {
        socket::prepare_final_write(self.stream.get_ref());
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Wake, Waker};
    use std::thread::{self, Thread};

    use super::*;

    const ROUNDS: usize = 200;

    /// How often a task may be woken for one event: once too early for the reactor's count of its
    /// turns, and once to good purpose.
    const WAKES: usize = 2;

    struct Unpark {
        thread: Thread,
        woken: AtomicBool,
    }

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.woken.store(true, Ordering::Release);
            self.thread.unpark();
        }
    }

    /// Waits for what `event` brings about, on a thread that leaves the reactor to the reactor's
    /// own, and tells how often it was woken.
    fn wakes<T>(
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
        event: impl FnOnce(),
    ) -> usize {
        let unpark = Arc::new(Unpark { thread: thread::current(), woken: AtomicBool::new(false) });
        let waker = Waker::from(unpark.clone());
        let mut cx = Context::from_waker(&waker);
        assert!(poll(&mut cx).is_pending());
        event();
        for wakes in 1.. {
            while !unpark.woken.swap(false, Ordering::Acquire) {
                thread::park();
            }
            // The reactor's thread goes to sleep again first, as it does while others are busy.
            thread::yield_now();
            if let Poll::Ready(result) = poll(&mut cx) {
                result.unwrap();
                return wakes;
            }
            assert!(wakes < 1000, "woken for nothing, again and again");
        }
        unreachable!()
    }

    fn pair() -> ((ReadHalf, WriteHalf), TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let stream = Async::new(listener.accept().unwrap().0).unwrap();
        (split(stream.into()), peer)
    }

    #[test]
    fn who_is_woken_to_read_reads() {
        let ((mut reader, _writer), mut peer) = pair();
        for _ in 0..ROUNDS {
            let mut buffer = [0; 8];
            let wakes =
                wakes(|cx| reader.poll_read(cx, &mut buffer), || peer.write_all(b"x").unwrap());
            assert!(wakes <= WAKES, "{wakes}");
        }
    }

    #[test]
    fn who_is_woken_to_write_writes() {
        let ((_reader, writer), mut peer) = pair();
        let (piece, mut buffer) = (vec![0; 1 << 20], vec![0; 1 << 20]);
        for _ in 0..ROUNDS {
            let mut queued = 0;
            while let Ok(size) = writer.try_write(&piece) {
                queued += size;
            }
            let wakes = wakes(
                |cx| writer.poll_writable(cx),
                || {
                    while queued > 0 {
                        queued -= peer.read(&mut buffer).unwrap();
                    }
                },
            );
            assert!(wakes <= WAKES, "{wakes}");
        }
    }
}

//! The engine's transport over smol's TCP streams.
//!
//! Neither direction may wait with `Async::poll_readable` or `Async::poll_writable` alone. Both
//! ignore events from the reactor's current tick, and each call starts a new wait. While one thread
//! sleeps in the reactor and the others are busy, every event belongs to the current tick. The task
//! would then be woken repeatedly without observing that its socket is ready.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use roomer_engine::{Transport, socket};
use smol::Async;

type Stream = Arc<Async<TcpStream>>;
type Wait = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

pub(crate) struct Socket {
    stream: Stream,
    /// True if the socket may have data. A read that does not fill its buffer has emptied the
    /// socket, so the next poll waits first. The poll after that wait always reads, and therefore
    /// does not depend on the reactor's ticks.
    is_ready: AtomicBool,
    /// True if bytes were read since the last wait. The reactor may still report the event for
    /// these bytes, and reading again because of this event would cost a system call per message.
    has_read: AtomicBool,
    /// Present while the socket is full. Boxed once more to halve its size, since each connection
    /// has this field.
    wait: Mutex<Option<Box<Wait>>>,
}

impl Socket {
    pub(crate) fn new(stream: smol::net::TcpStream) -> Socket {
        let stream = Stream::from(stream);
        socket::prepare(stream.get_ref());
        let (is_ready, has_read) = (AtomicBool::new(true), AtomicBool::new(false));
        Socket { stream, is_ready, has_read, wait: Mutex::default() }
    }
}

impl Transport for Socket {
    // Only the connection's own task reads, so its polls order the accesses to the flags.
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            if self.is_ready.load(Relaxed) {
                match self.stream.get_ref().read(buf) {
                    Ok(size) => {
                        // If the buffer was filled, bytes may be left in the socket.
                        self.is_ready.store(size == buf.len(), Relaxed);
                        self.has_read.store(true, Relaxed);
                        return Poll::Ready(Ok(size));
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            self.is_ready.store(true, Relaxed);
            let mut readable = self.stream.poll_readable(cx);
            if self.has_read.load(Relaxed) {
                self.has_read.store(false, Relaxed);
                if readable.is_ready() {
                    // If new bytes have arrived, the wait started here completes immediately.
                    readable = self.stream.poll_readable(cx);
                }
            }
            ready!(readable)?;
        }
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.get_ref().write(bytes)
    }

    fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream.get_ref().write_vectored(pieces)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Poll the same wait until it completes, since it stores the reactor's tick in which it
        // began.
        let mut slot = self.wait.lock().unwrap_or_else(PoisonError::into_inner);
        let wait =
            slot.get_or_insert_with(|| Box::new(Box::pin(self.stream.clone().writable_owned())));
        let result = (**wait).as_mut().poll(cx);
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
    use std::sync::atomic::Ordering;
    use std::task::{Wake, Waker};
    use std::thread::{self, Thread};

    use super::*;

    const ROUNDS: usize = 200;

    /// The maximum number of times that an event wakes a task: once in the reactor's current tick,
    /// in which the event is ignored, and once in the next tick.
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

    /// Polls until `event` takes effect, on a thread that does not run the reactor. Returns the
    /// number of times that the task was woken.
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
            // Yield so that the reactor's thread sleeps first, as it does while other threads are
            // busy.
            thread::yield_now();
            if let Poll::Ready(result) = poll(&mut cx) {
                result.unwrap();
                return wakes;
            }
            assert!(wakes < 1000, "woken again and again without readiness");
        }
        unreachable!()
    }

    fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let stream = Async::new(listener.accept().unwrap().0).unwrap();
        (Socket::new(stream.into()), peer)
    }

    #[test]
    fn readable_wake_leads_to_read() {
        let (socket, mut peer) = pair();
        for _ in 0..ROUNDS {
            let mut buffer = [0; 8];
            let wakes =
                wakes(|cx| socket.poll_read(cx, &mut buffer), || peer.write_all(b"x").unwrap());
            assert!(wakes <= WAKES, "{wakes}");
        }
    }

    #[test]
    fn writable_wake_leads_to_write() {
        let (socket, mut peer) = pair();
        let (piece, mut buffer) = (vec![0; 1 << 20], vec![0; 1 << 20]);
        for _ in 0..ROUNDS {
            let mut queued = 0;
            while let Ok(size) = socket.try_write(&piece) {
                queued += size;
            }
            let wakes = wakes(
                |cx| socket.poll_writable(cx),
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

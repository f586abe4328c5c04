//! Tests with a stream whose capacity is controlled by the test.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::transport::stream::*;

#[derive(Default)]
struct State {
    /// The number of bytes that the stream still accepts.
    room: usize,
    accepted: Vec<u8>,
    calls: usize,
    /// Bytes for the transport to read.
    inbox: Vec<u8>,
    /// True while flushes must stay pending.
    is_flush_blocked: bool,
    is_flushed: bool,
    is_closed: bool,
    is_broken: bool,
    /// The number of accepted bytes at which a write is interrupted.
    interrupted_at: Option<usize>,
    reading: Option<Waker>,
    writing: Option<Waker>,
}

#[derive(Clone, Default)]
struct TestStream {
    state: Arc<Mutex<State>>,
    is_vectored: bool,
}

impl TestStream {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = lock(&self.state);
        let result = change(&mut state);
        let wakers = [state.reading.take(), state.writing.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
        result
    }

    fn give_room(&self, room: usize) {
        self.change(|state| state.room += room);
    }

    fn accepted(&self) -> Vec<u8> {
        lock(&self.state).accepted.clone()
    }
}

impl AsyncRead for TestStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.state);
        let size = state.inbox.len().min(buf.len());
        if size == 0 {
            state.reading = Some(cx.waker().clone());
            return Poll::Pending;
        }
        buf[..size].copy_from_slice(&state.inbox[..size]);
        state.inbox.drain(..size);
        Poll::Ready(Ok(size))
    }
}

impl AsyncWrite for TestStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.state);
        state.calls += 1;
        if state.is_broken {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        if state.interrupted_at == Some(state.accepted.len()) {
            state.interrupted_at = None;
            return Poll::Ready(Err(ErrorKind::Interrupted.into()));
        }
        let size = state.room.min(bytes.len());
        if size == 0 {
            state.writing = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.accepted.extend(&bytes[..size]);
        state.room -= size;
        state.is_flushed = false;
        Poll::Ready(Ok(size))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.is_vectored {
            true => {
                let whole: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
                self.poll_write(cx, &whole)
            }
            false => self.poll_write(cx, &bufs[0]),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.state);
        if state.is_flush_blocked {
            state.writing = Some(cx.waker().clone());
            return Poll::Pending;
        }
        // smol's streams drop the waker for writing here too.
        state.writing = None;
        state.is_flushed = true;
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        lock(&self.state).is_closed = true;
        Poll::Ready(Ok(()))
    }
}

/// A task that counts its wake-ups.
#[derive(Default)]
struct Task(AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Task {
    fn waker(self: &Arc<Self>) -> Waker {
        self.clone().into()
    }

    /// Returns the number of wake-ups since the last call.
    fn wake_ups(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

fn is_full(result: io::Result<usize>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn shutdown_ends_reading_and_writing() {
    let stream = TestStream::default();
    stream.give_room(9);
    let transport = share(stream.clone());
    transport.shutdown();
    assert!(lock(&stream.state).is_closed);
    assert_eq!(transport.try_write(b"abc").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn bytes_written_before_interrupt_count() {
    let stream = TestStream::default();
    let transport = share(stream.clone());
    let bufs = [IoSlice::new(b"abc"), IoSlice::new(b"def")];
    stream.change(|state| (state.room, state.interrupted_at) = (9, Some(3)));
    assert_eq!(transport.try_write_vectored(&bufs).unwrap(), 3);
    assert_eq!(transport.try_write_vectored(&bufs[1..]).unwrap(), 3);
    stream.change(|state| state.interrupted_at = Some(6));
    let error = transport.try_write(b"ghi").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert_eq!(transport.try_write(b"ghi").unwrap(), 3);
    assert_eq!(stream.accepted(), b"abcdefghi");
}

#[test]
fn owner_is_woken_after_blocked_write_by_any_task() {
    let stream = TestStream::default();
    let transport = share(stream.clone());
    let owner = Arc::new(Task::default());
    let waker = owner.waker();
    let mut cx = Context::from_waker(&waker);
    assert!(transport.poll_read(&mut cx, &mut [0; 8]).is_pending());
    stream.change(|state| {
        state.room = 3;
        // Change the stream's state without waking the task.
        (state.reading, state.writing) = (None, None);
    });
    // Write from another thread, whose waker is never passed to the stream.
    thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(transport.try_write(b"abcdef").unwrap(), 3);
            assert!(is_full(transport.try_write(b"def")));
        });
    });
    assert!(transport.poll_writable(&mut cx).is_pending());
    assert_eq!(owner.wake_ups(), 0);
    stream.give_room(3);
    assert!(owner.wake_ups() > 0);
    assert!(transport.poll_writable(&mut cx).is_ready());
    assert_eq!(transport.try_write(b"def").unwrap(), 3);
    assert_eq!(stream.accepted(), b"abcdef");
    // The last write was accepted completely, so the stream counts as writable.
    assert!(transport.poll_writable(&mut cx).is_ready());
}

#[test]
fn full_stream_is_not_flushed_before_wake() {
    let stream = TestStream::default();
    let transport = share(stream.clone());
    let owner = Arc::new(Task::default());
    let waker = owner.waker();
    let mut cx = Context::from_waker(&waker);
    let waits_for_room = || lock(&stream.state).writing.is_some();
    stream.give_room(3);
    assert_eq!(transport.try_write(b"abcdef").unwrap(), 3);
    assert!(waits_for_room(), "the write was followed by a flush");
    stream.change(|state| (state.room, state.is_flush_blocked) = (1, true));
    assert_eq!(transport.try_write(b"d").unwrap(), 1);
    assert!(is_full(transport.try_write(b"ef")));
    lock(&stream.state).is_flush_blocked = false;
    assert!(transport.poll_read(&mut cx, &mut [0; 8]).is_pending());
    assert!(waits_for_room(), "the read was preceded by a flush");
    stream.give_room(2);
    assert!(transport.poll_writable(&mut cx).is_ready());
    assert_eq!(transport.try_write(b"ef").unwrap(), 2);
    assert!(lock(&stream.state).is_flushed);
}

#[test]
fn wake_before_registration_is_not_lost() {
    let stream = TestStream::default();
    let transport = share(stream.clone());
    assert!(is_full(transport.try_write(b"abc")));
    stream.give_room(3);
    let owner = Arc::new(Task::default());
    let waker = owner.waker();
    assert!(transport.poll_writable(&mut Context::from_waker(&waker)).is_ready());
}

#[test]
fn full_stream_still_wakes_its_reader() {
    let stream = TestStream::default();
    let transport = share(stream.clone());
    let owner = Arc::new(Task::default());
    let waker = owner.waker();
    let mut cx = Context::from_waker(&waker);
    let mut buf = [0; 8];
    assert!(transport.poll_read(&mut cx, &mut buf).is_pending());
    assert!(is_full(transport.try_write(b"abc")));
    let reading = stream.change(|state| {
        state.inbox = b"xyz".to_vec();
        state.writing = None;
        state.reading.is_some()
    });
    assert!(reading && owner.wake_ups() > 0);
    assert!(matches!(transport.poll_read(&mut cx, &mut buf), Poll::Ready(Ok(3))));
}

#[test]
fn last_registered_task_is_woken() {
    let stream = TestStream::default();
    let transport = share(stream.clone());
    let (first, second) = (Arc::new(Task::default()), Arc::new(Task::default()));
    assert!(is_full(transport.try_write(b"abc")));
    for task in [&first, &second] {
        let waker = task.waker();
        assert!(transport.poll_writable(&mut Context::from_waker(&waker)).is_pending());
    }
    stream.give_room(1);
    assert_eq!((first.wake_ups(), second.wake_ups()), (0, 1));
}

#[test]
fn buffers_are_written_in_order_and_vectored() {
    let bufs = [b"ab".as_slice(), b"", b"cde", b"f", b"ghij"].map(IoSlice::new);
    for (is_vectored, calls) in [(true, 1), (false, 4)] {
        let stream = TestStream { is_vectored, ..TestStream::default() };
        let transport = share(stream.clone());
        stream.give_room(10);
        assert_eq!(transport.try_write_vectored(&bufs).unwrap(), 10);
        assert_eq!(stream.accepted(), b"abcdefghij");
        assert!(lock(&stream.state).calls <= calls, "too many writes");
        for room in 1..10 {
            let stream = TestStream { is_vectored, ..TestStream::default() };
            let transport = share(stream.clone());
            stream.give_room(room);
            assert_eq!(transport.try_write_vectored(&bufs).unwrap(), room);
            assert_eq!(stream.accepted(), b"abcdefghij"[..room]);
        }
    }
}

#[test]
fn owner_completes_blocked_flush() {
    let stream = TestStream::default();
    let transport = share(stream.clone());
    let owner = Arc::new(Task::default());
    let waker = owner.waker();
    let mut cx = Context::from_waker(&waker);
    assert!(transport.poll_read(&mut cx, &mut [0; 8]).is_pending());
    stream.change(|state| (state.room, state.is_flush_blocked) = (3, true));
    owner.wake_ups();
    assert_eq!(transport.try_write(b"abc").unwrap(), 3);
    assert!(!lock(&stream.state).is_flushed);
    stream.change(|state| state.is_flush_blocked = false);
    assert_eq!(owner.wake_ups(), 1);
    assert!(transport.poll_read(&mut cx, &mut [0; 8]).is_pending());
    assert!(lock(&stream.state).is_flushed);
}

#[test]
fn stream_is_closed_after_its_bytes_are_flushed() {
    let stream = TestStream::default();
    let transport = share(stream.clone());
    let owner = Arc::new(Task::default());
    let waker = owner.waker();
    let mut cx = Context::from_waker(&waker);
    stream.change(|state| (state.room, state.is_flush_blocked) = (3, true));
    assert_eq!(transport.try_write(b"bye").unwrap(), 3);
    assert!(transport.poll_closed(&mut cx).is_pending());
    assert!(!lock(&stream.state).is_closed);
    stream.change(|state| state.is_flush_blocked = false);
    assert_eq!(owner.wake_ups(), 1);
    assert!(transport.poll_closed(&mut cx).is_ready());
    assert!(lock(&stream.state).is_closed);
    let error = transport.try_write(b"more").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn write_error_is_returned_and_stream_stays_writable() {
    let stream = TestStream { is_vectored: false, ..TestStream::default() };
    let transport = share(stream.clone());
    stream.change(|state| state.is_broken = true);
    let error = transport.try_write(b"abc").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    // The owner must not wait until a broken stream is writable.
    let owner = Arc::new(Task::default());
    let waker = owner.waker();
    assert!(transport.poll_writable(&mut Context::from_waker(&waker)).is_ready());
}

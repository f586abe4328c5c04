//! A stream with as much room as a test gives it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::transport::stream::*;

#[derive(Default)]
struct State {
    /// Bytes that it takes at once, and those that it has taken.
    room: usize,
    taken: Vec<u8>,
    calls: usize,
    /// What is there to be read.
    inbox: Vec<u8>,
    /// It holds back what it has taken.
    is_clogged: bool,
    is_flushed: bool,
    is_closed: bool,
    is_broken: bool,
    /// It is interrupted once it has taken this much.
    interrupted_at: Option<usize>,
    reading: Option<Waker>,
    writing: Option<Waker>,
}

#[derive(Clone, Default)]
struct Narrow {
    state: Arc<Mutex<State>>,
    takes_many: bool,
}

impl Narrow {
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

    fn taken(&self) -> Vec<u8> {
        lock(&self.state).taken.clone()
    }
}

impl AsyncRead for Narrow {
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

impl AsyncWrite for Narrow {
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
        if state.interrupted_at == Some(state.taken.len()) {
            state.interrupted_at = None;
            return Poll::Ready(Err(ErrorKind::Interrupted.into()));
        }
        let size = state.room.min(bytes.len());
        if size == 0 {
            state.writing = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.taken.extend(&bytes[..size]);
        state.room -= size;
        state.is_flushed = false;
        Poll::Ready(Ok(size))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.takes_many {
            true => {
                let whole: Vec<u8> =
                    pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
                self.poll_write(cx, &whole)
            }
            false => self.poll_write(cx, &pieces[0]),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.state);
        if state.is_clogged {
            state.writing = Some(cx.waker().clone());
            return Poll::Pending;
        }
        // As smol's streams do: whoever waited for room is forgotten.
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

/// A task that counts how often it is woken.
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

    /// How often it was woken since the last look.
    fn woken(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

fn is_full(result: io::Result<usize>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn a_shutdown_ends_the_stream_and_its_writing() {
    let narrow = Narrow::default();
    narrow.give_room(9);
    let (_reader, writer) = split(narrow.clone());
    writer.shutdown();
    assert!(lock(&narrow.state).is_closed);
    assert_eq!(writer.try_write(b"abc").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn what_was_taken_before_an_interruption_counts() {
    let narrow = Narrow::default();
    let (_reader, writer) = split(narrow.clone());
    let pieces = [IoSlice::new(b"abc"), IoSlice::new(b"def")];
    narrow.change(|state| (state.room, state.interrupted_at) = (9, Some(3)));
    assert_eq!(writer.try_write_vectored(&pieces).unwrap(), 3);
    assert_eq!(writer.try_write_vectored(&pieces[1..]).unwrap(), 3);
    narrow.change(|state| state.interrupted_at = Some(6));
    let error = writer.try_write(b"ghi").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert_eq!(writer.try_write(b"ghi").unwrap(), 3);
    assert_eq!(narrow.taken(), b"abcdefghi");
}

#[test]
fn the_owner_hears_of_room_whoever_wrote() {
    let narrow = Narrow::default();
    let (mut reader, writer) = split(narrow.clone());
    let owner = Arc::new(Task::default());
    let waker = owner.waker();
    let mut cx = Context::from_waker(&waker);
    assert!(reader.poll_read(&mut cx, &mut [0; 8]).is_pending());
    narrow.change(|state| {
        state.room = 3;
        // A change without a wake-up.
        (state.reading, state.writing) = (None, None);
    });
    // From another thread, which no stream could know.
    thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(writer.try_write(b"abcdef").unwrap(), 3);
            assert!(is_full(writer.try_write(b"def")));
        });
    });
    assert!(writer.poll_writable(&mut cx).is_pending());
    assert_eq!(owner.woken(), 0);
    narrow.give_room(3);
    assert!(owner.woken() > 0);
    assert!(writer.poll_writable(&mut cx).is_ready());
    assert_eq!(writer.try_write(b"def").unwrap(), 3);
    assert_eq!(narrow.taken(), b"abcdef");
    // Nothing stands in the way, so nobody waits.
    assert!(writer.poll_writable(&mut cx).is_ready());
}

#[test]
fn nothing_comes_between_a_full_stream_and_its_wake_up() {
    let narrow = Narrow::default();
    let (mut reader, writer) = split(narrow.clone());
    let owner = Arc::new(Task::default());
    let waker = owner.waker();
    let mut cx = Context::from_waker(&waker);
    let waits_for_room = || lock(&narrow.state).writing.is_some();
    narrow.give_room(3);
    assert_eq!(writer.try_write(b"abcdef").unwrap(), 3);
    assert!(waits_for_room(), "the write was followed by a flush");
    narrow.change(|state| (state.room, state.is_clogged) = (1, true));
    assert_eq!(writer.try_write(b"d").unwrap(), 1);
    assert!(is_full(writer.try_write(b"ef")));
    lock(&narrow.state).is_clogged = false;
    assert!(reader.poll_read(&mut cx, &mut [0; 8]).is_pending());
    assert!(waits_for_room(), "the read was");
    narrow.give_room(2);
    assert!(writer.poll_writable(&mut cx).is_ready());
    assert_eq!(writer.try_write(b"ef").unwrap(), 2);
    assert!(lock(&narrow.state).is_flushed);
}

#[test]
fn room_that_comes_before_the_owner_asks_is_not_forgotten() {
    let narrow = Narrow::default();
    let (_reader, writer) = split(narrow.clone());
    assert!(is_full(writer.try_write(b"abc")));
    narrow.give_room(3);
    let owner = Arc::new(Task::default());
    let waker = owner.waker();
    assert!(writer.poll_writable(&mut Context::from_waker(&waker)).is_ready());
}

#[test]
fn a_full_stream_still_wakes_its_reader() {
    let narrow = Narrow::default();
    let (mut reader, writer) = split(narrow.clone());
    let owner = Arc::new(Task::default());
    let waker = owner.waker();
    let mut cx = Context::from_waker(&waker);
    let mut buf = [0; 8];
    assert!(reader.poll_read(&mut cx, &mut buf).is_pending());
    assert!(is_full(writer.try_write(b"abc")));
    let reading = narrow.change(|state| {
        state.inbox = b"xyz".to_vec();
        state.writing = None;
        state.reading.is_some()
    });
    assert!(reading && owner.woken() > 0);
    assert!(matches!(reader.poll_read(&mut cx, &mut buf), Poll::Ready(Ok(3))));
}

#[test]
fn a_stream_that_changes_tasks_wakes_the_last() {
    let narrow = Narrow::default();
    let (_reader, writer) = split(narrow.clone());
    let (first, second) = (Arc::new(Task::default()), Arc::new(Task::default()));
    assert!(is_full(writer.try_write(b"abc")));
    for task in [&first, &second] {
        let waker = task.waker();
        assert!(writer.poll_writable(&mut Context::from_waker(&waker)).is_pending());
    }
    narrow.give_room(1);
    assert_eq!((first.woken(), second.woken()), (0, 1));
}

#[test]
fn pieces_arrive_in_order_and_together_where_that_is_possible() {
    let pieces = [b"ab".as_slice(), b"", b"cde", b"f", b"ghij"].map(IoSlice::new);
    for (takes_many, calls) in [(true, 1), (false, 4)] {
        let narrow = Narrow { takes_many, ..Narrow::default() };
        let (_reader, writer) = split(narrow.clone());
        narrow.give_room(10);
        assert_eq!(writer.try_write_vectored(&pieces).unwrap(), 10);
        assert_eq!(narrow.taken(), b"abcdefghij");
        assert!(lock(&narrow.state).calls <= calls, "in too many writes");
        for room in 1..10 {
            let narrow = Narrow { takes_many, ..Narrow::default() };
            let (_reader, writer) = split(narrow.clone());
            narrow.give_room(room);
            assert_eq!(writer.try_write_vectored(&pieces).unwrap(), room);
            assert_eq!(narrow.taken(), b"abcdefghij"[..room]);
        }
    }
}

#[test]
fn what_could_not_be_flushed_is_flushed_by_the_owner() {
    let narrow = Narrow::default();
    let (mut reader, writer) = split(narrow.clone());
    let owner = Arc::new(Task::default());
    let waker = owner.waker();
    let mut cx = Context::from_waker(&waker);
    assert!(reader.poll_read(&mut cx, &mut [0; 8]).is_pending());
    narrow.change(|state| (state.room, state.is_clogged) = (3, true));
    owner.woken();
    assert_eq!(writer.try_write(b"abc").unwrap(), 3);
    assert!(!lock(&narrow.state).is_flushed);
    narrow.change(|state| state.is_clogged = false);
    assert_eq!(owner.woken(), 1);
    assert!(reader.poll_read(&mut cx, &mut [0; 8]).is_pending());
    assert!(lock(&narrow.state).is_flushed);
}

#[test]
fn a_stream_may_go_once_everything_has_left_it() {
    let narrow = Narrow::default();
    let (_reader, writer) = split(narrow.clone());
    let owner = Arc::new(Task::default());
    let waker = owner.waker();
    let mut cx = Context::from_waker(&waker);
    narrow.change(|state| (state.room, state.is_clogged) = (3, true));
    assert_eq!(writer.try_write(b"bye").unwrap(), 3);
    assert!(writer.poll_closed(&mut cx).is_pending());
    assert!(!lock(&narrow.state).is_closed);
    narrow.change(|state| state.is_clogged = false);
    assert_eq!(owner.woken(), 1);
    assert!(writer.poll_closed(&mut cx).is_ready());
    assert!(lock(&narrow.state).is_closed);
    let error = writer.try_write(b"more").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn an_error_behind_some_bytes_comes_again() {
    let narrow = Narrow { takes_many: false, ..Narrow::default() };
    let (_reader, writer) = split(narrow.clone());
    narrow.change(|state| state.is_broken = true);
    let error = writer.try_write(b"abc").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    // The owner is not to wait for room that never comes.
    let owner = Arc::new(Task::default());
    let waker = owner.waker();
    assert!(writer.poll_writable(&mut Context::from_waker(&waker)).is_ready());
}

//! Loom models of the engine's locks, atomics and wakers, run in every interleaving.
//!
//! CONTRIBUTING contains the command. A lost wake-up becomes a deadlock, which loom reports.

mod handover;
mod lifecycle;
mod shared_queues;
mod timers;

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loom::future::block_on;
use loom::model;
use loom::thread;

use crate::outbound::Chunk;
use crate::outbound::FlushWork;
use crate::outbound::budget::MemoryBudget;
use crate::outbound::flush_pool::FlushPool;
use crate::outbound::outbox::{OutboxPhase, WaterMarks};
use crate::outbound::socket_writer::SocketWriter;
use crate::sync::{Mutex, lock};
use crate::{Environment, Server, Transport};
use roomer_hub::Input;
use roomer_hub::{ConnId, ConnKey};

/// The sending side of a socket, which accepts only as many bytes as the test permits.
#[derive(Default)]
struct Socket(Mutex<Kernel>);

#[derive(Default)]
struct Kernel {
    room: usize,
    taken: Vec<u8>,
    waiting: Option<Waker>,
    /// The waker of the task that waits until a number of bytes is accepted.
    reader: Option<Waker>,
}

impl Socket {
    fn with_room(room: usize) -> Arc<Socket> {
        Arc::new(Socket(Mutex::new(Kernel { room, ..Kernel::default() })))
    }

    fn give(&self, room: usize) {
        let mut kernel = lock(&self.0);
        kernel.room += room;
        let waiting = kernel.waiting.take();
        drop(kernel);
        waiting.into_iter().for_each(Waker::wake);
    }

    fn taken(&self) -> Vec<u8> {
        lock(&self.0).taken.clone()
    }

    /// Waits until the socket has accepted `size` bytes.
    fn read(&self, size: usize) {
        block_on(poll_fn(|cx| {
            let mut kernel = lock(&self.0);
            if kernel.taken.len() >= size {
                return Poll::Ready(());
            }
            kernel.reader = Some(cx.waker().clone());
            Poll::Pending
        }));
    }
}

struct Pipe(Arc<Socket>);

impl Transport for Pipe {
    fn poll_read(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut kernel = lock(&self.0.0);
        let size = bytes.len().min(kernel.room);
        kernel.room -= size;
        kernel.taken.extend_from_slice(&bytes[..size]);
        let reader = kernel.reader.take();
        drop(kernel);
        reader.into_iter().for_each(Waker::wake);
        if size > 0 { Ok(size) } else { Err(ErrorKind::WouldBlock.into()) }
    }

    fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_write(&pieces.iter().flat_map(|piece| piece.iter().copied()).collect::<Vec<u8>>())
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut kernel = lock(&self.0.0);
        if kernel.room > 0 {
            return Poll::Ready(Ok(()));
        }
        kernel.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    fn shutdown(&self) {}
}

fn writer(socket: &Arc<Socket>, high: usize) -> Arc<SocketWriter> {
    let budget = MemoryBudget::new(1000, WaterMarks { kept: high, high, max: high + 100 });
    SocketWriter::new(Pipe(socket.clone()), Arc::new(budget))
}

/// Runs the connection's own task, reduced to its calls to the writer, until the last bytes are
/// written.
fn run_own_task(writer: &SocketWriter) {
    block_on(poll_fn(|cx| {
        loop {
            let status = writer.poll_status(cx);
            if status.is_blocked && writer.poll_unblock(cx).is_ready() {
                writer.flush();
                continue;
            }
            let is_finished = match status.phase {
                OutboxPhase::Closing => status.queued == 0,
                phase => phase == OutboxPhase::Dead,
            };
            return if is_finished { Poll::Ready(()) } else { Poll::Pending };
        }
    }));
}

/// A stand-in for the engine's lock, which records the order in which bytes were queued under it.
type Order = Mutex<Vec<u8>>;

/// Queues a message; see [`SocketWriter::push`].
type Push = fn(&SocketWriter, &'static [u8]) -> bool;

fn send(order: &Order, writer: &SocketWriter, bytes: &'static [u8]) {
    send_by(push_own, order, writer, bytes);
}

fn push_own(writer: &SocketWriter, bytes: &'static [u8]) -> bool {
    writer.push(Chunk::complete(bytes))
}

fn send_by(push: Push, order: &Order, writer: &SocketWriter, bytes: &'static [u8]) {
    let mut order = lock(order);
    order.extend_from_slice(bytes);
    let is_due = push(writer, bytes);
    drop(order);
    if is_due {
        writer.flush();
    }
}

#[test]
fn owner_task_writes_remainder_after_full_socket() {
    model(|| {
        let socket = Socket::with_room(1);
        let writer = writer(&socket, 100);
        let own_task = {
            let writer = writer.clone();
            thread::spawn(move || run_own_task(&writer))
        };
        send(&Order::default(), &writer, b"ab");
        socket.give(2);
        socket.read(2);
        writer.finish(b"!"[..].into(), false);
        writer.flush();
        own_task.join().unwrap();
        assert_eq!(socket.taken(), b"ab!");
    });
}

#[test]
fn discarding_close_finishes_started_frame() {
    model(|| {
        let socket = Socket::with_room(1);
        let writer = writer(&socket, 1);
        writer.push(Chunk::partial(&b"a"[..]));
        let flusher = {
            let writer = writer.clone();
            thread::spawn(move || writer.flush())
        };
        writer.push(Chunk::partial(&b"b"[..]));
        writer.push(Chunk::complete(&b"c"[..]));
        writer.push(Chunk::complete(&b"de"[..]));
        writer.finish(b"!"[..].into(), true);
        writer.flush();
        let own_task = {
            let writer = writer.clone();
            thread::spawn(move || run_own_task(&writer))
        };
        socket.give(5);
        flusher.join().unwrap();
        own_task.join().unwrap();
        let taken = socket.taken();
        let is_whole = [&b"abc!"[..], b"abcde!"].contains(&&taken[..]);
        assert!(is_whole, "{:?}", String::from_utf8_lossy(&taken));
    });
}

/// Returns a writer above its high-water mark, with a full socket.
fn congested() -> (Arc<Socket>, Arc<SocketWriter>) {
    let socket = Socket::with_room(0);
    let writer = writer(&socket, 1);
    writer.push(Chunk::complete(&b"ab"[..]));
    writer.push(Chunk::complete(&b"cd"[..]));
    assert!(writer.flush(), "it is newly above the high-water mark");
    assert!(writer.is_congested());
    (socket, writer)
}

#[test]
fn paused_sender_resumes_once_receiver_drains() {
    model(|| {
        let (socket, writer) = congested();
        let own_task = {
            let writer = writer.clone();
            thread::spawn(move || run_own_task(&writer))
        };
        let kernel = thread::spawn(move || socket.give(5));
        block_on(poll_fn(|cx| writer.poll_uncongested(cx)));
        kernel.join().unwrap();
        writer.finish(b"!"[..].into(), false);
        writer.flush();
        own_task.join().unwrap();
    });
}

#[test]
fn paused_sender_resumes_when_receiver_stalls_or_closes() {
    for ends in [SocketWriter::mark_stalled, SocketWriter::discard] {
        model(move || {
            let (_, writer) = congested();
            let other = {
                let writer = writer.clone();
                thread::spawn(move || ends(&writer))
            };
            block_on(poll_fn(|cx| writer.poll_uncongested(cx)));
            other.join().unwrap();
        });
    }
}

#[test]
fn each_chunk_is_taken_once_and_job_finished_once() {
    model(|| {
        let socket = Socket::with_room(0);
        let writer = writer(&socket, 100);
        let outboxes = vec![(ConnKey::default(), writer); 70];
        let flush_pool = FlushPool::new(32);
        let job = flush_pool.post(FlushWork::on(outboxes));
        let work = |job: &crate::outbound::flush_pool::FlushJob| {
            let mut taken = 0;
            while let Some(chunk) = job.take() {
                taken += chunk.len();
            }
            (taken, job.finish())
        };
        let other = {
            let job = job.clone();
            thread::spawn(move || work(&job))
        };
        let (taken_here, is_last_here) = work(&job);
        let (taken_there, is_last_there) = other.join().unwrap();
        assert_eq!(taken_here + taken_there, 70);
        assert!(is_last_here != is_last_there, "finished by both or by neither");
        assert!(flush_pool.job().is_none());
    });
}

#[test]
fn parked_worker_is_woken_by_job() {
    model(|| {
        let flush_pool = Arc::new(FlushPool::new(32));
        let helper = {
            let flush_pool = flush_pool.clone();
            thread::spawn(move || {
                block_on(poll_fn(|cx| {
                    loop {
                        if let Some(job) = flush_pool.job() {
                            while job.take().is_some() {}
                            return Poll::Ready(job.finish());
                        }
                        if flush_pool.park(cx) {
                            return Poll::Pending;
                        }
                    }
                }))
            })
        };
        let socket = Socket::with_room(0);
        let outboxes = vec![(ConnKey::default(), writer(&socket, 100))];
        flush_pool.post(FlushWork::on(outboxes));
        assert!(helper.join().unwrap());
    });
}

/// An environment with a constant time and constant random bytes.
struct Constant;

impl Environment for Constant {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn random(&self) -> [u8; 16] {
        [7; 16]
    }
}

#[test]
fn concurrent_broadcasts_reach_all_members_in_same_order() {
    model(|| {
        let server = Server::builder().environment(Constant).build().unwrap();
        let sockets = [0, 1].map(|_| Socket::with_room(1_000_000));
        for (number, socket) in sockets.iter().enumerate() {
            let writer = writer(socket, 1_000_000);
            let id = ConnId::from_random_bytes([number as u8; 16]);
            server.0.core().apply(
                Duration::ZERO,
                Input::Open { id, extended: false },
                Some(&writer),
            );
        }
        let broadcast = |server: &Server, event| server.broadcast("root", event, b"");
        let other = {
            let server = server.clone();
            thread::spawn(move || broadcast(&server, "one"))
        };
        broadcast(&server, "two");
        other.join().unwrap();
        let received = sockets.each_ref().map(|socket| {
            let taken = socket.taken();
            let position = |word: &[u8]| taken.windows(3).position(|window| window == word);
            (position(b"one").unwrap(), position(b"two").unwrap())
        });
        assert_eq!(received[0].0 < received[0].1, received[1].0 < received[1].1);
    });
}

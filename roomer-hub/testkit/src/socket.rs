//! An in-memory socket.
//!
//! The engine holds one end. A test holds the other, which also controls short reads, short writes
//! and errors.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use roomer_engine as server;

/// Creates a socket for [`Server::connect`](roomer_engine::Server::connect) and its far end. Bytes
/// are delivered immediately and completely unless configured otherwise.
#[must_use]
pub fn socket() -> (Socket, Peer) {
    let channel = Arc::new(Mutex::new(Channel {
        inbound: VecDeque::new(),
        end: None,
        read: 0,
        max_read: usize::MAX,
        outbound: Vec::new(),
        written: 0,
        room: usize::MAX,
        max_write: usize::MAX,
        failure: None,
        interrupts: 0,
        is_shut: false,
        is_full: false,
        is_spurious: false,
        during_write: None,
        reader: None,
        writer: None,
    }));
    (Socket(channel.clone()), Peer(channel))
}

/// The server's end of an in-memory socket.
#[derive(Debug)]
pub struct Socket(Arc<Mutex<Channel>>);

/// The client's end of an in-memory socket, with controls for the network in between.
#[derive(Debug)]
pub struct Peer(Arc<Mutex<Channel>>);

/// A closure that runs during a write.
struct DuringWrite(Box<dyn FnOnce() + Send>);

impl fmt::Debug for DuringWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DuringWrite")
    }
}

#[derive(Debug)]
struct Channel {
    /// Delivered bytes that the server has not read.
    inbound: VecDeque<u8>,
    /// The result of the server's read after `inbound`: the end of the stream, or an error.
    end: Option<Result<(), ErrorKind>>,
    read: u64,
    max_read: usize,
    /// Bytes written by the server and not yet taken by the client.
    outbound: Vec<u8>,
    written: u64,
    /// The number of bytes that the socket still accepts before it is full.
    room: usize,
    max_write: usize,
    failure: Option<ErrorKind>,
    interrupts: u32,
    is_shut: bool,
    is_full: bool,
    /// True if the next `poll_writable` reports ready even if the socket is full.
    is_spurious: bool,
    during_write: Option<DuringWrite>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Peer {
    /// Delivers bytes to the server.
    pub fn deliver(&self, bytes: &[u8]) {
        let mut channel = lock(&self.0);
        channel.inbound.extend(bytes);
        wake(channel, |channel| channel.reader.take());
    }

    /// Ends the stream after the delivered bytes: cleanly, or with an error.
    pub fn end_stream(&self, end: Result<(), ErrorKind>) {
        let mut channel = lock(&self.0);
        // A stream ends only once, so later calls have no effect.
        channel.end.get_or_insert(end);
        wake(channel, |channel| channel.reader.take());
    }

    /// Discards delivered bytes that the server has not read, as a reset does.
    pub fn discard_unread(&self) {
        lock(&self.0).inbound.clear();
    }

    /// Makes all further writes fail.
    pub fn fail_writes(&self, error: ErrorKind) {
        let mut channel = lock(&self.0);
        channel.failure.get_or_insert(error);
        wake(channel, |channel| channel.writer.take());
    }

    /// Limits the number of bytes that one read returns. The limit is at least one.
    pub fn max_read(&self, bytes: usize) {
        lock(&self.0).max_read = bytes.max(1);
    }

    /// Limits the number of bytes that one write accepts. The limit is at least one.
    pub fn max_write(&self, bytes: usize) {
        lock(&self.0).max_write = bytes.max(1);
    }

    /// Sets how many more bytes the socket accepts before it is full; `usize::MAX` means no limit.
    pub fn set_space(&self, bytes: usize) {
        let mut channel = lock(&self.0);
        channel.room = bytes;
        if bytes > 0 {
            channel.is_full = false;
            wake(channel, |channel| channel.writer.take());
        }
    }

    /// Makes the next `times` writes fail with [`ErrorKind::Interrupted`], so the server must retry
    /// them.
    pub fn interrupt(&self, times: u32) {
        lock(&self.0).interrupts = times;
    }

    /// Runs a closure during the next write, before any byte is accepted. This simulates another
    /// thread that runs during the system call.
    pub fn during_write(&self, happens: impl FnOnce() + Send + 'static) {
        lock(&self.0).during_write = Some(DuringWrite(Box::new(happens)));
    }

    /// Reports the socket as writable once even if it is full, as reactors sometimes do.
    pub fn spurious_writable(&self) {
        let mut channel = lock(&self.0);
        channel.is_spurious = true;
        wake(channel, |channel| channel.writer.take());
    }

    /// Removes at most `most` of the bytes that the server has written, oldest first, and appends
    /// them to `into`.
    pub fn take(&self, most: usize, into: &mut Vec<u8>) {
        let mut channel = lock(&self.0);
        let most = most.min(channel.outbound.len());
        into.extend(channel.outbound.drain(..most));
    }

    /// Returns the number of delivered bytes that the server has not read.
    #[must_use]
    pub fn unread(&self) -> usize {
        lock(&self.0).inbound.len()
    }

    /// Returns the total number of bytes that the server has read.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        lock(&self.0).read
    }

    /// Returns the total number of bytes that the server has written.
    #[must_use]
    pub fn bytes_written(&self) -> u64 {
        lock(&self.0).written
    }

    /// Returns the number of written bytes that can be [taken](Self::take).
    #[must_use]
    pub fn available(&self) -> usize {
        lock(&self.0).outbound.len()
    }

    /// Returns true if the server has found the socket full, and the socket has not become writable
    /// since.
    #[must_use]
    pub fn is_full(&self) -> bool {
        lock(&self.0).is_full
    }

    /// Returns true if the socket accepts more bytes.
    #[must_use]
    pub fn has_space(&self) -> bool {
        lock(&self.0).room > 0
    }

    /// Returns true if the server has shut down its writing direction.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        lock(&self.0).is_shut
    }

    /// Returns true if the server has dropped its end.
    #[must_use]
    pub fn is_dropped(&self) -> bool {
        // The server's end holds the only other reference.
        Arc::strong_count(&self.0) == 1
    }
}

impl Channel {
    fn write(&mut self, bytes: &[u8], taken: usize) -> io::Result<usize> {
        if let Some(kind) = self.failure {
            return Err(kind.into());
        }
        if self.is_shut {
            return Err(ErrorKind::BrokenPipe.into());
        }
        // Check for interrupts before the limits: an interrupted call accepts no bytes.
        if let Some(left) = self.interrupts.checked_sub(1) {
            self.interrupts = left;
            return Err(ErrorKind::Interrupted.into());
        }
        // This cannot underflow, since callers stop once `taken` reaches the maximum.
        let size = bytes.len().min(self.room).min(self.max_write - taken);
        if size == 0 && !bytes.is_empty() {
            self.is_full = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        self.outbound.extend_from_slice(&bytes[..size]);
        self.written += size as u64;
        // With `usize::MAX`, the space is unlimited.
        if self.room != usize::MAX {
            self.room -= size;
        }
        self.is_full = size < bytes.len();
        Ok(size)
    }
}

impl Socket {
    fn run_hook(&self) {
        let during_write = lock(&self.0).during_write.take();
        if let Some(DuringWrite(happens)) = during_write {
            // Run without the lock, since the closure may use this socket.
            happens();
        }
    }
}

impl server::Transport for Socket {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut channel = lock(&self.0);
        let size = channel.inbound.len().min(channel.max_read).min(buf.len());
        if size == 0 {
            return match channel.end {
                Some(Ok(())) => Poll::Ready(Ok(0)),
                Some(Err(kind)) => Poll::Ready(Err(kind.into())),
                None => {
                    channel.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        }
        // Read bytes that wrap around the end of the ring in one call, as from a kernel buffer.
        let (front, back) = channel.inbound.as_slices();
        let first = front.len().min(size);
        buf[..first].copy_from_slice(&front[..first]);
        buf[first..size].copy_from_slice(&back[..size - first]);
        channel.inbound.drain(..size);
        channel.read += size as u64;
        Poll::Ready(Ok(size))
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.run_hook();
        lock(&self.0).write(bytes, 0)
    }

    fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.run_hook();
        let mut channel = lock(&self.0);
        let mut taken = 0;
        for piece in pieces {
            if taken == channel.max_write {
                break;
            }
            match channel.write(piece, taken) {
                Ok(size) => {
                    taken += size;
                    if size < piece.len() {
                        break;
                    }
                }
                Err(error) if taken == 0 => return Err(error),
                // As with a system call, return the bytes written before the error. The next write
                // reports the error.
                Err(_) => break,
            }
        }
        Ok(taken)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut channel = lock(&self.0);
        if let Some(kind) = channel.failure {
            return Poll::Ready(Err(kind.into()));
        }
        if std::mem::take(&mut channel.is_spurious) || channel.room > 0 {
            channel.is_full = false;
            return Poll::Ready(Ok(()));
        }
        // Mark the socket full even if it briefly had space that the server did not use.
        channel.is_full = true;
        channel.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn shutdown(&self) {
        lock(&self.0).is_shut = true;
    }
}

fn lock(channel: &Mutex<Channel>) -> MutexGuard<'_, Channel> {
    channel.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes a task after releasing the lock.
fn wake(mut channel: MutexGuard<'_, Channel>, task: impl FnOnce(&mut Channel) -> Option<Waker>) {
    let waker = task(&mut channel);
    drop(channel);
    waker.into_iter().for_each(Waker::wake);
}

//! A socket that is memory: the engine holds one end, a test the other, and the test says how
//! badly the line between them behaves.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use roomer_engine as server;

/// Makes a socket: two halves for [`Server::connect`](roomer_engine::Server::connect), and the
/// far end. It delivers everything at once and whole until told otherwise.
#[must_use]
pub fn socket() -> (Reader, Writer, Peer) {
    let line = Arc::new(Mutex::new(Line {
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
        lies: false,
        meanwhile: None,
        reader: None,
        writer: None,
    }));
    (Reader(line.clone()), Writer(line.clone()), Peer(line))
}

/// The server's reading half.
#[derive(Debug)]
pub struct Reader(Arc<Mutex<Line>>);

/// The server's writing half.
#[derive(Debug)]
pub struct Writer(Arc<Mutex<Line>>);

/// The far end: the client's side, and the network's.
#[derive(Debug)]
pub struct Peer(Arc<Mutex<Line>>);

/// Something that happens during a write.
struct Meanwhile(Box<dyn FnOnce() + Send>);

impl fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meanwhile")
    }
}

#[derive(Debug)]
struct Line {
    /// What has arrived and the server has not read.
    inbound: VecDeque<u8>,
    /// What the server finds behind that.
    end: Option<Result<(), ErrorKind>>,
    read: u64,
    max_read: usize,
    /// What the server has written and the client has not taken.
    outbound: Vec<u8>,
    written: u64,
    /// How much more the socket takes.
    room: usize,
    max_write: usize,
    failure: Option<ErrorKind>,
    interrupts: u32,
    is_shut: bool,
    is_full: bool,
    /// The next question whether there is room is answered with yes.
    lies: bool,
    meanwhile: Option<Meanwhile>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Peer {
    /// Has bytes arrive at the server.
    pub fn deliver(&self, bytes: &[u8]) {
        let mut line = lock(&self.0);
        line.inbound.extend(bytes);
        wake(line, |line| line.reader.take());
    }

    /// Has the end of the stream arrive behind what has been delivered: cleanly, or as an error.
    pub fn end(&self, end: Result<(), ErrorKind>) {
        let mut line = lock(&self.0);
        line.end.get_or_insert(end);
        wake(line, |line| line.reader.take());
    }

    /// Loses what was delivered and the server has not read, as a reset does.
    pub fn lose_unread(&self) {
        lock(&self.0).inbound.clear();
    }

    /// Has every write fail from now on.
    pub fn refuse(&self, error: ErrorKind) {
        let mut line = lock(&self.0);
        line.failure.get_or_insert(error);
        wake(line, |line| line.writer.take());
    }

    /// The most bytes that one read gives, at least one.
    pub fn max_read(&self, bytes: usize) {
        lock(&self.0).max_read = bytes.max(1);
    }

    /// The most bytes that one write takes, at least one.
    pub fn max_write(&self, bytes: usize) {
        lock(&self.0).max_write = bytes.max(1);
    }

    /// How many bytes more the socket takes before it is full; `usize::MAX` is any number.
    pub fn room(&self, bytes: usize) {
        let mut line = lock(&self.0);
        line.room = bytes;
        if bytes > 0 {
            line.is_full = false;
            wake(line, |line| line.writer.take());
        }
    }

    /// Has the next writes fail with [`ErrorKind::Interrupted`], which only means: again.
    pub fn interrupt(&self, times: u32) {
        lock(&self.0).interrupts = times;
    }

    /// Has something happen during the next write, before any byte is taken: what another thread
    /// might do while the system is busy writing.
    pub fn meanwhile(&self, happens: impl FnOnce() + Send + 'static) {
        lock(&self.0).meanwhile = Some(Meanwhile(Box::new(happens)));
    }

    /// Says once that there is room, though there may be none: reactors do.
    pub fn pretend_room(&self) {
        let mut line = lock(&self.0);
        line.lies = true;
        wake(line, |line| line.writer.take());
    }

    /// Takes at most `most` of the bytes that the server has written, oldest first, and appends
    /// them to `into`.
    pub fn take(&self, most: usize, into: &mut Vec<u8>) {
        let mut line = lock(&self.0);
        let most = most.min(line.outbound.len());
        into.extend(line.outbound.drain(..most));
    }

    /// How many bytes have been delivered and not yet read by the server.
    #[must_use]
    pub fn unread(&self) -> usize {
        lock(&self.0).inbound.len()
    }

    /// How many bytes the server has ever read.
    #[must_use]
    pub fn read(&self) -> u64 {
        lock(&self.0).read
    }

    /// How many bytes the server has ever written.
    #[must_use]
    pub fn written(&self) -> u64 {
        lock(&self.0).written
    }

    /// How many written bytes wait to be [taken](Self::take).
    #[must_use]
    pub fn waiting(&self) -> usize {
        lock(&self.0).outbound.len()
    }

    /// Whether the server has found the socket full, and nothing has changed since.
    #[must_use]
    pub fn is_full(&self) -> bool {
        lock(&self.0).is_full
    }

    /// Whether the socket takes anything more.
    #[must_use]
    pub fn has_room(&self) -> bool {
        lock(&self.0).room > 0
    }

    /// Whether the server has ended its writing direction.
    #[must_use]
    pub fn is_shut(&self) -> bool {
        lock(&self.0).is_shut
    }

    /// Whether the server has let go of both halves.
    #[must_use]
    pub fn is_dropped(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl server::Reader for Reader {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut line = lock(&self.0);
        let size = line.inbound.len().min(line.max_read).min(buf.len());
        if size == 0 {
            return match line.end {
                Some(Ok(())) => Poll::Ready(Ok(0)),
                Some(Err(kind)) => Poll::Ready(Err(kind.into())),
                None => {
                    line.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        }
        let (front, back) = line.inbound.as_slices();
        let first = front.len().min(size);
        buf[..first].copy_from_slice(&front[..first]);
        buf[first..size].copy_from_slice(&back[..size - first]);
        line.inbound.drain(..size);
        line.read += size as u64;
        Poll::Ready(Ok(size))
    }
}

impl Line {
    fn write(&mut self, bytes: &[u8], taken: usize) -> io::Result<usize> {
        if let Some(kind) = self.failure {
            return Err(kind.into());
        }
        if self.is_shut {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if let Some(left) = self.interrupts.checked_sub(1) {
            self.interrupts = left;
            return Err(ErrorKind::Interrupted.into());
        }
        let size = bytes.len().min(self.room).min(self.max_write - taken);
        if size == 0 && !bytes.is_empty() {
            self.is_full = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        self.outbound.extend_from_slice(&bytes[..size]);
        self.written += size as u64;
        if self.room != usize::MAX {
            self.room -= size;
        }
        self.is_full = size < bytes.len();
        Ok(size)
    }
}

impl Writer {
    fn let_happen(&self) {
        let meanwhile = lock(&self.0).meanwhile.take();
        if let Some(Meanwhile(happens)) = meanwhile {
            happens();
        }
    }
}

impl server::Writer for Writer {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.let_happen();
        lock(&self.0).write(bytes, 0)
    }

    fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.let_happen();
        let mut line = lock(&self.0);
        let mut taken = 0;
        for piece in pieces {
            if taken == line.max_write {
                break;
            }
            match line.write(piece, taken) {
                Ok(size) => {
                    taken += size;
                    if size < piece.len() {
                        break;
                    }
                }
                Err(error) if taken == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(taken)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut line = lock(&self.0);
        if let Some(kind) = line.failure {
            return Poll::Ready(Err(kind.into()));
        }
        if std::mem::take(&mut line.lies) || line.room > 0 {
            line.is_full = false;
            return Poll::Ready(Ok(()));
        }
        line.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn shutdown(&self) {
        lock(&self.0).is_shut = true;
    }
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes with the lock released.
fn wake(mut line: MutexGuard<'_, Line>, whom: impl FnOnce(&mut Line) -> Option<Waker>) {
    let waker = whom(&mut line);
    drop(line);
    waker.into_iter().for_each(Waker::wake);
}

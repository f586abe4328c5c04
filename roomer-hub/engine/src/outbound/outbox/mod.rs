//! A connection as everybody else sees it: an outbox and the socket behind it.
//!
//! The order of what a connection gets is decided by [`Link::push`], which the engine calls under
//! the hub's lock. [`Link::flush`] then writes, outside that lock and from whatever task has
//! something to write; when two come at once the second leaves its bytes to the first. When the
//! socket takes no more, the connection's own task waits for it and goes on.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use roomer_proto::websocket;

use crate::outbound::budget::{Budget, Holding};
use crate::outbound::chunk::{Piece, advance, frame_left};
use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering, lock};
use crate::transport::Writer;

/// The most pieces of one vectored write.
const PIECES: usize = 64;

/// A message that may keep a slow link busy for seconds: more than the system takes at a time.
const LARGE: usize = 64 * 1024;

pub(crate) struct Link<W: ?Sized = dyn Writer> {
    outbox: Mutex<Outbox>,
    /// Whether more waits than the connection may be owed.
    over: AtomicBool,
    /// Whether it has taken nothing of that for a while.
    stalled: AtomicBool,
    limit: Limit,
    budget: Arc<Budget>,
    writer: W,
}

/// How many bytes may wait for one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// Above this, the newest piece not counted, whoever sends to the connection is held back.
    pub(crate) soft: usize,
    /// Above this, the newest piece not counted, the connection takes no more and is closed.
    pub(crate) hard: usize,
}

#[derive(Default)]
struct Outbox {
    /// The oldest piece, kept apart so that the usual outbox, of one piece, needs no memory.
    first: Piece,
    rest: VecDeque<Piece>,
    queued: usize,
    /// Bytes of frames and messages that have not come in whole, or not been looked at.
    unfinished: usize,
    /// What the budget has last been told of these two.
    weighed: usize,
    /// Bytes of the newest message, which are not held against anybody.
    newest: usize,
    /// The newest message is not all here yet.
    is_partial: bool,
    /// Bytes that the socket has ever taken.
    written: u64,
    /// How many of them are in the server's count already.
    counted: u64,
    phase: Phase,
    /// Somebody has the queue in hand and is writing.
    writing: bool,
    /// The socket is full; the connection's own task waits for it.
    blocked: bool,
    /// The socket has been full since it last took bytes.
    was_full: bool,
    /// How often a full socket has taken bytes again. Only the peer's reading makes it do so,
    /// whereas a socket with room takes bytes whether the peer lives or not.
    relieved: u64,
    /// Somebody has this link on a list of links to flush.
    listed: bool,
    owner: Option<Waker>,
    /// Tasks that are held back until `over` is no more.
    held: Vec<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Takes messages.
    #[default]
    Open,
    /// Takes no more messages, because the hard limit was passed.
    Overrun,
    /// The last bytes are in the queue.
    Closing,
    /// The socket is of no more use.
    Dead,
}

/// What the connection's own task wants to know at each turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    pub(crate) phase: Phase,
    pub(crate) blocked: bool,
    pub(crate) queued: usize,
    /// See [`Outbox::newest`].
    pub(crate) newest: usize,
    pub(crate) written: u64,
    /// See [`Outbox::relieved`].
    pub(crate) relieved: u64,
    pub(crate) over: bool,
}

impl Link {
    pub(crate) fn new(writer: impl Writer, limit: Limit, budget: Arc<Budget>) -> Arc<Link> {
        Arc::new(Link {
            outbox: Mutex::default(),
            over: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            limit,
            budget,
            writer,
        })
    }

    /// Queues bytes. True when the caller has to see to a flush, because nobody else does yet.
    pub(crate) fn push(&self, piece: Piece) -> bool {
        let mut outbox = lock(&self.outbox);
        if outbox.phase != Phase::Open || piece.bytes.is_empty() {
            return false;
        }
        if outbox.queued > self.limit.hard && !outbox.is_partial {
            // The flush that follows tells the owner, whose verdict is due at once.
            outbox.phase = Phase::Overrun;
        } else {
            outbox.append(piece);
        }
        !std::mem::replace(&mut outbox.listed, true)
    }

    /// Queues the last bytes and takes none after them; the flush that has to follow tells the
    /// owner. With `cut`, what a full socket has not begun to take is dropped first.
    pub(crate) fn finish(&self, last: Bytes, cut: bool) {
        let mut outbox = lock(&self.outbox);
        if matches!(outbox.phase, Phase::Closing | Phase::Dead) {
            return;
        }
        if cut {
            outbox.cut();
        }
        outbox.phase = Phase::Closing;
        outbox.unfinished = 0;
        if !last.is_empty() {
            outbox.append(Piece::whole(last));
        }
    }

    /// As [`finish`](Self::finish), with a close frame.
    pub(crate) fn close(&self, code: Option<u16>, reason: &str, cut: bool) {
        let mut frame = Vec::new();
        websocket::close_frame(code, reason, &mut frame);
        self.finish(frame.into(), cut);
    }

    /// Writes what waits until the socket takes no more. Returns whether the connection has just
    /// come to be owed too much.
    pub(crate) fn flush(&self) -> bool {
        let mut outbox = lock(&self.outbox);
        outbox.listed = false;
        if !outbox.writing && !outbox.blocked {
            outbox = self.write_all(outbox);
        }
        let wake = outbox.blocked || outbox.phase != Phase::Open;
        let owner = if wake { outbox.owner.clone() } else { None };
        let (newly_over, held) = self.weigh(&mut outbox);
        drop(outbox);
        owner.into_iter().chain(held).for_each(Waker::wake);
        newly_over
    }

    fn write_all<'o>(&'o self, mut outbox: MutexGuard<'o, Outbox>) -> MutexGuard<'o, Outbox> {
        outbox.writing = true;
        while outbox.first.len() > 0 && !outbox.blocked {
            let mut first = std::mem::take(&mut outbox.first);
            let mut rest = std::mem::take(&mut outbox.rest);
            drop(outbox);
            let (offered, result) = self.write(&first, &rest);
            outbox = lock(&self.outbox);
            if outbox.phase == Phase::Dead {
                // Its task has buried it meanwhile.
                break;
            }
            let written = match result {
                Ok(written) if written > 0 => written,
                Err(error) if error.kind() == ErrorKind::Interrupted => 0,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    outbox.blocked = true;
                    0
                }
                Ok(_) | Err(_) => {
                    outbox.die();
                    break;
                }
            };
            outbox.written += written as u64;
            if written > 0 && std::mem::take(&mut outbox.was_full) {
                outbox.relieved += 1;
            }
            if written > 0 && self.stalled.load(Ordering::Relaxed) {
                self.stalled.store(false, Ordering::Release);
            }
            outbox.queued -= written;
            if advance(&mut first, &mut rest, written) {
                // A short write: the socket is full.
                outbox.blocked |= 0 < written && written < offered;
                outbox.put_back(first, rest);
            }
            outbox.was_full |= outbox.blocked;
        }
        outbox.writing = false;
        outbox
    }

    /// How many bytes were offered, and how many of them the socket took.
    fn write(&self, first: &Piece, rest: &VecDeque<Piece>) -> (usize, io::Result<usize>) {
        if rest.is_empty() {
            return (first.len(), self.writer.try_write(first.left()));
        }
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let queue = std::iter::once(first).chain(rest);
        let (mut count, mut offered) = (0, 0);
        for (slot, piece) in pieces.iter_mut().zip(queue) {
            *slot = IoSlice::new(piece.left());
            count += 1;
            offered += piece.len();
        }
        (offered, self.writer.try_write_vectored(&pieces[..count]))
    }

    /// Compares what waits with the soft limit; with hysteresis, so that a burst of small writes
    /// does not flutter. Returns whether it is over now and was not, and whom to wake because it
    /// no longer is.
    fn weigh(&self, outbox: &mut Outbox) -> (bool, Vec<Waker>) {
        self.account(outbox);
        let owed = outbox.queued.saturating_sub(outbox.newest);
        let was_over = self.over.load(Ordering::Relaxed);
        let over = outbox.phase == Phase::Open
            && owed > if was_over { self.limit.soft / 2 } else { self.limit.soft };
        if over != was_over {
            self.over.store(over, Ordering::Release);
        }
        let held = if over { Vec::new() } else { std::mem::take(&mut outbox.held) };
        (over && !was_over, held)
    }

    /// Tells the budget what the connection holds.
    fn account(&self, outbox: &mut Outbox) {
        let holds = outbox.queued + outbox.unfinished;
        if holds != outbox.weighed {
            self.budget.change(std::mem::replace(&mut outbox.weighed, holds), holds);
        }
    }

    /// How many bytes the connection's session holds on to.
    pub(crate) fn set_unfinished(&self, bytes: usize) {
        let mut outbox = lock(&self.outbox);
        if outbox.phase == Phase::Open {
            outbox.unfinished = bytes;
            self.account(&mut outbox);
        }
    }

    /// What the connection holds in memory.
    pub(crate) fn holding(&self) -> Holding {
        let outbox = lock(&self.outbox);
        let pieces = std::iter::once(&outbox.first).chain(&outbox.rest);
        let buffers = pieces.filter(|piece| piece.len() > 0).map(|piece| {
            let range = piece.bytes.as_ptr_range();
            (range.end.addr(), piece.len())
        });
        let buffers: Vec<_> = buffers.collect();
        let seen: usize = buffers.iter().map(|(_, len)| len).sum();
        let in_hand = outbox.queued.saturating_sub(seen);
        Holding { own: outbox.unfinished, in_hand, buffers }
    }

    /// How many bytes are left of the oldest message, if it is a [`LARGE`] one.
    pub(crate) fn large_on_its_way(&self) -> usize {
        let outbox = lock(&self.outbox);
        let left = frame_left(&outbox.first, &outbox.rest);
        if left > LARGE { left } else { 0 }
    }

    /// How many bytes wait, and how many have been written that nobody has counted.
    pub(crate) fn backlog(&self) -> (usize, u64) {
        let outbox = lock(&self.outbox);
        (outbox.queued, outbox.written - outbox.counted)
    }

    /// The bytes that have been written since the last call.
    pub(crate) fn count_written(&self) -> u64 {
        let mut outbox = lock(&self.outbox);
        let written = outbox.written;
        written - std::mem::replace(&mut outbox.counted, written)
    }

    pub(crate) fn is_open(&self) -> bool {
        lock(&self.outbox).phase == Phase::Open
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// See [`Outbox::relieved`].
    pub(crate) fn relieved(&self) -> u64 {
        lock(&self.outbox).relieved
    }

    /// Whether it has taken nothing for a while of the too much that it is owed.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Acquire)
    }

    /// Whether it is worth holding senders back for: it is owed too much, and takes it.
    pub(crate) fn is_jammed(&self) -> bool {
        self.is_over() && !self.is_stalled()
    }

    /// The connection's own task has seen it take nothing for a while.
    pub(crate) fn stall(&self) {
        if !self.stalled.swap(true, Ordering::AcqRel) {
            let held = std::mem::take(&mut lock(&self.outbox).held);
            held.into_iter().for_each(Waker::wake);
        }
    }

    /// Ready once the connection is not worth waiting for, or is gone.
    pub(crate) fn poll_relief(&self, cx: &Context<'_>) -> Poll<()> {
        let mut outbox = lock(&self.outbox);
        if !self.is_jammed() || outbox.phase != Phase::Open {
            return Poll::Ready(());
        }
        if !outbox.held.iter().any(|held| held.will_wake(cx.waker())) {
            outbox.held.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The connection's own task looks at its outbox, and will be woken when that changes in a
    /// way that concerns it.
    pub(crate) fn attend(&self, cx: &Context<'_>) -> Status {
        let mut outbox = lock(&self.outbox);
        if !outbox.owner.as_ref().is_some_and(|owner| owner.will_wake(cx.waker())) {
            outbox.owner = Some(cx.waker().clone());
        }
        Status {
            phase: outbox.phase,
            blocked: outbox.blocked,
            queued: outbox.queued,
            newest: outbox.newest,
            written: outbox.written,
            relieved: outbox.relieved,
            over: self.is_over(),
        }
    }

    /// The connection's own task waits for its socket. Ready when it has room again, or failed.
    pub(crate) fn poll_unblock(&self, cx: &mut Context<'_>) -> Poll<()> {
        let result = std::task::ready!(self.writer.poll_writable(cx));
        let mut outbox = lock(&self.outbox);
        outbox.blocked = false;
        if result.is_err() {
            outbox.die();
        }
        Poll::Ready(())
    }

    /// The last bytes are due: the socket may take what it otherwise would not, so it is tried
    /// again.
    pub(crate) fn prepare_final_write(&self) {
        self.writer.prepare_final_write();
        lock(&self.outbox).blocked = false;
        self.flush();
    }

    /// Ends the socket's writing direction.
    pub(crate) fn shutdown(&self) {
        self.writer.shutdown();
    }

    /// The connection's own task, which has nothing left to write, asks whether it may go.
    pub(crate) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.writer.poll_closed(cx)
    }

    /// Drops what waits: the connection is gone.
    pub(crate) fn bury(&self) {
        let mut outbox = lock(&self.outbox);
        outbox.die();
        let (_, held) = self.weigh(&mut outbox);
        drop(outbox);
        held.into_iter().for_each(Waker::wake);
    }

    /// Drops what waits, the last words among it, and tells the connection's own task that it is
    /// over.
    pub(crate) fn abandon(&self) {
        self.bury();
        let owner = lock(&self.outbox).owner.clone();
        owner.into_iter().for_each(Waker::wake);
    }
}

impl Outbox {
    fn append(&mut self, mut piece: Piece) {
        piece.continues = self.is_partial;
        self.queued += piece.len();
        self.newest = piece.len() + if self.is_partial { self.newest } else { 0 };
        self.is_partial = piece.goes_on;
        if self.first.len() == 0 {
            self.first = piece;
        } else {
            self.rest.push_back(piece);
        }
    }

    /// Drops all but the first piece, which may have been begun or go on what is being written,
    /// and the rest of its frame.
    fn cut(&mut self) {
        let mut kept = 0;
        let mut goes_on = self.first.goes_on;
        while goes_on && let Some(piece) = self.rest.get(kept) {
            goes_on = piece.goes_on;
            kept += 1;
        }
        let dropped: usize = self.rest.drain(kept..).map(|piece| piece.len()).sum();
        self.queued -= dropped;
    }

    /// Puts what was not written before what came meanwhile.
    fn put_back(&mut self, first: Piece, mut rest: VecDeque<Piece>) {
        let newer = std::mem::replace(&mut self.first, first);
        if newer.len() > 0 {
            rest.push_back(newer);
        }
        rest.append(&mut self.rest);
        self.rest = rest;
    }

    fn die(&mut self) {
        self.phase = Phase::Dead;
        self.unfinished = 0;
        self.first = Piece::default();
        self.rest = VecDeque::new();
        self.queued = 0;
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

#[cfg(feature = "audit")]
mod audit;

//! A connection as everybody else sees it: an outbox and the socket behind it.
//!
//! The order of what a connection gets is decided by [`Outbox::push`], which the engine calls under
//! the hub's lock. [`Outbox::flush`] then writes, outside that lock and from whatever task has
//! something to write; when two come at once the second leaves its bytes to the first. When the
//! socket takes no more, the connection's own task waits for it and goes on.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use roomer_proto::websocket;

use crate::outbound::budget::{MemoryBudget, Usage};
use crate::outbound::chunk::{Chunk, advance, frame_left};
use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering, lock};
use crate::transport::Writer;

/// The most pieces of one vectored write.
const MAX_IOVECS: usize = 64;

/// A message that may keep a slow link busy for seconds: more than the system takes at a time.
const LARGE_MESSAGE: usize = 64 * 1024;

pub(crate) struct Outbox<W: ?Sized = dyn Writer> {
    outbox: Mutex<OutboxState>,
    /// Whether more waits than the connection may be owed.
    over: AtomicBool,
    /// Whether it has taken nothing of that for a while.
    stalled: AtomicBool,
    limit: WaterMarks,
    budget: Arc<MemoryBudget>,
    writer: W,
}

/// How many bytes may wait for one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaterMarks {
    /// Above this, the newest piece not counted, whoever sends to the connection is held back.
    pub(crate) high: usize,
    /// Above this, the newest piece not counted, the connection takes no more and is closed.
    pub(crate) max: usize,
}

#[derive(Default)]
struct OutboxState {
    /// The oldest piece, kept apart so that the usual outbox, of one piece, needs no memory.
    front: Chunk,
    back: VecDeque<Chunk>,
    queued: usize,
    /// Bytes of frames and messages that have not come in whole, or not been looked at.
    unfinished: usize,
    /// What the budget has last been told of these two.
    reported: usize,
    /// Bytes of the newest message, which are not held against anybody.
    newest: usize,
    /// The newest message is not all here yet.
    is_partial: bool,
    /// Bytes that the socket has ever taken.
    written: u64,
    /// How many of them are in the server's count already.
    counted: u64,
    phase: OutboxPhase,
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
    scheduled: bool,
    task: Option<Waker>,
    /// Tasks that are held back until `over` is no more.
    paused_senders: Vec<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OutboxPhase {
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
    pub(crate) phase: OutboxPhase,
    pub(crate) blocked: bool,
    pub(crate) queued: usize,
    /// See [`OutboxState::newest`].
    pub(crate) newest: usize,
    pub(crate) written: u64,
    /// See [`OutboxState::relieved`].
    pub(crate) relieved: u64,
    pub(crate) over: bool,
}

impl Outbox {
    pub(crate) fn new(
        writer: impl Writer,
        limit: WaterMarks,
        budget: Arc<MemoryBudget>,
    ) -> Arc<Outbox> {
        Arc::new(Outbox {
            outbox: Mutex::default(),
            over: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            limit,
            budget,
            writer,
        })
    }

    /// Queues bytes. True when the caller has to see to a flush, because nobody else does yet.
    pub(crate) fn push(&self, piece: Chunk) -> bool {
        let mut outbox = lock(&self.outbox);
        if outbox.phase != OutboxPhase::Open || piece.bytes.is_empty() {
            return false;
        }
        if outbox.queued > self.limit.max && !outbox.is_partial {
            // The flush that follows tells the owner, whose verdict is due at once.
            outbox.phase = OutboxPhase::Overrun;
        } else {
            outbox.append(piece);
        }
        !std::mem::replace(&mut outbox.scheduled, true)
    }

    /// Queues the last bytes and takes none after them; the flush that has to follow tells the
    /// owner. With `drop_unsent`, what a full socket has not begun to take is dropped first.
    pub(crate) fn finish(&self, last: Bytes, drop_unsent: bool) {
        let mut outbox = lock(&self.outbox);
        if matches!(outbox.phase, OutboxPhase::Closing | OutboxPhase::Dead) {
            return;
        }
        if drop_unsent {
            outbox.drop_unsent();
        }
        outbox.phase = OutboxPhase::Closing;
        outbox.unfinished = 0;
        if !last.is_empty() {
            outbox.append(Chunk::complete(last));
        }
    }

    /// As [`finish`](Self::finish), with a close frame.
    pub(crate) fn close(&self, code: Option<u16>, reason: &str, drop_unsent: bool) {
        let mut frame = Vec::new();
        websocket::close_frame(code, reason, &mut frame);
        self.finish(frame.into(), drop_unsent);
    }

    /// Writes what waits until the socket takes no more. Returns whether the connection has just
    /// come to be owed too much.
    pub(crate) fn flush(&self) -> bool {
        let mut outbox = lock(&self.outbox);
        outbox.scheduled = false;
        if !outbox.writing && !outbox.blocked {
            outbox = self.write_all(outbox);
        }
        let wake = outbox.blocked || outbox.phase != OutboxPhase::Open;
        let task = if wake { outbox.task.clone() } else { None };
        let (newly_over, paused_senders) = self.report_usage(&mut outbox);
        drop(outbox);
        task.into_iter().chain(paused_senders).for_each(Waker::wake);
        newly_over
    }

    fn write_all<'o>(
        &'o self,
        mut outbox: MutexGuard<'o, OutboxState>,
    ) -> MutexGuard<'o, OutboxState> {
        outbox.writing = true;
        while outbox.front.len() > 0 && !outbox.blocked {
            let mut front = std::mem::take(&mut outbox.front);
            let mut back = std::mem::take(&mut outbox.back);
            drop(outbox);
            let (offered, result) = self.write(&front, &back);
            outbox = lock(&self.outbox);
            if outbox.phase == OutboxPhase::Dead {
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
                    outbox.kill();
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
            if advance(&mut front, &mut back, written) {
                // A short write: the socket is full.
                outbox.blocked |= 0 < written && written < offered;
                outbox.put_back(front, back);
            }
            outbox.was_full |= outbox.blocked;
        }
        outbox.writing = false;
        outbox
    }

    /// How many bytes were offered, and how many of them the socket took.
    fn write(&self, front: &Chunk, back: &VecDeque<Chunk>) -> (usize, io::Result<usize>) {
        if back.is_empty() {
            return (front.len(), self.writer.try_write(front.left()));
        }
        let mut pieces = [IoSlice::new(&[]); MAX_IOVECS];
        let queue = std::iter::once(front).chain(back);
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
    fn report_usage(&self, outbox: &mut OutboxState) -> (bool, Vec<Waker>) {
        self.account(outbox);
        let owed = outbox.queued.saturating_sub(outbox.newest);
        let was_over = self.over.load(Ordering::Relaxed);
        let over = outbox.phase == OutboxPhase::Open
            && owed > if was_over { self.limit.high / 2 } else { self.limit.high };
        if over != was_over {
            self.over.store(over, Ordering::Release);
        }
        let paused_senders =
            if over { Vec::new() } else { std::mem::take(&mut outbox.paused_senders) };
        (over && !was_over, paused_senders)
    }

    /// Tells the budget what the connection holds.
    fn account(&self, outbox: &mut OutboxState) {
        let holds = outbox.queued + outbox.unfinished;
        if holds != outbox.reported {
            self.budget.change(std::mem::replace(&mut outbox.reported, holds), holds);
        }
    }

    /// How many bytes the connection's session holds on to.
    pub(crate) fn set_unfinished(&self, bytes: usize) {
        let mut outbox = lock(&self.outbox);
        if outbox.phase == OutboxPhase::Open {
            outbox.unfinished = bytes;
            self.account(&mut outbox);
        }
    }

    /// What the connection holds in memory.
    pub(crate) fn usage(&self) -> Usage {
        let outbox = lock(&self.outbox);
        let pieces = std::iter::once(&outbox.front).chain(&outbox.back);
        let buffers = pieces.filter(|piece| piece.len() > 0).map(|piece| {
            let range = piece.bytes.as_ptr_range();
            (range.end.addr(), piece.len())
        });
        let buffers: Vec<_> = buffers.collect();
        let seen: usize = buffers.iter().map(|(_, len)| len).sum();
        let in_hand = outbox.queued.saturating_sub(seen);
        Usage { own: outbox.unfinished, in_hand, buffers }
    }

    /// How many bytes are left of the oldest message, if it is a [`LARGE_MESSAGE`] one.
    pub(crate) fn large_on_its_way(&self) -> usize {
        let outbox = lock(&self.outbox);
        let left = frame_left(&outbox.front, &outbox.back);
        if left > LARGE_MESSAGE { left } else { 0 }
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
        lock(&self.outbox).phase == OutboxPhase::Open
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// See [`OutboxState::relieved`].
    pub(crate) fn relieved(&self) -> u64 {
        lock(&self.outbox).relieved
    }

    /// Whether it has taken nothing for a while of the too much that it is owed.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Acquire)
    }

    /// Whether it is worth holding senders back for: it is owed too much, and takes it.
    pub(crate) fn is_congested(&self) -> bool {
        self.is_over() && !self.is_stalled()
    }

    /// The connection's own task has seen it take nothing for a while.
    pub(crate) fn mark_stalled(&self) {
        if !self.stalled.swap(true, Ordering::AcqRel) {
            let paused_senders = std::mem::take(&mut lock(&self.outbox).paused_senders);
            paused_senders.into_iter().for_each(Waker::wake);
        }
    }

    /// Ready once the connection is not worth waiting for, or is gone.
    pub(crate) fn poll_uncongested(&self, cx: &Context<'_>) -> Poll<()> {
        let mut outbox = lock(&self.outbox);
        if !self.is_congested() || outbox.phase != OutboxPhase::Open {
            return Poll::Ready(());
        }
        if !outbox.paused_senders.iter().any(|paused_senders| paused_senders.will_wake(cx.waker()))
        {
            outbox.paused_senders.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The connection's own task looks at its outbox, and will be woken when that changes in a
    /// way that concerns it.
    pub(crate) fn poll_status(&self, cx: &Context<'_>) -> Status {
        let mut outbox = lock(&self.outbox);
        if !outbox.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            outbox.task = Some(cx.waker().clone());
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
            outbox.kill();
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
    pub(crate) fn discard(&self) {
        let mut outbox = lock(&self.outbox);
        outbox.kill();
        let (_, paused_senders) = self.report_usage(&mut outbox);
        drop(outbox);
        paused_senders.into_iter().for_each(Waker::wake);
    }

    /// Drops what waits, the last words among it, and tells the connection's own task that it is
    /// over.
    pub(crate) fn abort(&self) {
        self.discard();
        let task = lock(&self.outbox).task.clone();
        task.into_iter().for_each(Waker::wake);
    }
}

impl OutboxState {
    fn append(&mut self, mut piece: Chunk) {
        piece.continues = self.is_partial;
        self.queued += piece.len();
        self.newest = piece.len() + if self.is_partial { self.newest } else { 0 };
        self.is_partial = piece.more_follows;
        if self.front.len() == 0 {
            self.front = piece;
        } else {
            self.back.push_back(piece);
        }
    }

    /// Drops all but the first piece, which may have been begun or go on what is being written,
    /// and the rest of its frame.
    fn drop_unsent(&mut self) {
        let mut kept = 0;
        let mut more_follows = self.front.more_follows;
        while more_follows && let Some(piece) = self.back.get(kept) {
            more_follows = piece.more_follows;
            kept += 1;
        }
        let dropped: usize = self.back.drain(kept..).map(|piece| piece.len()).sum();
        self.queued -= dropped;
    }

    /// Puts what was not written before what came meanwhile.
    fn put_back(&mut self, front: Chunk, mut back: VecDeque<Chunk>) {
        let newer = std::mem::replace(&mut self.front, front);
        if newer.len() > 0 {
            back.push_back(newer);
        }
        back.append(&mut self.back);
        self.back = back;
    }

    fn kill(&mut self) {
        self.phase = OutboxPhase::Dead;
        self.unfinished = 0;
        self.front = Chunk::default();
        self.back = VecDeque::new();
        self.queued = 0;
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").finish_non_exhaustive()
    }
}

#[cfg(feature = "audit")]
mod audit;
